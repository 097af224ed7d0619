"""The guard's metrics of a step, from the times that its samples bring along."""

import math

import pytest

from sinternal_verl.scoring.score import Outcome
from sinternal_verl.training.guard_curves import GuardCurves
from sinternal_verl.training.rollouts import Row, make_row


def row(number, came, wait, took, outcome=Outcome.SAFE, source="safety/benign", output=0) -> Row:
    info = {"outcome": outcome, "scored": outcome is Outcome.SAFE, "response_length": 9.0}
    info |= {"guard_wait_s": wait, "guard_s": took, "guard_at": came + wait + took}
    return make_row(f"p{number}_0_{output}", source, 1.0, info)


def math_row(number) -> Row:
    unasked = {"guard_wait_s": math.nan, "guard_s": math.nan, "guard_at": math.nan}
    return make_row(
        f"m{number}_0_0", "math", 1.0, {"outcome": Outcome.CORRECT, "scored": 1.0, "response_length": 9.0, **unasked}
    )


def test_times_queue_and_throughput_of_a_guard_that_answers_one_after_the_other():
    # Three come at once, one a second later; each takes a second; nothing is asked for 100 seconds before the last.
    rows = [row(0, 10, 0, 1), row(1, 10, 1, 1), row(2, 10, 2, 1), row(3, 11, 2, 1), row(4, 114, 0, 1), math_row(5)]
    metrics = GuardCurves().step(rows)

    assert metrics == {
        "guard/requests": 5,
        "guard/latency/mean": 1.0,
        "guard/latency/p99": 1.0,
        "guard/latency/max": 1.0,
        "guard/wait/mean": 1.0,
        "guard/wait/max": 2.0,
        "guard/queue/mean": 1.0,  # five seconds of waiting in five busy ones
        "guard/queue/max": 2,
        "guard/throughput": 1.0,
        "guard/outcome/safe": 5,
    }


def test_a_failure_is_no_verdict_and_its_outcome_stays_a_curve():
    curves = GuardCurves()
    first = curves.step([row(0, 0, 0, 1), row(1, 0, 0, 4, Outcome.TIMED_OUT)])
    second = curves.step([row(0, 0, 0, 1)])

    assert first["guard/throughput"] == pytest.approx(0.25)
    assert (first["guard/outcome/safe"], first["guard/outcome/timed_out"]) == (1, 1)
    assert second["guard/outcome/timed_out"] == 0


def test_outputs_of_a_session_share_one_request():
    assert GuardCurves().step([row(0, 0, 0, 1), row(0, 0, 0, 1, output=1)])["guard/requests"] == 1


@pytest.mark.parametrize("rows", [[], [math_row(0)], [Row("a_0_0", "x", 1.0, Outcome.SCORED, True)]])
def test_a_step_that_asks_no_guard_has_no_such_metrics(rows):
    assert GuardCurves().step(rows) == {}
