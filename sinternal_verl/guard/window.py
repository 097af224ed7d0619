"""How many requests a guard works on at a time, and who waits.

A request's time limit begins when it is admitted. Behind a window that is too wide it would still wait, in the
engine's own queue. So the window is as wide as what the guard answers in a share of the time limit, by what it was
measured to do, and at most as wide as its engine can use. Who waits is admitted in the order of arrival, and waits for
as long as others are answered.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sinternal_verl.guard.errors import QueueFull

FIRST_LIMIT = 16
"""The width of a window before the first answer."""

TIME_SHARE = 1 / 8
"""The share of its time limit that an admitted request takes on average: requests differ in length."""

MEMORY = 1 / 4
"""The measured rate is that of the last so many time limits: older answers count less and less."""

MAX_SILENCE = 2.0
"""A request stops waiting when nothing was answered for so many time limits."""

MAX_RETRY_S = 30.0
"""The longest time after which a refused request may be made again."""


class Window:
    """The window of one guard; it belongs to one event loop.

    Args:
        most: the most requests that are worked on at a time.
        max_held: the most that are worked on and wait, all together; None sets no limit.
        limit_s: the time limit that this guard's requests have. A single request may have less left, which decides
            nothing for the others. None takes what each request has.

    Attributes:
        limit: its width, by what was measured.
        inside, waiting: requests that are worked on, and that wait.
        answered: how many were answered so far.
        per_second: answers per second while it has any request, as measured; None before the first answer.
    """

    def __init__(self, most: int, max_held: int | None = None, limit_s: float | None = None) -> None:
        self._most, self._max_held = most, math.inf if max_held is None else max_held
        self._limit_s = limit_s
        self.limit = min(FIRST_LIMIT, most)
        self.inside = self.waiting = self.answered = 0
        self.per_second: float | None = None
        self._queue: deque[asyncio.Future[None]] = deque()
        self._answered_at = self._busy_since = self._measured_at = time.monotonic()
        # Answers, and the seconds in which it had any request, both fading away.
        self._answers = self._busy_s = 0.0

    @asynccontextmanager
    async def place(self, within_s: float) -> AsyncIterator[None]:
        """Wait for a place and hold it.

        Args:
            within_s: the caller's time limit, which begins when it is admitted.

        Raises:
            QueueFull: as many as it may hold are here.
            TimeoutError: nothing was answered for `MAX_SILENCE` time limits, or the caller has no time left.
        """
        if within_s <= 0:
            raise TimeoutError("no time was left for it")
        within_s = self._limit_s or within_s
        await self._enter(within_s)
        try:
            yield
        except (TimeoutError, asyncio.TimeoutError):
            self._measure(0, within_s)
            raise
        else:
            self.answered += 1
            self._answered_at = time.monotonic()
            self._measure(1, within_s)
        finally:
            self.inside -= 1
            self._admit()

    async def _enter(self, within_s: float) -> None:
        self._admit()
        if self.inside + self.waiting >= self._max_held:
            raise self._refusal()
        if not self._queue and self.inside < self.limit:
            self._take_place()
            return
        asked, turn = time.monotonic(), asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self.waiting += 1
        try:
            while not turn.done():
                silence = time.monotonic() - max(asked, self._answered_at)
                if silence >= MAX_SILENCE * within_s:
                    raise TimeoutError(f"it answered nothing for {silence:.3g} s, while this request waited")
                await asyncio.wait({turn}, timeout=MAX_SILENCE * within_s - silence)
        except BaseException:
            if turn.done():  # admitted in the moment in which the caller left
                self.inside -= 1
                self._admit()
            turn.cancel()
            raise
        finally:
            self.waiting -= 1

    def _admit(self) -> None:
        while self._queue and (self._queue[0].done() or self.inside < self.limit):
            turn = self._queue.popleft()
            if not turn.done():
                self._take_place()
                turn.set_result(None)

    def _take_place(self) -> None:
        if not self.inside:
            self._busy_since = time.monotonic()
        self.inside += 1

    def _measure(self, answers: int, within_s: float) -> None:
        """Count what came back, and set the limit anew."""
        now = time.monotonic()
        fades = math.exp((self._measured_at - now) / (MEMORY * within_s))
        self._answers = self._answers * fades + answers
        self._busy_s = self._busy_s * fades + now - max(self._busy_since, self._measured_at)
        self._measured_at = now
        self.per_second = self._answers / max(self._busy_s, 1e-6)
        self.limit = max(1, min(self._most, int(self.per_second * TIME_SHARE * within_s)))

    def _refusal(self) -> QueueFull:
        error = QueueFull(f"{self.inside + self.waiting} requests are here; sinternal.guard.max_queue={self._max_held}")
        if self.per_second:
            error.retry_s = min(self._max_held / 2 / self.per_second, MAX_RETRY_S)
        error.silent_s = time.monotonic() - self._answered_at
        return error
