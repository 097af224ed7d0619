"""What a model costs, and a budget that is kept although many requests are in flight.

Before a request is sent, the most that it may cost is set aside; when it has ended, what it did cost is counted. A
request waits while there is no room for it beside those in flight, and the run ends when there is none at all. Of a try
that timed out nobody tells what it did cost, although the server may have written the reply: what was set aside counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

TEMPLATE_TOKENS = 256
"""The most tokens that a server's chat template is taken to add to a conversation."""

LONGEST = ("max_completion_tokens", "max_tokens")
"""Keys of a request that bound its reply; the first is the newer name of OpenAI's protocol."""


@dataclass(frozen=True)
class Prices:
    """Prices of a million tokens, in any currency.

    >>> Prices(3, 15).cost(2_000_000, 100_000)
    7.5
    """

    input: float
    output: float

    def cost(self, read: int, written: int) -> float:
        return (read * self.input + written * self.output) / 1e6


@dataclass(frozen=True)
class Limits:
    """How many requests at a time, and what one run may spend; None is no limit.

    Attributes:
        budget_tokens: tokens of all prompts and replies together.
        longest_reply: tokens of the longest reply to one request; None where nothing bounds it.
        context: tokens of prompt and reply together, where the model runs in this process.
        prices: None where they are not known.
        patience_s: seconds to wait while the server asks to wait and answers nothing.
    """

    concurrency: int
    max_requests: int | None = None
    budget_tokens: int | None = None
    longest_reply: int | None = None
    context: int | None = None
    prices: Prices | None = None
    patience_s: float = 0.0


class Spent(RuntimeError):
    """A limit is reached: no further request may be sent."""


class Reserved(NamedTuple):
    """What is set aside for a request.

    Attributes:
        tokens: the most that it may cost; 0 without a budget.
        reckoned: of these, what its prompt and its longest reply come to.
    """

    tokens: int
    reckoned: int


class Spend:
    """What is spent on a model.

    Attributes:
        requests: how many were sent; a client's repeated tries are not counted.
        read, written: tokens of prompts and replies, as the server counts them, also of requests that failed.
        lost: tries that may have cost tokens which nobody told.
        presumed: the most tokens that these may have cost; 0 without a budget.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.requests = self.read = self.written = self.lost = self.presumed = 0
        self._reserved = self._excess = 0

    def reserve(self, messages: Sequence[dict[str, Any]]) -> Reserved | None:
        """Set aside the most tokens that a request may cost.

        Returns:
            Their number; None where there is room only when others have ended.

        Raises:
            Spent: there is no room, and none in flight could leave any.
        """
        limits = self.limits
        if limits.max_requests is not None and self.requests >= limits.max_requests:
            raise Spent(f"max_requests={limits.max_requests:,} is spent ({self})")
        reckoned = 0 if limits.budget_tokens is None else self._reckon(messages)
        most = reckoned and reckoned + self._excess
        if limits.context is not None:
            most = min(most, limits.context)
        if not self._has_room(most):
            if self._reserved:
                return None
            room = f"has no room for the next request, which may take {most:,}"
            raise Spent(f"budget_tokens={limits.budget_tokens:,} {room} (spent: {self})")
        self.requests += 1
        self._reserved += most
        return Reserved(most, reckoned)

    def fail(self, reserved: Reserved | None, read: int, written: int, untold: bool) -> bool:
        """Count a try that failed. Return whether there is room for another.

        Args:
            reserved: as of `settle`; it stays set aside for the next try.
            read, written: tokens that the server has told.
            untold: whether there may be others that nobody told. What was set aside is taken for them.
        """
        self._count(reserved, read, written)
        if untold:
            self.lost += 1
            self.presumed += reserved.tokens if reserved else 0
        return self._has_room(0)

    def settle(self, reserved: Reserved | None, read: int = 0, written: int = 0) -> None:
        """A request has ended: count what its last try cost, if it was answered.

        Args:
            reserved: what `reserve` returned for it; None where nothing was set aside.
        """
        self._count(reserved, read, written)
        if reserved is None:
            self.requests += 1
        else:
            self._reserved -= reserved.tokens

    def __str__(self) -> str:
        spent = f"{self.requests:,} requests, {said(self.read, self.written, self.limits.prices)}"
        return f"{spent}; {said_lost(self.lost, self.presumed)}" if self.lost else spent

    def _count(self, reserved: Reserved | None, read: int, written: int) -> None:
        self.read += read
        self.written += written
        if reserved is not None:
            # A server that counts more than we thought possible, such as a hidden thought, is believed from then on.
            self._excess = max(self._excess, read + written - reserved.reckoned)

    def _has_room(self, tokens: int) -> bool:
        limit = self.limits.budget_tokens
        return limit is None or self.read + self.written + self.presumed + self._reserved + tokens <= limit

    def _reckon(self, messages: Sequence[dict[str, Any]]) -> int:
        # A token is at least one byte.
        prompt = sum(len(message["content"].encode()) for message in messages) + TEMPLATE_TOKENS
        return prompt + (self.limits.longest_reply or 0)


def said(read: int, written: int, prices: Prices | None, apart: bool = True) -> str:
    """Tokens, read and written ``apart`` or not, and with prices what they cost.

    >>> said(2_000_000, 100_000, Prices(3, 15)), said(7, 3, None, apart=False)
    ('2,100,000 tokens (2,000,000 read, 100,000 written), cost 7.50', '10 tokens')
    """
    tokens = f"{read + written:,} tokens" + (f" ({read:,} read, {written:,} written)" if apart else "")
    return tokens if prices is None else f"{tokens}, cost {prices.cost(read, written):,.2f}"


def said_lost(tries: int, presumed: int) -> str:
    """Tries whose cost nobody told, and what a budget counts for them.

    >>> said_lost(2, 4_608)
    '2 tries whose tokens nobody counted, for which the budget counts 4,608'
    """
    found = f"{tries:,} {'try' if tries == 1 else 'tries'} whose tokens nobody counted"
    return f"{found}, for which the budget counts {presumed:,}" if presumed else found
