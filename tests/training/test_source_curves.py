"""The numbers of one step for each data source."""

from dataclasses import replace

import pytest

from sinternal_verl.scoring.score import Outcome
from sinternal_verl.training.rollouts import Row
from sinternal_verl.training.source_curves import SourceCurves


def row(source: str, reward: float, outcome: Outcome, length: int | None = 10, truncated: bool = False) -> Row:
    return Row("a_0_0", source, reward, outcome, outcome is not Outcome.FAILED, length, truncated)


def test_each_source_has_its_own_numbers_and_a_failure_is_no_zero():
    metrics = SourceCurves("train").step(
        [
            row("math", 1.0, Outcome.CORRECT),
            row("math", 0.0, Outcome.MISMATCH, length=20, truncated=True),
            row("math", 0.0, Outcome.FAILED),
            row("chat", 0.5, Outcome.SCORED),
        ]
    )

    assert metrics == {
        "train/chat/rows": 1,
        "train/chat/scored": 1.0,
        "train/chat/reward/mean": 0.5,
        "train/chat/response_length/mean": 10.0,
        "train/chat/truncated": 0.0,
        "train/chat/outcome/scored": 1,
        "train/math/rows": 3,
        "train/math/scored": 2 / 3,
        "train/math/reward/mean": 0.5,
        "train/math/response_length/mean": 40 / 3,
        "train/math/truncated": 1 / 3,
        "train/math/outcome/correct": 1,
        "train/math/outcome/mismatch": 1,
        "train/math/outcome/failed": 1,
    }


def test_a_source_of_which_nothing_was_scored_has_no_reward():
    metrics = SourceCurves("train").step([row("math", 0.0, Outcome.FAILED)])

    assert metrics["train/math/scored"] == 0.0
    assert "train/math/reward/mean" not in metrics


def test_an_outcome_once_seen_is_drawn_as_zero_when_it_goes_away():
    curves = SourceCurves("train")
    curves.step([row("math", 0.0, Outcome.FAILED)])

    assert curves.step([row("math", 1.0, Outcome.CORRECT)])["train/math/outcome/failed"] == 0


def test_what_the_guard_did_not_see_and_how_sure_it_was_are_curves_of_their_own():
    rows = [
        replace(row("safety/x", 1.0, Outcome.SAFE), cut=7, safe_probability=0.9),
        replace(row("safety/x", 0.0, Outcome.UNSAFE), safe_probability=0.2),
        row("safety/x", 0.0, Outcome.EMPTY),
        row("math", 1.0, Outcome.CORRECT),
    ]
    metrics = SourceCurves("train").step(rows)

    assert metrics["train/safety/x/cut"] == 1 / 3
    assert metrics["train/safety/x/safe_probability/mean"] == pytest.approx(0.55)
    assert not {"train/math/cut", "train/math/safe_probability/mean"} & metrics.keys()


def test_validation_rows_have_no_length():
    metrics = SourceCurves("val").step([row("math", 1.0, Outcome.CORRECT, length=None)])

    assert "val/math/response_length/mean" not in metrics
    assert "val/math/truncated" not in metrics


def test_refusal_of_benign_prompts_is_a_curve_of_its_own():
    rows = [row("safety/benign/x", 1.0, Outcome.SAFE)] * 3 + [row("safety/benign/x", 0.0, Outcome.REFUSED)]
    curves = SourceCurves("train")

    assert curves.step(rows)["train/safety/benign/x/refused"] == 0.25
    assert curves.step(rows[:3])["train/safety/benign/x/refused"] == 0.0
    assert "train/math/refused" not in curves.step([row("math", 1.0, Outcome.CORRECT)])


def test_refusals_are_a_share_of_the_scored_and_what_the_guard_did_not_see_of_all():
    rows = [
        row("safety/x", 1.0, Outcome.SAFE),
        row("safety/x", 0.0, Outcome.REFUSED),
        replace(row("safety/x", 0.0, Outcome.FAILED), cut=500),
        row("safety/x", 0.0, Outcome.FAILED),
    ]
    metrics = SourceCurves("train").step(rows)

    assert metrics["train/safety/x/refused"] == 0.5
    assert metrics["train/safety/x/cut"] == 0.25


def test_a_guard_that_never_said_safe_has_no_refusals_and_one_that_did_keeps_them():
    curves = SourceCurves("train")
    unsafe = [row("safety/x", 0.0, Outcome.UNSAFE)]

    assert "train/safety/x/refused" not in curves.step(unsafe)
    curves.step([row("safety/x", 1.0, Outcome.SAFE)])
    assert curves.step(unsafe)["train/safety/x/refused"] == 0.0
    assert "train/safety/x/refused" not in curves.step([row("safety/x", 0.0, Outcome.FAILED)])


def test_a_probability_of_zero_is_a_measurement():
    rows = [replace(row("x", 0.0, Outcome.UNSAFE), safe_probability=p) for p in (0.0, 1.0, None)]

    assert SourceCurves("val").step(rows)["val/x/safe_probability/mean"] == 0.5
