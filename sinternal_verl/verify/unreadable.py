"""Tells answers that are none of single requests from a server all of whose answers are none.

A server may answer with 200 and say nothing: its body is no JSON, it has no choices, or the end of its text is none
that is known. Such a server is there, so these failures are not counted with broken connections and 5xx. They may
belong to the requests, as when a model fails at one kind of prompt. After `MAX_UNREADABLE` of them another request
tells: where it has no answer either, the run ends.
"""

import asyncio
from collections.abc import Awaitable, Callable

from sinternal_verl.verify.rejected import CONTROL
from sinternal_verl.verify.store import Reply
from sinternal_verl.verify.writer import Messages, WriterFailed

MAX_UNREADABLE = 50
"""After so many such requests, with no answer between them, it is settled what they are."""


class Unreadable:
    """The requests of one run whose answers are none.

    Args:
        ask: asks for a reply, as `Patience.ask`.
    """

    def __init__(self, ask: Callable[[Messages, int | None], Awaitable[Reply]]) -> None:
        self._ask, self._in_a_row, self._why = ask, 0, ""
        self._settling = asyncio.Lock()

    def answered(self) -> None:
        """A request has its answer."""
        self._in_a_row = 0

    async def add(self, last: str, seed: int | None) -> str:
        """Count one request. Others that come meanwhile wait until it is settled what they are.

        Args:
            last: what became of it.
            seed: of the request that tells.

        Returns:
            Why the run should end; empty where it should go on.

        Raises:
            WriterUnusable: see `Patience.ask`.
        """
        self._in_a_row += 1
        async with self._settling:
            if self._in_a_row >= MAX_UNREADABLE and not self._why:
                try:
                    await self._ask(CONTROL, seed)
                    self._in_a_row = 0
                except WriterFailed as error:
                    if error.away:  # It says nothing of the form, and is counted where the next requests meet it.
                        self._in_a_row = 0
                    else:
                        self._why = self._reason(last)
            return self._why

    def _reason(self, last: str) -> str:
        return (
            f"the server answered {self._in_a_row:,} requests in a row with what is no answer, and "
            f"{CONTROL[0]['content']!r}, too; the last: {last}; check url, which ends in /v1, and model"
        )
