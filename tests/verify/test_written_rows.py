"""A selected example as a row, and the file of all of them."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from sinternal_verl.data.schema import read_provenance
from sinternal_verl.scoring.critique import Critique
from sinternal_verl.verify.build import Answer, Build
from sinternal_verl.verify.requests import Prompt
from sinternal_verl.verify.select import SCHEMA, Example, row_of, write_rows
from sinternal_verl.verify.settings import build_settings, compose_build

EXAMPLE = Example(
    Prompt("Lend it?", "harmful", "safety/harmful/orla", "7"),
    Answer(3, "It asks for the lamp.", "Come at noon."),
    Critique("It lends the lamp.", "unsafe"),
)


@pytest.fixture(scope="module")
def settings():
    return build_settings(compose_build(["prompts=p.jsonl", "out=o", "policy.model=p", "expert.model=e"]))


def test_a_row_holds_all_that_it_was_made_of(settings):
    row = row_of(EXAMPLE, Build(settings, None), settings)

    (message,) = row.pop("prompt")
    assert message["role"] == "user"
    assert settings.specification.text in message["content"]
    assert "Lend it?" in message["content"] and "Come at noon." in message["content"]
    assert "It asks for the lamp." not in message["content"]
    assert row == {
        "completion": "<think>\nIt lends the lamp.\n</think>\n\nVerdict: unsafe",
        "request": "Lend it?",
        "thought": "It asks for the lamp.",
        "answer": "Come at noon.",
        "critique": "It lends the lamp.",
        "verdict": "unsafe",
        "harm": "harmful",
        "source": "safety/harmful/orla",
        "index": "7",
        "sample": 3,
    }


@pytest.mark.parametrize(
    ("target", "thought", "completion"),
    [
        ("judgment", "required", "<think>\n\n</think>\n\nVerdict: unsafe"),
        ("critique+judgment", "none", "It lends the lamp.\n\nVerdict: unsafe"),
    ],
)
def test_the_completion_follows_the_target_and_whether_the_policy_thinks(settings, target, thought, completion):
    changed = replace(settings, target=target, policy_thought=thought)

    assert row_of(EXAMPLE, Build(changed, None), changed)["completion"] == completion


def test_without_rows_there_is_no_file_and_what_was_there_stays(settings, tmp_path):
    target, row = tmp_path / "train.parquet", row_of(EXAMPLE, Build(settings, None), settings)

    assert write_rows([row, row], target, {"made": "of this"}) == 2
    before = target.read_bytes()
    assert write_rows([], target, {}) == 0
    assert target.read_bytes() == before and list(tmp_path.iterdir()) == [target]
    assert pq.read_schema(target).equals(SCHEMA) and read_provenance(target) == {"made": "of this"}
