"""Samples through the scorers of one process: how many at a time, and what is said of those without a score."""

import asyncio
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress

import pytest

from sinternal_verl.guard.clock import clock_of_this_sample
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


def stubborn(seconds: float):
    """A scorer that swallows its cancellation for so many seconds."""

    async def call(sample: Sample) -> Score:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.2)
        return Score(1.0, Outcome.SCORED)

    return call


def timed_scene(call, count, timeout_s, after=None):
    """The scores of ``count`` samples at once, then what ``after(scoring)`` returns, and the seconds of the scores."""

    async def scene():
        scoring = Scoring(Router([BoundScorer("mine", ("math",), call)]), timeout_s)
        started = time.monotonic()
        scores = await asyncio.gather(*(scoring.score(Sample("math", "")) for _ in range(count)))
        seconds = time.monotonic() - started
        return scores, seconds, await after(scoring) if after else None

    return asyncio.run(scene())


def test_a_scorer_that_swallows_its_cancellation_is_left_behind_at_the_limit(monkeypatch):
    monkeypatch.setattr(run, "CANCEL_S", 0.1)
    started = time.monotonic()
    scores, seconds, left = timed_scene(stubborn(30), 3, 0.3, after=left_behind)

    assert {score.outcome for score in scores} == {Outcome.TIMED_OUT}
    assert left == 3 and seconds < 5
    # The end of the loop does not wait for them, either.
    assert time.monotonic() - started < 10


async def left_behind(scoring) -> int:
    return len(scoring._left_behind)


def test_a_scorer_that_ends_at_its_cancellation_is_not_left_behind():
    async def call(sample):
        await asyncio.sleep(60)

    scores, seconds, left = timed_scene(call, 3, 0.2, after=left_behind)

    assert {score.outcome for score in scores} == {Outcome.TIMED_OUT}
    assert left == 0 and seconds < 5


def test_96_that_block_at_once_end_at_one_limit_and_those_without_a_thread_say_so():
    ends = threading.Event()

    def blocks(sample):
        ends.wait(60)
        return Score(1.0, Outcome.SCORED)

    scores, seconds, _ = timed_scene(blocks, 96, 1.0)
    ends.set()

    assert {score.outcome for score in scores} == {Outcome.TIMED_OUT}
    assert seconds < 6  # the limit once, not three times
    reasons = Counter(score.reason for score in scores)
    # Some get a thread in the last moment, from one that was timed out just before.
    assert reasons.keys() == {"no score within 1 s", "no score within 1 s: 32 other calls had all threads"}
    assert reasons["no score within 1 s"] >= 32


def test_too_many_that_hang_are_an_error_of_that_name_until_they_end(monkeypatch):
    monkeypatch.setattr(run, "MAX_LEFT_BEHIND", 4)
    ends = threading.Event()

    def blocks(sample):
        ends.wait(60)
        return Score(1.0, Outcome.SCORED)

    async def after(scoring):
        started = time.monotonic()
        refused = await scoring.score(Sample("math", ""))
        seconds = time.monotonic() - started
        ends.set()
        deadline = time.monotonic() + 10
        while await left_behind(scoring) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        return refused, seconds, await scoring.score(Sample("math", ""))

    scores, _, (refused, seconds, scored_again) = timed_scene(blocks, 4, 0.3, after)

    assert {score.outcome for score in scores} == {Outcome.TIMED_OUT}
    assert refused.outcome is Outcome.FAILED and seconds < 0.3
    assert refused.reason.startswith("TooManyHang: 4 calls of scorers still run in this process after their limit")
    assert scored_again == Score(1.0, Outcome.SCORED)


def test_a_process_whose_scorers_hang_ends(tmp_path):
    script = """
import asyncio, contextlib, time
from sinternal_verl.scoring.registry import BoundScorer, Router
from sinternal_verl.scoring.run import Scoring
from sinternal_verl.scoring.score import Sample

async def swallows(sample):
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

async def main():
    scorers = [BoundScorer("a", ("a",), swallows), BoundScorer("b", ("b",), lambda sample: time.sleep(1000))]
    scoring = Scoring(Router(scorers), 0.5)
    print([s.outcome.name for s in await asyncio.gather(*(scoring.score(Sample(s, "")) for s in "ab"))])

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout) == (0, "['TIMED_OUT', 'TIMED_OUT']\n")


def test_what_a_guard_took_is_added_to_the_score_also_where_there_is_none():
    async def asks(sample: Sample) -> Score:
        clock = clock_of_this_sample()
        with clock.at_the_guard():
            await asyncio.sleep(0.4)  # longer than the sample may take
            clock.serve(0.05)
            if sample.response == "fails":
                raise TimeoutError("the guard is late")
        return Score(1.0, Outcome.SAFE, {"cut": 3.0})

    safe, failed = scored(asks, Sample("math", ""), Sample("math", "fails"), timeout_s=0.3)

    assert safe.value == 1.0 and safe.extra["cut"] == 3.0
    assert failed.outcome is Outcome.TIMED_OUT and failed.reason == "the guard is late"
    for score in (safe, failed):
        assert score.extra["guard_s"] == 0.05 and 0.3 < score.extra["guard_wait_s"] < 5
        assert abs(score.extra["guard_at"] - time.time()) < 60


@pytest.mark.parametrize("extra", [None, 3.0, ["cut"]])
def test_an_extra_that_is_no_dict_costs_no_score(extra):
    async def asks(sample: Sample) -> Score:
        with clock_of_this_sample().at_the_guard():
            return Score(1.0, Outcome.SAFE, extra)

    (score,) = scored(asks, Sample("math", ""))

    assert score.value == 1.0 and score.extra["extra"] == extra and score.extra["guard_s"] == 0.0
