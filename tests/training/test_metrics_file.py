"""One file over all starts of a run, each step once."""

import json

import numpy as np

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
