"""Fills the store: sends many requests at a time, skips those whose reply it holds, and spends no more than allowed.

Memory holds only the requests in flight. A request that fails is counted and left for the next run of the
same command; one that can never succeed is stored with its reason. The run ends after `FAILURES_IN_A_ROW`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from tqdm import tqdm

from sinternal_verl.verify.patience import Patience
from sinternal_verl.verify.rejected import ANSWERED, REJECTED, Rejections
from sinternal_verl.verify.store import Reply, Store
from sinternal_verl.verify.writer import Limits, Messages, Writer, WriterFailed

FAILURES_IN_A_ROW = 64
"""After so many failures in a row the writer counts as gone, and the run ends. Failures are broken connections,
timeouts, 5xx and answers that are none; neither a server that asks to wait nor a request that it rejects is one."""

MAX_END_S = 30.0
"""When no request will get a reply any more, the longest wait for those under way."""


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
        answered: whether the model has answered one of the requests, now or before.
        unanswered: number of requests that can never be answered, by ``finish``; the store has them.
        waited_s: seconds in which the server asked to wait.
        stopped: why it ended before all was asked for; empty when it did not.
    """

    there: int = 0
    sent: int = 0
    tokens: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    last_failure: str = ""
    answered: bool = False
    unanswered: Counter[str] = field(default_factory=Counter)
    waited_s: float = 0.0
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
        missing = _missing(requests, store, filled, progress)
        # No model is loaded when nothing is missing.
        first = next(missing, None)
        if first is not None:
            asyncio.run(_ask_all(chain([first], missing), store, limits, open_writer, filled, progress))
    return filled


def _missing(requests: Iterable[Request], store: Store, filled: Filled, progress: tqdm) -> Iterator[Request]:
    for request in requests:
        if request.key in store:
            filled.there += 1
            filled.answered = filled.answered or store.get(request.key).finish in ANSWERED
            # Not `update`: replies that were there before must not count in the rate.
            progress.initial += 1
            progress.n += 1
        else:
            yield request


async def _ask_all(
    requests: Iterator[Request],
    store: Store,
    limits: Limits,
    open_writer: Callable[[], Writer],
    filled: Filled,
    progress: tqdm,
) -> None:
    # Opened within the event loop, because vLLM's engine and HTTP connections belong to one loop.
    writer, in_a_row, in_flight = open_writer(), 0, set()
    patience = Patience(writer, limits.patience_s, progress.set_postfix_str)

    async def ask(messages: Messages, seed: int | None) -> Reply:
        filled.sent += 1
        reply = await patience.ask(messages, seed)
        filled.tokens += reply.read + reply.written
        return reply

    async def keep(key: bytes, reply: Reply) -> None:
        store.add(key, reply)
        filled.answered = filled.answered or reply.finish in ANSWERED
        filled.unanswered.update([reply.finish] if reply.finish not in ANSWERED else [])
        progress.update()

    rejections = Rejections(ask, keep, lambda: filled.answered)

    def next_missing() -> Request | None:
        for request in requests:
            if request.key not in in_flight:
                return request
            progress.update()  # one reply serves both
        return None

    def next_request() -> Request | None:
        """The next request, or None when there is none or none may be sent."""
        request = next_missing()
        if request is None:
            return None
        for name, spent in (("max_requests", filled.sent), ("max_tokens", filled.tokens)):
            limit = getattr(limits, name)
            if limit is not None and spent >= limit:
                filled.stopped = f"{name}={limit:,} is spent ({filled.sent:,} requests, {filled.tokens:,} tokens)"
        if in_a_row >= FAILURES_IN_A_ROW:
            filled.stopped = f"{in_a_row} failures in a row, the last: {filled.last_failure}"
        return None if filled.stopped else request

    async def work() -> None:
        nonlocal in_a_row
        while (request := next_request()) is not None:
            in_flight.add(request.key)
            rejections.under_way += 1
            try:
                reply = await ask(request.messages, request.seed)
                in_a_row = 0
                if reply.finish in REJECTED:
                    await rejections.hold(request.key, request.seed, reply)
                else:
                    await keep(request.key, reply)
                    if reply.finish in ANSWERED:
                        await rejections.store_held()
            except WriterFailed as error:
                filled.failures[error.kind] += 1
                filled.last_failure = str(error)
                in_a_row += 1
            finally:
                in_flight.discard(request.key)
                rejections.under_way -= 1

    tasks = [asyncio.create_task(work()) for _ in range(limits.concurrency)]
    try:
        done, under_way = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        if under_way:
            # One met the end of all. The others may be paid for, so their replies are taken.
            filled.stopped = "the writer is unusable"
            patience.end()
            await asyncio.wait(under_way, timeout=MAX_END_S)
        for task in done:
            task.result()
        if filled.answered:
            await rejections.store_held()
        elif rejections.held and not filled.stopped:
            filled.stopped = rejections.why()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await writer.close()
        filled.waited_s = patience.waited_s
