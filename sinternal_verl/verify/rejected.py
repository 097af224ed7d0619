"""Tells requests that can never succeed from settings under which no request can.

A server says both with the same status: 400 is a prompt that it cannot take, and a parameter that it does not know.
So a rejection is held until the server answers another request, and then stored. Where no request is answered, none
is stored, and the run ends.
"""

import asyncio
from collections.abc import Awaitable, Callable

from sinternal_verl.verify.store import Reply
from sinternal_verl.verify.writer import Messages, WriterUnusable

REJECTED = {"too_long", "rejected"}
"""How a reply ends that says nothing of the model. What a filter refused is not among them: it read the content."""

ANSWERED = {"stop", "length", "tool_calls"}
"""How a reply ends that the model wrote."""

MAX_HELD = 256
"""After so many rejections in a row it is settled what they are."""

CONTROL: Messages = [{"role": "user", "content": "Please answer with the word yes."}]
"""A request that any model takes, asked with the same settings."""


POLL_S = 0.1
"""How often a worker looks whether the requests under way have been answered."""


class Rejections:
    """The rejected requests of one run.

    Args:
        ask: asks for a reply, as `Patience.ask`.
        keep: stores a reply under its key.
        answered: whether the model has answered a request with these settings, in this run or an earlier one.

    Attributes:
        held: what is not stored yet.
        under_way: number of requests without an outcome, those that wait in `hold` among them; whoever asks counts it.
    """

    def __init__(
        self,
        ask: Callable[[Messages, int | None], Awaitable[Reply]],
        keep: Callable[[bytes, Reply], Awaitable[None]],
        answered: Callable[[], bool],
    ) -> None:
        self._ask, self._keep, self._answered, self.under_way = ask, keep, answered, 0
        self.held: dict[bytes, Reply] = {}
        self._asks, self._waiting = False, 0

    async def hold(self, key: bytes, seed: int | None, reply: Reply) -> None:
        """Hold the rejection of a request until `store_held`.

        Raises:
            WriterFailed, WriterUnusable: see `Patience.ask`. The latter also where the server takes no request.
        """
        self.held[key] = reply
        if len(self.held) >= MAX_HELD and not self._answered():
            await self._wait_for_an_answer()
        if len(self.held) < MAX_HELD or self._asks:
            return
        # It has answered. Its settings may have changed since, or so many in a row may be what they seem.
        self._asks = True
        try:
            control = await self._ask(CONTROL, seed)
            if control.finish in REJECTED:
                raise WriterUnusable(f"{self.why()}; it rejects {CONTROL[0]['content']!r}, too")
            await self.store_held()
        finally:
            self._asks = False

    async def store_held(self) -> None:
        """The server has answered a request: store those that it rejected."""
        for key in list(self.held):  # not those that come while these are stored
            if (reply := self.held.pop(key, None)) is not None:
                await self._keep(key, reply)

    def why(self) -> str:
        """Why a run ends that holds rejections."""
        last = next(reversed(self.held.values())).text
        return (
            f"the server rejected {len(self.held):,} requests in a row and answered none, so none of them is stored; "
            f"the last: {last}; check model, request and prompt"
        )

    async def _wait_for_an_answer(self) -> None:
        """Rejections are quick and answers may take minutes, so wait for those under way before the run ends."""
        self._waiting += 1
        try:
            while not self._answered() and self._waiting < self.under_way:
                await asyncio.sleep(POLL_S)
        finally:
            self._waiting -= 1
        if not self._answered():
            raise WriterUnusable(self.why())
