"""Run the scorer of a sample: bounded in time, and with a score on every path.

Inline when it takes milliseconds, in a thread when it may block, awaited when it is async. What a scorer
raises is its failure and no verdict on the sample: it becomes an outcome with a name, and a log line.
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
"""Blocking calls at a time in one process."""

DEFAULT_TIMEOUT_S = 120.0


class Scoring:
    """The scorers of one process.

    Args:
        timeout_s: of one sample.
    """

    def __init__(self, router: Router, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._router, self._timeout_s = router, timeout_s
        self._slots = asyncio.Semaphore(MAX_THREADS)
        self._failures: Counter[tuple[str, str, str]] = Counter()

    async def score(self, sample: Sample) -> Score:
        """Never raises for a scorer's failure, and ends within the timeout."""
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
        # Whatever a scorer raises is its failure, not the model's: it becomes data with a name.
        except Exception as error:
            return self._fail(bound.key, Outcome.FAILED, f"{type(error).__name__}: {error}", error)

    async def close(self) -> None:
        """Close the connections of scorers that have some; a reward worker ends with its own."""
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
        """The first failure of its kind, and then ever more rarely; the metrics count them all."""
        kind = (who, outcome.name, type(error).__name__)
        self._failures[kind] += 1
        count = self._failures[kind]
        if count & (count - 1) == 0:
            logger.error("scorer %s, %s, %d so far: %s", who, outcome.name, count, what, exc_info=error)


def _in_thread(call: Callable[[Sample], Score], sample: Sample) -> asyncio.Future[Score | Exception]:
    """Its score, or what it raised, from a thread of its own.

    A thread that never ends cannot be ended; as a daemon it keeps neither a pool's slot from later samples
    nor the process from ending.
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
        # A scorer's sys.exit ends no worker: raised in the loop, it would end all of its samples.
        except BaseException as error:
            result = RuntimeError(f"{type(error).__name__}: {error}")
        with suppress(RuntimeError):  # nobody waits any more: the loop is closed
            loop.call_soon_threadsafe(settle, result)

    Thread(target=work, daemon=True, name="scorer").start()
    return future
