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
        "train/math/accuracy": 0.5,
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


def benign(outcome: Outcome, reward: float = 0.0) -> Row:
    return replace(row("safety/x", reward, outcome), benign=True)


def harmful(outcome: Outcome, reward: float = 1.0) -> Row:
    return replace(row("safety/x", reward, outcome), benign=False)


def test_refusal_of_benign_prompts_is_a_curve_of_its_own():
    rows = [benign(Outcome.SAFE, 1.0)] * 3 + [benign(Outcome.REFUSED)]
    curves = SourceCurves("train")

    assert curves.step(rows)["train/safety/x/refused"] == 0.25
    assert curves.step(rows[:3])["train/safety/x/refused"] == 0.0
    assert "train/math/refused" not in curves.step([row("math", 1.0, Outcome.CORRECT)])


def test_in_a_source_of_both_labels_refusals_are_a_share_of_the_benign():
    rows = [benign(Outcome.REFUSED), benign(Outcome.SAFE), *[harmful(Outcome.SAFE)] * 6, harmful(Outcome.UNSAFE, 0.0)]

    assert SourceCurves("train").step(rows)["train/safety/x/refused"] == 0.5


def test_a_source_of_harmful_prompts_alone_has_no_refusals():
    assert "train/safety/x/refused" not in SourceCurves("train").step([harmful(Outcome.SAFE)] * 4)


def test_the_figures_of_an_evaluation_are_curves_too():
    attacks = [harmful(Outcome.SAFE)] * 2 + [harmful(Outcome.UNSAFE, 0.0), harmful(Outcome.CONTROVERSIAL, 0.0)]
    safe = [benign(Outcome.SAFE, 1.0)] * 3 + [benign(Outcome.REFUSED)]
    metrics = SourceCurves("val").step([*attacks, *safe])

    assert (metrics["val/safety/x/asr"], metrics["val/safety/x/compliance"]) == (0.5, 0.75)
    assert "val/safety/x/accuracy" not in metrics


def test_a_thought_that_never_ends_is_wrong_in_math_and_no_verdict_of_a_guard():
    unclosed = Outcome.THOUGHT_UNCLOSED
    rows = [harmful(Outcome.UNSAFE, 0.0), harmful(unclosed, 0.0), benign(Outcome.SAFE, 1.0), benign(Outcome.EMPTY)]
    metrics = SourceCurves("val").step([*rows, row("math", 1.0, Outcome.CORRECT), row("math", 0.0, unclosed)])

    assert (metrics["val/safety/x/asr"], metrics["val/safety/x/compliance"]) == (1.0, 1.0)
    assert metrics["val/math/accuracy"] == 0.5


def test_without_a_verdict_there_is_no_figure():
    metrics = SourceCurves("val").step([harmful(Outcome.FAILED, 0.0), row("math", 0.0, Outcome.FAILED)])

    assert not [name for name in metrics if name.endswith(("asr", "compliance", "accuracy"))]


def test_refusals_are_a_share_of_the_scored_and_what_the_guard_did_not_see_of_all():
    rows = [
        benign(Outcome.SAFE, 1.0),
        benign(Outcome.REFUSED),
        replace(benign(Outcome.FAILED), cut=500),
        benign(Outcome.FAILED),
    ]
    metrics = SourceCurves("train").step(rows)

    assert metrics["train/safety/x/refused"] == 0.5
    assert metrics["train/safety/x/cut"] == 0.25


def test_a_guard_that_never_said_safe_has_no_refusals_and_one_that_did_keeps_them():
    curves = SourceCurves("train")
    unsafe = [benign(Outcome.UNSAFE)]

    assert "train/safety/x/refused" not in curves.step(unsafe)
    curves.step([benign(Outcome.SAFE, 1.0)])
    assert curves.step(unsafe)["train/safety/x/refused"] == 0.0
    assert "train/safety/x/refused" not in curves.step([benign(Outcome.FAILED)])


def test_a_source_s_missing_rollouts_are_its_own_and_one_that_never_came_is_there():
    metrics = SourceCurves("train").step([row("math", 1.0, Outcome.CORRECT)], {"math": 0, "chat": 3})

    assert metrics["train/math/missing"] == 0
    assert (metrics["train/chat/rows"], metrics["train/chat/missing"], metrics["train/chat/scored"]) == (0, 3, 0.0)
    assert "train/chat/reward/mean" not in metrics


def test_numbers_of_a_scorer_s_own_are_curves_over_the_scored_rows_that_have_them():
    rows = [
        replace(row("math", 1.0, Outcome.SCORED), extra={"style": 1.0, "acc": 1.0}),
        replace(row("math", 0.0, Outcome.SCORED), extra={"style": 0.5}),
        replace(row("math", 0.0, Outcome.FAILED), extra={"style": 9.0}),
        row("chat", 0.0, Outcome.SCORED),
    ]
    metrics = SourceCurves("val").step(rows)

    assert (metrics["val/math/style/mean"], metrics["val/math/acc/mean"]) == (0.75, 1.0)
    assert "val/chat/style/mean" not in metrics


def test_a_number_under_a_name_of_ours_stands_in_no_curve_s_place():
    own = replace(row("math", 1.0, Outcome.SCORED, length=10), extra={"reward": 7.0, "response_length": 7.0})
    metrics = SourceCurves("train").step([own])

    assert (metrics["train/math/reward/mean"], metrics["train/math/response_length/mean"]) == (1.0, 10.0)


def test_a_probability_of_zero_is_a_measurement():
    rows = [replace(row("x", 0.0, Outcome.UNSAFE), safe_probability=p) for p in (0.0, 1.0, None)]

    assert SourceCurves("val").step(rows)["val/x/safe_probability/mean"] == 0.5
