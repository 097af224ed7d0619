"""Waits while a server asks to wait (HTTP 429): all workers at once, longer each time, and not for ever.

A reply ends the waiting, and the next time it begins anew. A pause is counted once however many requests ran into it:
those that were under way when it began say nothing new.
"""

import asyncio
import random
import time
from collections.abc import Callable

from sinternal_verl.verify.store import Reply
from sinternal_verl.verify.writer import Cost, Messages, Writer, WriterBusy, WriterUnusable, unbounded

MIN_PAUSE_S, MAX_PAUSE_S = 0.5, 60.0
"""A pause doubles from the first to the second of these; a longer one that the server asks for is kept."""

SPREAD = 0.1
"""Share of a pause over which the workers come back, so that not all of them ask at one moment."""


class Patience:
    """Asks one writer for many workers.

    Args:
        limit_s: how long it waits, in seconds, before a reply must have come.
        show: takes what the progress bar is to say of a pause; empty when it is over.

    Attributes:
        waited_s: seconds of all pauses so far.
    """

    def __init__(self, writer: Writer, limit_s: float, show: Callable[[str], None]) -> None:
        self._writer, self._limit_s, self._show = writer, limit_s, show
        self._until, self._pauses, self._pause_s = 0.0, 0, MIN_PAUSE_S
        self._since: float | None = None
        self._paused = False
        self._ended = asyncio.get_running_loop().create_future()
        self.waited_s = 0.0

    async def ask(self, messages: Messages, seed: int | None, cost: Cost = unbounded) -> Reply:
        """The writer's reply; see `Writer.write`.

        Raises:
            WriterFailed: this request got no reply.
            WriterUnusable: no request will get a reply, or the server still asks to wait after ``limit_s``.
        """
        while True:
            while (left := self._until - time.monotonic()) > 0:
                await asyncio.wait([self._ended], timeout=left * (1 + SPREAD * random.random()))
                if self._ended.done():
                    raise WriterUnusable("another request met the end of all")
            pauses = self._pauses
            try:
                reply = await self._writer.write(messages, seed, cost)
            except WriterBusy as busy:
                self._pause(busy, pauses)
            else:
                self._answered(pauses)
                return reply

    def end(self) -> None:
        """Let those go that wait: no request will get a reply."""
        if not self._ended.done():
            self._ended.set_result(None)

    def _pause(self, busy: WriterBusy, pauses: int) -> None:
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        left, asked = self._limit_s - (now - self._since), busy.retry_after_s or 0.0
        if left <= 0 or asked > left:
            asks = f" and asks to wait {asked:,.0f} s" if asked else ""
            raise WriterUnusable(
                f"the server lets no request pass{asks}, and patience_s={self._limit_s:g} is the most to wait: {busy}; "
                "lower concurrency, raise patience_s, or come back later"
            )
        pause_s = asked
        if pauses == self._pauses:
            pause_s = max(asked, min(self._pause_s, left))
            self._pauses, self._paused = self._pauses + 1, True
            self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)
        until = now + pause_s
        if until > self._until:
            self.waited_s += until - max(self._until, now)
            self._until = until
            self._show(f"waits {pause_s:.3g} s for HTTP 429, {now - self._since:.0f} of {self._limit_s:g} s so far")

    def _answered(self, pauses: int) -> None:
        self._since = None
        # A reply that was under way when a pause began does not end it.
        if pauses == self._pauses and self._paused:
            self._pause_s, self._paused = MIN_PAUSE_S, False
            self._show("")
