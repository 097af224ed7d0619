"""Each line of a dump is strict JSON that ends in one, whatever a row holds."""

import json

import numpy as np
import pytest
import torch

from sinternal_verl.scoring.score import Outcome
from sinternal_verl.training.dumps import columns, write_lines
from sinternal_verl.training.rollouts import Row


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (float("nan"), None),
        (np.float32("inf"), None),
        (np.int64(3), 3),
        (torch.tensor([1.0]), [1.0]),
        ({3: None}, {"3": None}),
        ("a\ud800", "a?"),
        (2**70, hex(2**70)),
        ("<｜end｜>\n", "<｜end｜>\n"),  # noqa: RUF001
    ],
)
def test_whatever_a_row_holds(tmp_path, value, written):
    path = tmp_path / "new" / "1.jsonl"
    write_lines(path, {"input": ["x" * 50_000, "b"], "value": [1, value]})
    rows = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text("utf-8").split("\n")[:-1]]

    assert rows == [{"input": "x" * 50_000, "value": 1}, {"input": "b", "value": written}]


def test_what_is_said_of_a_rollout():
    learned = Row("a_0_0", "math", 1.0, Outcome.CORRECT, True, 5, extra={"style": 0.5})
    failed = Row("a_1_0", "math", 0.0, Outcome.FAILED, False, details={"index": 3, "reason": "why", "extra": {"t": 1}})
    found = columns([learned, failed], {"a_1_0"}, {"a_0_0": 0.7})

    assert found["outcome"] == ["correct", "failed"] and found["reason"] == ["", "why"]
    assert found["advantage"] == [0.7, None] and found["set_aside"] == [False, True]
    assert found["extra"] == [{"style": 0.5}, {"t": 1}] and found["index"] == [None, 3]


def test_a_file_is_there_once_it_is_whole(tmp_path):
    """/dev/full stands for a disk without room."""
    write_lines(tmp_path / "3.jsonl", {"input": ["first"]})
    (tmp_path / "3.jsonl.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_lines(tmp_path / "3.jsonl", {"input": ["x" * 100_000]})

    assert [file.name for file in tmp_path.iterdir()] == ["3.jsonl"]
    assert (tmp_path / "3.jsonl").read_text() == '{"input":"first"}\n'
