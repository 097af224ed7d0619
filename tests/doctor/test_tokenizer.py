"""A tokenizer that transformers makes into another one is found, and the advice mends it."""

import json
import subprocess

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from sinternal_verl.doctor.checks import find_problems
from sinternal_verl.doctor.problem import Note
from sinternal_verl.doctor.tokenizer import CLASS, PROBES, compare, copy_command
from sinternal_verl.world.policy_model import make_policy


@pytest.fixture
def of_class(world, tmp_path):
    """A function from settings of ``tokenizer_config.json`` to a folder of the policy's files with these."""

    def make(model_type="llama", **settings):
        folder = tmp_path / "policy"
        folder.mkdir()
        for file in world["policy"].iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        for name, changes in (("tokenizer_config.json", settings), ("config.json", {"model_type": model_type})):
            known = json.loads((folder / name).read_text()) | changes
            (folder / name).write_text(json.dumps({key: value for key, value in known.items() if value is not None}))
        return folder

    return make


def test_the_pair_that_loses_its_spaces_is_found(of_class):
    folder = of_class(tokenizer_class="LlamaTokenizerFast")
    (problem,) = compare("model.path", str(folder))

    assert "LlamaTokenizer" in problem.reason and "reads back as" in problem.reason
    assert problem.value == str(folder)


@pytest.mark.parametrize("known", ["LlamaTokenizerFast", None], ids=["class is named", "class is not named"])
def test_the_command_it_gives_mends_it(of_class, tmp_path, known):
    folder = of_class(tokenizer_class=known)
    command = copy_command("model.path", folder).partition(", then")[0]
    if known:
        (problem,) = compare("model.path", str(folder))
        assert command in problem.next_step
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(command, shell=True, check=True, cwd=elsewhere, timeout=30)

    mended = elsewhere / "policy-tokenizer"
    assert list(compare("model.path", str(mended))) == []
    assert json.loads((mended / "tokenizer_config.json").read_text())["tokenizer_class"] == CLASS
    assert (mended / "model.safetensors").is_symlink()
    assert json.loads((folder / "tokenizer_config.json").read_text()).get("tokenizer_class") == known
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(PROBES[0]).ids
    assert AutoTokenizer.from_pretrained(mended).decode(ids) == PROBES[0]


def test_other_ids_that_read_back_alike_are_a_warning(tmp_path):
    """transformers takes the class of every qwen2 from its architecture, and with it how white space is split."""
    make_policy(tmp_path, ["one\n\n\ttwo"] * 50, seed=1)
    (note,) = compare("model.path", str(tmp_path))

    assert isinstance(note, Note) and "Qwen2Tokenizer" in note.reason and "reads back as it was" in note.reason


def test_sound_tokenizers_pass(world, untaught_guard):
    assert list(compare("model.path", str(world["policy"]))) == []
    assert list(compare("sinternal.guard.engine.model", str(untaught_guard))) == []


def test_padding_and_truncation_of_the_file_are_no_difference(world, tmp_path):
    for file in world["policy"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    own = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    own.enable_padding(length=200)
    own.enable_truncation(3)
    own.save(str(tmp_path / "tokenizer.json"))

    assert list(compare("model.path", str(tmp_path))) == []


@pytest.mark.parametrize("path", ["nobody/never-cached", "s3://bucket/model", None, "/nowhere"])
def test_what_is_not_on_this_machine_is_left_alone(path):
    assert list(compare("model.path", path)) == []


def test_both_mains_look_at_their_tokenizer(grpo_config, sft_config, of_class):
    folder = of_class(model_type="llama", tokenizer_class="LlamaTokenizerFast")
    keys = {"actor_rollout_ref.model.tokenizer_path": grpo_config, "model.tokenizer_path": sft_config}

    for key, config in keys.items():
        found = {problem.key: problem for problem in find_problems(config(f"{key}={folder}"))}
        assert "tokenizer.json" in str(found[key])
