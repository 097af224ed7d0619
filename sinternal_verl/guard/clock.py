"""The time of one sample: what its scorer may still take, and how long the guard had it.

A sample that waits for its turn at the guard must not be ended for it: its clock stands still there. The guard's
clients bound the wait, and take off the time for which the guard served the request. Samples are told apart by a
context variable, so a scorer that asks a guard hands over nothing.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")


class SampleClock:
    """Counts down from a sample's time limit.

    Args:
        limit_s: seconds that its scorer may take, less what it waits for its turn at a guard.

    Attributes:
        left_s: what is left of them, as of the last time that the clock stood still.
        waited_s, served_s: seconds that its requests waited at the guard, and were served by it.
        answered_at: when the guard let it go for the last time, in seconds since the epoch; None where no guard was
            asked.
    """

    def __init__(self, limit_s: float = math.inf) -> None:
        self.left_s = limit_s
        self.waited_s = self.served_s = 0.0
        self.answered_at: float | None = None
        self._stops, self._since = 0, time.monotonic()
        self._served_to = -math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._over: asyncio.Future[None] | None = None

    async def outruns(self, task: "asyncio.Task[Any]") -> bool:
        """Run until the task is done or the time is over; whether the time was over first."""
        self._over = asyncio.get_running_loop().create_future()
        self._since = time.monotonic()
        self._set_timer()
        try:
            await asyncio.wait({task, self._over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._over.cancel()
        return not task.done()

    @contextmanager
    def at_the_guard(self) -> Iterator[None]:
        """Stand still, but for what `serve` takes off."""
        asked, served = time.monotonic(), self.served_s
        self._stops += 1
        if self._stops == 1:
            self.left_s -= asked - self._since
            if self._timer is not None:
                self._timer.cancel()
        try:
            yield
        finally:
            now = time.monotonic()
            self.waited_s += max(now - asked - (self.served_s - served), 0.0)
            self.answered_at = time.time()
            self._stops -= 1
            if not self._stops:
                self._since = now
                self._set_timer()

    def serve(self, seconds: float) -> None:
        """Take off the time, up to now, for which a guard had a request in its hands. What another of the sample's
        requests has taken off is not taken off again."""
        now = time.monotonic()
        seconds = min(seconds, now - self._served_to)
        self._served_to = now
        self.served_s += seconds
        self.left_s -= seconds

    def _set_timer(self) -> None:
        if self._over is not None and not self._over.done() and self.left_s < math.inf:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(self.left_s, 0.0), _settle, self._over)


_current: ContextVar[SampleClock | None] = ContextVar("sample_clock", default=None)


def clock_of_this_sample() -> SampleClock:
    """The clock that runs for the caller's sample; outside of a sample one without a limit."""
    return _current.get() or SampleClock()


@contextmanager
def timed(clock: SampleClock) -> Iterator[None]:
    """Let ``clock`` be the one of tasks that start here."""
    token = _current.set(clock)
    try:
        yield
    finally:
        _current.reset(token)


async def wait_within(call: Awaitable[T], seconds: float) -> T:
    """Like `asyncio.wait_for`, which waits on for a call that ignores its cancellation; this leaves such a call behind.

    Raises:
        TimeoutError: it took longer than ``seconds``.
    """
    task = asyncio.ensure_future(call)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(_retrieve)
    if not task.done():
        raise TimeoutError
    return task.result()


def _retrieve(task: "asyncio.Future[Any]") -> None:
    """Take note of an exception that nobody waits for, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
