"""Runs the scorer of a sample within a time limit; every sample gets a score.

A scorer runs inline when it takes milliseconds, in a thread when it may block, and is awaited when it is async.
An exception is the scorer's failure and no verdict on the sample: it becomes a named outcome and a log line.
"""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

from sinternal_verl.scoring.registry import BoundScorer, Router
from sinternal_verl.scoring.score import Outcome, Sample, Score

logger = logging.getLogger(__name__)

MAX_THREADS = 32
"""The most blocking calls that run at a time in one process."""

DEFAULT_TIMEOUT_S = 120.0


class Scoring:
    """The scorers of one process.

    Args:
        timeout_s: the time limit for one sample; a call that needs no thread runs to its end.
    """

    def __init__(self, router: Router, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._router, self._timeout_s = router, timeout_s
        self._slots = asyncio.Semaphore(MAX_THREADS)
        self._failures: Counter[tuple[str, str, str]] = Counter()

    async def score(self, sample: Sample) -> Score:
        """Score a sample within the time limit; a scorer's failure is an outcome, not an exception."""
        bound = self._router.find(sample.source)
        if bound is None:
            known = ", ".join(self._router.sources)
            return self._fail(
                "none", Outcome.NO_SCORER, f"data_source {sample.source!r}; there are scorers for {known}"
            )
        try:
            score = await self._run(bound, sample)
            if not isinstance(score, Score):
                raise TypeError(f"a scorer must return a Score, not {score!r:.200}")
            if not math.isfinite(score.value):
                raise ValueError(f"a score must be a finite number, not {score.value}")
            if not score.scored and score.reason:
                self._log(bound.key, score.outcome, score.reason)
            return score
        except (TimeoutError, asyncio.TimeoutError) as error:  # one class from Python 3.11 on
            return self._fail(bound.key, Outcome.TIMED_OUT, str(error) or f"no score within {self._timeout_s:g} s")
        # Whatever a scorer raises is its own failure, not the model's, and becomes a named outcome.
        except Exception as error:
            return self._fail(bound.key, Outcome.FAILED, f"{type(error).__name__}: {error}", error)

    def start(self) -> None:
        """Let the scorers that connect somewhere begin; returns at once."""
        for bound in self._router.scorers:
            if start := getattr(bound.call, "start", None):
                start()

    async def ready(self) -> None:
        """Wait until the scorers have what they need.

        Raises:
            GuardUnavailable, or what else a scorer raises that will score nothing.
        """
        for bound in self._router.scorers:
            if ready := getattr(bound.call, "ready", None):
                await ready()

    async def close(self) -> None:
        """Close the scorers' connections. A reward worker need not: they end with its process."""
        for bound in self._router.scorers:
            if close := getattr(bound.call, "close", None):
                await close()

    async def _run(self, bound: BoundScorer, sample: Sample) -> Score:
        if bound.is_async:
            return await asyncio.wait_for(bound.call(sample), self._timeout_s)
        if not bound.blocking:
            return bound.call(sample)
        async with self._slots:
            result = await asyncio.wait_for(_in_thread(bound.call, sample), self._timeout_s)
        if isinstance(result, Exception):
            raise result
        return result

    def _fail(self, who: str, outcome: Outcome, what: str, error: Exception | None = None) -> Score:
        self._log(who, outcome, what, error)
        return Score(0.0, outcome, reason=what)

    def _log(self, who: str, outcome: Outcome, what: str, error: Exception | None = None) -> None:
        """Log a kind of failure at its 1st, 2nd, 4th, 8th … time; the metrics count them all."""
        kind = (who, outcome.name, type(error).__name__)
        self._failures[kind] += 1
        count = self._failures[kind]
        if count & (count - 1) == 0:
            logger.error("scorer %s, %s, %d so far: %s", who, outcome.name, count, what, exc_info=error)


def _in_thread(call: Callable[[Sample], Score], sample: Sample) -> asyncio.Future[Score | Exception]:
    """Call the scorer in a new thread; the future holds its score or the exception that it raised.

    A thread that hangs cannot be ended. It is a daemon and belongs to no pool, so it takes no pool's slot from
    later samples, and the process can end.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Score | Exception] = loop.create_future()

    def settle(result: Score | Exception) -> None:
        if not future.done():
            future.set_result(result)

    def work() -> None:
        try:
            result = call(sample)
        except Exception as error:
            result = error
        # A scorer's sys.exit must not end the worker: raised in the event loop, it would end all its samples.
        except BaseException as error:
            result = RuntimeError(f"{type(error).__name__}: {error}")
        with suppress(RuntimeError):  # nobody waits any more: the loop is closed
            loop.call_soon_threadsafe(settle, result)

    Thread(target=work, daemon=True, name="scorer").start()
    return future
