"""One file over all starts of a run, each step once."""

import decimal
import json
import math

import numpy as np
import pytest
import torch

from sinternal_verl.runs.curves import read_steps
from sinternal_verl.training.metrics_file import MetricsFile


def run(path, done: int, steps) -> None:
    file = MetricsFile(path, done)
    for step in steps:
        file.log({"reward": np.float32(step), "start": done}, step)
    file.finish()


def starts(path) -> list[tuple[int, int]]:
    return [(step.number, step.metrics["start"]) for step in read_steps(path)]


def test_a_resume_appends_and_steps_that_run_again_appear_once(tmp_path):
    path = tmp_path / "run" / "metrics.jsonl"
    run(path, done=0, steps=range(0, 6))  # validation, then five steps; the checkpoint is of step 3
    run(path, done=3, steps=range(3, 8))  # validation again at 3

    assert starts(path) == [(0, 0), (1, 0), (2, 0), (3, 0), (4, 3), (5, 3), (6, 3), (7, 3)]
    assert starts(path.with_suffix(".superseded.jsonl")) == [(4, 0), (5, 0)]


def test_a_start_from_scratch_sets_an_earlier_run_aside(tmp_path):
    path = tmp_path / "metrics.jsonl"
    run(path, done=0, steps=range(3))
    run(path, done=0, steps=range(2))

    assert [number for number, _ in starts(path)] == [0, 1]
    assert len(starts(path.with_suffix(".superseded.jsonl"))) == 3


def test_half_a_line_that_a_kill_left_does_not_spoil_the_next_record(tmp_path):
    path = tmp_path / "metrics.jsonl"
    run(path, done=0, steps=range(3))
    with path.open("a") as file:
        file.write('{"step": 3, "da')
    run(path, done=2, steps=[3])

    assert starts(path) == [(0, 0), (1, 0), (2, 0), (3, 2)]


def test_a_record_is_on_disk_as_soon_as_it_is_logged(tmp_path):
    file = MetricsFile(tmp_path / "metrics.jsonl", done=0)
    file.log({"reward": 1.0}, 1)

    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 1, "data": {"reward": 1.0}}
    file.finish()


def test_a_folder_without_the_file_starts_one(tmp_path):
    run(tmp_path / "metrics.jsonl", done=5, steps=[5, 6])

    assert [number for number, _ in starts(tmp_path / "metrics.jsonl")] == [5, 6]
    assert not (tmp_path / "metrics.superseded.jsonl").exists()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1, 1),
        (True, True),
        (torch.tensor(0.5), 0.5),
        (torch.tensor([0.5], requires_grad=True), 0.5),
        (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
        (np.float16(0.5), 0.5),
        (np.array([2]), 2.0),
        (decimal.Decimal("0.5"), 0.5),
        (math.nan, None),
        (np.inf, None),
        (np.arange(3), [0, 1, 2]),
        (torch.eye(2), [[1.0, 0.0], [0.0, 1.0]]),
        (torch.zeros(100, 100), "Tensor of shape (100, 100)"),
        ({1: torch.zeros(2)}, {"1": [0.0, 0.0]}),
        ("text", "text"),
        (2**80, hex(2**80)),
        (object, "<class 'object'>"),
    ],
)
def test_whatever_is_among_the_metrics_the_run_goes_on_and_the_file_is_strict_json(tmp_path, value, written):
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path, done=0)
    file.log({"strange": value, 5: 1.0}, 1)
    file.log({"reward": 1.0}, 2)
    file.finish()
    lines = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]

    assert lines == [{"step": 1, "data": {"strange": written, "5": 1.0}}, {"step": 2, "data": {"reward": 1.0}}]
