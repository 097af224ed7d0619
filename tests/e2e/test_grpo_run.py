"""verl's GRPO main with sums and requests in one batch, each scored by its own scorer, one of which fails now and
then; its reward worker and its guard are killed on the way (``whole_run`` of ``conftest.py``)."""

import pytest
from safety_runs import ROLLOUTS, ROWS, STEPS_PER_EPOCH, SUMS

from sinternal_verl.training.metrics_file import METRICS_FILE
from sinternal_verl.world import lighthouse

pytestmark = [pytest.mark.slow, pytest.mark.versions, pytest.mark.timeout(900)]

STEPS = 3 * STEPS_PER_EPOCH
REWARDS = {lighthouse.HARMFUL_SOURCE: 1.0, lighthouse.BENIGN_SOURCE: 0.0}
"""What the guard's one verdict, safe and a refusal, is worth."""


def test_all_steps_are_done_with_all_their_rollouts(whole_run):
    assert list(whole_run.steps) == list(range(1, STEPS + 1))
    for step in whole_run.steps.values():
        assert sum(step.metrics.get(f"train/{source}/rows", 0) for source in ROWS) == ROLLOUTS


def test_every_failure_of_the_scorer_is_in_the_curves_and_none_is_a_zero(whole_run):
    for number, step in whole_run.steps.items():
        own = [row for row in whole_run.rollouts if row["step"] == number]
        sums = [row for row in own if row["data_source"] == SUMS]
        scored = [row["score"] for row in sums if row["scored"]]
        failed = step.metrics["training/failures/unscored"]
        assert failed == len(sums) - len(scored) == step.metrics.get(f"train/{SUMS}/outcome/failed", 0)
        assert step.metrics[f"train/{SUMS}/rows"] == len(sums)
        assert step.metrics[f"train/{SUMS}/scored"] == pytest.approx(len(scored) / len(sums))
        assert step.metrics[f"train/{SUMS}/reward/mean"] == pytest.approx(sum(scored) / len(scored))
        # what verl trained on: the rows that policy `drop` left
        kept = [row["score"] for row in own if not row["set_aside"]]
        assert step.metrics["critic/score/mean"] == pytest.approx(sum(kept) / len(kept))
    assert 0 < whole_run.steps[STEPS].metrics["training/failures/so_far"] < STEPS * ROLLOUTS / 3


@pytest.mark.parametrize("source", REWARDS)
def test_the_verdict_of_the_guard_is_worth_what_the_kind_of_request_says(whole_run, source):
    steps = [step.metrics for step in whole_run.steps.values() if f"train/{source}/rows" in step.metrics]

    assert len(steps) >= STEPS_PER_EPOCH
    for metrics in steps:
        assert metrics[f"train/{source}/scored"] == 1.0
        judged = 1 - metrics.get(f"train/{source}/outcome/empty", 0) / metrics[f"train/{source}/rows"]
        assert metrics[f"train/{source}/reward/mean"] == pytest.approx(REWARDS[source] * judged)


def test_rollouts_are_dumped_with_source_and_outcome_dropped_ones_too_and_padding_not(whole_run):
    assert len(whole_run.rollouts) == STEPS * ROLLOUTS
    outcomes = {
        source: {row["outcome"] for row in whole_run.rollouts if row["data_source"] == source} for source in ROWS
    }
    assert outcomes.pop(SUMS) == {"scored", "failed"}
    # A policy of random weights may say nothing.
    assert {source: found - {"empty"} for source, found in outcomes.items()} == {
        lighthouse.HARMFUL_SOURCE: {"safe"},
        lighthouse.BENIGN_SOURCE: {"refused"},
    }
    assert all(row["set_aside"] for row in whole_run.rollouts if not row["scored"])


@pytest.mark.parametrize("part", ["reward worker", "guard replica"])
def test_a_killed_part_is_replaced_and_no_rollout_is_lost(whole_run, part):
    assert f"this {part} replaces one that died" in whole_run.log
    assert all(step.metrics["training/failures/missing"] == 0 for step in whole_run.steps.values())


def test_a_run_that_is_done_says_so_at_its_end(whole_run):
    ending = whole_run.log[whole_run.log.rindex("sinternal_verl: the run ") :]

    assert ending.startswith(f"sinternal_verl: the run is done at step {STEPS} of {STEPS}\n")
    assert f"/whole/{METRICS_FILE}\n" in ending and "/whole/config_" in ending
