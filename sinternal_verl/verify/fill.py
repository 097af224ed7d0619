"""Fills the store: sends many requests at a time, skips those whose reply it holds, and spends no more than allowed.

Memory holds only the requests in flight. A request that fails is counted and left for the next run of the
same command. The run ends after `FAILURES_IN_A_ROW`.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tqdm import tqdm

from sinternal_verl.verify.store import Store
from sinternal_verl.verify.turns import Turns
from sinternal_verl.verify.writer import Limits, Messages, Writer, WriterFailed

FAILURES_IN_A_ROW = 64
"""After so many failures in a row the writer counts as gone, and the run ends."""


@dataclass(frozen=True, slots=True)
class Request:
    """One reply that is wanted.

    Attributes:
        key: its key in the store.
        messages: the conversation.
        seed: the seed of the sampling; None sends none.
    """

    key: bytes
    messages: Messages
    seed: int | None = None


@dataclass
class Filled:
    """What one run did.

    Attributes:
        there: replies that the store held before.
        sent, tokens: what it spent, in requests and in tokens read and written; repeated tries are not counted.
        failures: number of failed requests, by kind.
        last_failure: message of the last one.
        stopped: why it ended before all was asked for; empty when it did not.
    """

    there: int = 0
    sent: int = 0
    tokens: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    last_failure: str = ""
    stopped: str = ""

    @property
    def complete(self) -> bool:
        return not self.stopped and not self.failures


def fill(
    requests: Iterable[Request], total: int, store: Store, limits: Limits, open_writer: Callable[[], Writer], name: str
) -> Filled:
    """Ask for every reply that the store lacks.

    Args:
        total: how many requests there are, for the progress bar.
        limits: how many requests at a time, and how much may be spent.
        open_writer: called when there is something to ask.
        name: name of the stage, for the progress bar.

    Raises:
        WriterUnusable: no request will get a reply; the replies so far are in the store.
        StoreError: the store cannot be written.
    """
    filled = Filled()
    with tqdm(total=total, unit="reply", desc=name, smoothing=0.05) as progress:
        asyncio.run(_ask_all(requests, store, limits, open_writer, filled, progress))
    return filled


def _turns(requests: Iterable[Request], store: Store, limits: Limits, filled: Filled, progress: tqdm) -> Turns[Request]:
    def there(request: Request) -> None:
        filled.there += 1
        # Not `update`: replies that were there before must not count in the rate.
        progress.initial += 1
        progress.n += 1

    def waits(whom: str) -> None:
        progress.write(f"{progress.desc}: waits for {whom}", file=sys.stderr)

    return Turns(requests, store, limits.concurrency, there, progress.update, waits)


async def _ask_all(
    requests: Iterable[Request],
    store: Store,
    limits: Limits,
    open_writer: Callable[[], Writer],
    filled: Filled,
    progress: tqdm,
) -> None:
    turns = _turns(requests, store, limits, filled, progress)
    # No model is loaded when nothing is missing. While one is loaded, nothing is claimed.
    first = await turns.next()
    if first is None:
        return
    turns.put_back(first)
    # Opened within the event loop, because vLLM's engine and HTTP connections belong to one loop.
    writer, in_a_row = open_writer(), 0

    async def next_request() -> Request | None:
        """The next request, or None when there is none or none may be sent."""
        request = await turns.next()
        if request is None:
            return None
        for name, spent in (("max_requests", filled.sent), ("max_tokens", filled.tokens)):
            limit = getattr(limits, name)
            if limit is not None and spent >= limit:
                filled.stopped = f"{name}={limit:,} is spent ({filled.sent:,} requests, {filled.tokens:,} tokens)"
        if in_a_row >= FAILURES_IN_A_ROW:
            filled.stopped = f"{in_a_row} failures in a row, the last: {filled.last_failure}"
        if filled.stopped:
            turns.done(request)
            turns.close()
            return None
        return request

    async def work() -> None:
        nonlocal in_a_row
        while (request := await next_request()) is not None:
            filled.sent += 1
            try:
                reply = await writer.write(request.messages, request.seed)
            except WriterFailed as error:
                filled.failures[error.kind] += 1
                filled.last_failure = str(error)
                in_a_row += 1
            else:
                await store.keep(request.key, reply)
                filled.tokens += reply.read + reply.written
                in_a_row = 0
                progress.update()
            finally:
                turns.done(request)

    tasks = [asyncio.create_task(work()) for _ in range(limits.concurrency)]
    beating = asyncio.create_task(store.claims.beat())
    try:
        await asyncio.gather(*tasks)
    finally:
        beating.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await writer.close()
