"""The steps of a run, each once, whatever its starts have left."""

import json
import math

import numpy as np
import pytest
from made_runs import make_grpo, make_plain, make_sft

from sinternal_verl.report.lines import Skipped
from sinternal_verl.report.metrics import read_steps


def line(step, **data):
    return {"step": step, "data": data}


def read(tmp_path, *starts):
    files = []
    for number, lines in enumerate(starts):
        files.append(tmp_path / f"metrics_{number}.jsonl")
        files[-1].write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in lines))
    skipped = Skipped()
    steps, begins = read_steps(files, skipped)
    return steps, begins, skipped.words()


def test_a_step_that_did_not_log_a_metric_has_none(tmp_path):
    steps, begins, _ = read(tmp_path, [line(0, **{"val/a": 0.5}), line(1, b=1), line(2, b=True)])

    assert steps.numbers.tolist() == [0, 1, 2] and begins == (0,)
    np.testing.assert_array_equal(steps.values["val/a"], [0.5, math.nan, math.nan])
    np.testing.assert_array_equal(steps.values["b"], [math.nan, 1, 1])


def test_a_resumed_run_in_files_of_its_own_has_each_step_once_and_the_last_one_counts(tmp_path):
    first = [line(step, a=1, old=1) for step in (1, 2, 3, 4, 5)]
    steps, begins, _ = read(tmp_path, first, [line(step, a=2) for step in (3, 4)])

    assert steps.numbers.tolist() == [1, 2, 3, 4] and begins == (0, 2)
    assert steps.values["a"].tolist() == [1, 1, 2, 2]
    np.testing.assert_array_equal(steps.values["old"], [1, 1, math.nan, math.nan])


def test_a_resumed_run_that_appends_to_one_file_is_the_same(tmp_path):
    first = [line(step, a=1) for step in (1, 2, 3, 4, 5)]
    steps, begins, _ = read(tmp_path, [*first, *(line(step, a=2) for step in (3, 4))])

    assert steps.numbers.tolist() == [1, 2, 3, 4] and begins == (0, 2)


def test_a_validation_before_a_resume_is_added_to_the_step_that_it_goes_on_from(tmp_path):
    first = [line(step, a=1) for step in (1, 2, 3)]
    steps, begins, _ = read(tmp_path, first, [line(2, **{"val-core/x/reward/mean@4": 0.5}), line(3, a=2)])

    assert steps.numbers.tolist() == [1, 2, 3] and begins == (0, 2)
    assert steps.values["a"].tolist() == [1, 1, 2]
    np.testing.assert_array_equal(steps.values["val-core/x/reward/mean@4"], [math.nan, 0.5, math.nan])


def test_a_first_step_that_logged_nothing_is_no_resume(tmp_path):
    steps, begins, _ = read(tmp_path, [line(1), line(2, a=1)])

    assert steps.numbers.tolist() == [1, 2] and begins == (0,)


def test_metrics_of_one_step_in_two_lines_belong_together(tmp_path):
    """verl's SFT main logs a validation by itself."""
    steps, begins, _ = read(tmp_path, [line(1, a=1), line(1, **{"val/loss": 2}), line(2, a=1)])

    assert steps.numbers.tolist() == [1, 2] and begins == (0,)
    assert steps.values["val/loss"][0] == 2


def test_a_value_that_is_no_finite_number_is_told_by_its_step(tmp_path):
    numbers = [line(1, a="0.5", b=None, c="adam", d=[1]), '{"step": 2, "data": {"a": NaN, "b": 1e999}}']
    steps, _, said = read(tmp_path, [*numbers, line(3, a="Infinity", b=10**400, e={})])

    np.testing.assert_array_equal(steps.values["a"], [0.5, math.nan, math.nan])
    assert steps.not_finite == {"a": (2, 3), "b": (1, 2, 3)}
    assert set(steps.values) == {"a"} and said == ()


@pytest.mark.parametrize(
    "odd",
    [
        {"step": -1, "data": {"a": 1}},
        {"step": 1.5, "data": {"a": 1}},
        {"step": 10**30, "data": {"a": 1}},
        {"step": True, "data": {"a": 1}},
        {"data": {"a": 1}},
        {"step": 3},
        {"step": 3, "data": [1]},
        {"step": [3], "data": {"a": 1}},
    ],
)
def test_a_line_without_step_or_data_is_told(tmp_path, odd):
    steps, _, said = read(tmp_path, [line("1", a=1), odd, line(2.0, a=1)])

    assert steps.numbers.tolist() == [1, 2]
    assert said == (f"{tmp_path / 'metrics_0.jsonl'}, line 2: it has no step and data",)


def test_nothing_read_is_no_step(tmp_path):
    steps, begins, _ = read(tmp_path, [], [])

    assert len(steps.numbers) == 0 and steps.values == {} and begins == ()


def test_ten_thousand_steps_are_read_in_time(tmp_path):
    """A run that throws away its steps at each line would take minutes."""
    steps, begins, _ = read(tmp_path, [line(step, a=step) for step in range(1, 10_001)], [line(5_001, a=0)])

    assert len(steps.numbers) == 5_001 and begins == (0, 5_000)


@pytest.mark.parametrize("make", [make_grpo, make_plain, make_sft])
def test_runs_with_resumes_have_each_step_once(tmp_path, make):
    folder = make(tmp_path / "run", steps=8, resumes=(3, 5))
    files = sorted(folder.glob("metrics_*.jsonl")) or [folder / "metrics.jsonl"]
    steps, begins = read_steps(files, Skipped())

    assert steps.numbers.tolist() == list(range(make is make_sft, 9))
    assert begins == ((0,) if make is make_grpo else (0, 3, 5))
