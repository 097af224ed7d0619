"""Samples through the scorers of one process: how many at a time, and what is said of those without a score."""

import asyncio
import threading
import time

import pytest

from sinternal_verl.scoring import run
from sinternal_verl.scoring.registry import BoundScorer, Router
from sinternal_verl.scoring.run import Scoring
from sinternal_verl.scoring.score import Outcome, Sample, Score


def scored(call, *samples: Sample, timeout_s: float = 10.0) -> list[Score]:
    async def scene():
        scoring = Scoring(Router([BoundScorer("mine", ("math",), call)]), timeout_s)
        return await asyncio.gather(*map(scoring.score, samples))

    return asyncio.run(scene())


def test_no_more_blocking_calls_at_a_time_than_there_are_slots(monkeypatch):
    monkeypatch.setattr(run, "MAX_THREADS", 2)
    lock, now, most = threading.Lock(), 0, 0

    def blocks(sample: Sample) -> Score:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return Score(1.0, Outcome.SCORED)

    assert scored(blocks, *[Sample("math", "")] * 6) == [Score(1.0, Outcome.SCORED)] * 6
    assert most == 2


@pytest.mark.parametrize(
    ("raises", "outcome", "reason"),
    [
        (ValueError("no"), Outcome.FAILED, "ValueError: no"),
        (TimeoutError("the guard is late"), Outcome.TIMED_OUT, "the guard is late"),
        (TimeoutError(), Outcome.TIMED_OUT, "no score within 10 s"),
    ],
)
def test_what_a_scorer_raises_is_no_score_and_its_reason(raises, outcome, reason):
    async def call(sample: Sample) -> Score:
        raise raises

    (score,) = scored(call, Sample("math", ""))
    assert (score.value, score.outcome, score.scored, score.reason) == (0.0, outcome, False, reason)


def test_a_source_without_a_scorer_is_no_failure_of_one():
    (score,) = scored(None, Sample("chat", ""))

    assert (score.outcome, score.scored) == (Outcome.NO_SCORER, False)
    assert score.reason == "data_source 'chat'; there are scorers for math"


def test_scorers_that_hold_something_are_closed_and_others_left_alone():
    closed = []

    class Holds:
        def __call__(self, sample):
            return Score(1.0, Outcome.SCORED)

        async def close(self):
            closed.append(self)

    holds = Holds()
    bound = [BoundScorer("a", ("a", "b"), holds), BoundScorer("c", ("c",), lambda sample: None)]
    asyncio.run(Scoring(Router(bound)).close())

    assert closed == [holds]
