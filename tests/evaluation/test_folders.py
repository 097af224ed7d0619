"""A folder that a server could not answer from is found before one is started, and all that it lacks is named."""

import json
from pathlib import Path

import pytest

from sinternal_verl.evaluation.running.folders import folder_problems
from sinternal_verl.world import arithmetic
from sinternal_verl.world.policy_model import make_policy


@pytest.fixture
def policy(tmp_path) -> Path:
    return make_policy(tmp_path / "policy", arithmetic.corpus()[:50], seed=1)


def test_a_whole_model_has_no_problem(policy):
    assert list(folder_problems(policy)) == []


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (["chat_template.jinja"], "no chat template"),
        (["tokenizer.json", "tokenizer_config.json"], "no tokenizer"),
        (["model.safetensors"], "no weights"),
        (["config.json"], "no config.json"),
    ],
)
def test_what_is_missing_is_named(policy, gone, said):
    for name in gone:
        (policy / name).unlink()

    (problem,) = folder_problems(policy)
    assert said in problem


def test_all_that_is_missing_is_named_at_once(tmp_path):
    assert len(list(folder_problems(tmp_path))) == 3


def test_an_adapter_alone_is_no_model(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").touch()

    (problem,) = folder_problems(tmp_path)
    assert "an adapter alone" in problem and "sinternal-verl export" in problem


def test_a_shard_that_was_not_copied_is_named(policy):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model.safetensors"}}
    (policy / "model.safetensors.index.json").write_text(json.dumps(index))

    (problem,) = folder_problems(policy)
    assert "model-00001-of-00002.safetensors" in problem


def test_a_template_in_the_tokenizers_settings_counts(policy):
    template = (policy / "chat_template.jinja").read_text()
    (policy / "chat_template.jinja").unlink()
    settings = json.loads((policy / "tokenizer_config.json").read_text()) | {"chat_template": template}
    (policy / "tokenizer_config.json").write_text(json.dumps(settings))

    assert list(folder_problems(policy)) == []


@pytest.mark.parametrize("content", ["{", "[]", "\xff"])
def test_a_file_that_cannot_be_read_is_named(policy, content):
    (policy / "config.json").write_bytes(content.encode("latin-1"))

    (problem,) = folder_problems(policy)
    assert problem.startswith("config.json")
