"""Fills the store: sends many requests at a time, skips those whose reply it holds, and spends no more than allowed.

Memory holds only the requests in flight. A request that fails is counted and left for the next run of the
same command; one that can never succeed is stored with its reason. The run ends after `FAILURES_IN_A_ROW`, or where no
answer can be read (`sinternal_verl.verify.unreadable`).
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tqdm import tqdm

from sinternal_verl.scoring.critique import Critique
from sinternal_verl.verify.budget import Limits, Reserved, Spend, Spent, said
from sinternal_verl.verify.patience import Patience
from sinternal_verl.verify.reading import Reading, critique_of
from sinternal_verl.verify.rejected import ANSWERED, REJECTED, Rejections
from sinternal_verl.verify.store import Reply, Store
from sinternal_verl.verify.turns import Turns
from sinternal_verl.verify.unreadable import Unreadable
from sinternal_verl.verify.writer import Messages, Writer, WriterFailed

FAILURES_IN_A_ROW = 64
"""After so many failures in a row the writer counts as gone, and the run ends. They are broken connections, timeouts
and 5xx: a server that asks to wait, rejects a request or answers what is no answer is there."""

MAX_END_S = 30.0
"""When no request will get a reply any more, the longest wait for those under way."""


@dataclass(frozen=True, slots=True)
class Request:
    """One reply that is wanted.

    Attributes:
        key: its key in the store.
        messages: the conversation.
        seed: the seed of the sampling; None sends none.
        fallback: is asked only where the reply to this one is a critique without a verdict.
    """

    key: bytes
    messages: Messages
    seed: int | None = None
    fallback: "Request | None" = None

    def missing(self, store: Store) -> "Request | None":
        """Which request is to be asked now, this one or one of its fallbacks; None when what is wanted is there."""
        request = self
        while request is not None and request.key in store:
            done = request.fallback is None or isinstance(critique_of(store.get(request.key)), Critique)
            request = None if done else request.fallback
        return request


@dataclass
class Filled:
    """What one run did.

    Attributes:
        there: replies that the store held before.
        sent, read, written: what it spent, in requests, of which repeated tries are none, and in tokens.
        failures: number of failed requests, by kind.
        last_failure: message of the last one.
        answered: whether the model has answered one of the requests, now or before.
        unanswered: number of requests that can never be answered, by ``finish``; the store has them.
        lost, presumed: tries of which nobody told what they cost, and what the budget counts for them.
        waited_s: seconds in which the server asked to wait.
        stopped: why it ended before all was asked for; empty when it did not.
    """

    there: int = 0
    sent: int = 0
    read: int = 0
    written: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    last_failure: str = ""
    answered: bool = False
    unanswered: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    presumed: int = 0
    waited_s: float = 0.0
    stopped: str = ""

    @property
    def tokens(self) -> int:
        return self.read + self.written

    @property
    def complete(self) -> bool:
        return not self.stopped and not self.failures


def fill(
    requests: Iterable[Request],
    total: int,
    store: Store,
    limits: Limits,
    open_writer: Callable[[], Writer],
    name: str,
    *,
    spend: Spend | None = None,
    reading: Reading | None = None,
) -> Filled:
    """Ask for every reply that the store lacks.

    Args:
        total: how many requests there are, for the progress bar.
        limits: how many requests at a time, and how much may be spent.
        open_writer: called when there is something to ask.
        name: name of the stage, for the progress bar.
        spend: what the same command has spent of these limits before; None is nothing.
        reading: counts the verdicts of critiques, and ends the run where none has one; None where no verdict is
            expected.

    Raises:
        WriterUnusable: no request will get a reply; the replies so far are in the store.
        StoreError: the store cannot be written.
    """
    filled = Filled()
    with tqdm(total=total, unit="reply", desc=name, smoothing=0.05) as progress:
        asyncio.run(_ask_all(requests, store, spend or Spend(limits), open_writer, filled, progress, reading))
    return filled


def _turns(
    requests: Iterable[Request], store: Store, ahead: int, filled: Filled, progress: tqdm, reading: Reading | None
) -> Turns[Request]:
    def missing(request: Request) -> Request | None:
        wanted = request.missing(store)
        if wanted is not request:
            reply = store.get(request.key)
            filled.answered = filled.answered or reply.finish in ANSWERED
            if reading and not reading.known:
                reading.known = isinstance(critique_of(reply), Critique)
        return wanted

    def there(request: Request) -> None:
        filled.there += 1
        # Not `update`: replies that were there before must not count in the rate.
        progress.initial += 1
        progress.n += 1

    def waits(whom: str) -> None:
        progress.write(f"{progress.desc}: waits for {whom}", file=sys.stderr)

    return Turns(requests, store, ahead, there, progress.update, waits, missing)


async def _ask_all(
    requests: Iterable[Request],
    store: Store,
    spend: Spend,
    open_writer: Callable[[], Writer],
    filled: Filled,
    progress: tqdm,
    reading: Reading | None,
) -> None:
    turns = _turns(requests, store, spend.limits.concurrency, filled, progress, reading)
    # No model is loaded when nothing is missing. While one is loaded, nothing is claimed.
    first = await turns.next()
    if first is None:
        return
    turns.put_back(first)
    # Opened within the event loop, because vLLM's engine and HTTP connections belong to one loop.
    writer, in_a_row, ended = open_writer(), 0, asyncio.Event()
    lost_before, presumed_before = spend.lost, spend.presumed
    patience = Patience(writer, spend.limits.patience_s, progress.set_postfix_str)

    async def ask(messages: Messages, seed: int | None, reserved: Reserved | None = None) -> Reply:
        filled.sent += 1
        reply = Reply("")

        def cost(read: int, written: int, untold: bool) -> bool:
            filled.read, filled.written = filled.read + read, filled.written + written
            return spend.fail(reserved, read, written, untold)

        try:
            reply = await patience.ask(messages, seed, cost)
        finally:
            spend.settle(reserved, reply.read, reply.written)
            filled.read, filled.written = filled.read + reply.read, filled.written + reply.written
            # Wakes those that wait now; whoever waits later waits for the next one to end.
            ended.set()
            ended.clear()
        return reply

    async def keep(key: bytes, reply: Reply) -> None:
        await store.keep(key, reply)
        filled.answered = filled.answered or reply.finish in ANSWERED
        filled.unanswered.update([reply.finish] if reply.finish not in ANSWERED else [])
        progress.update()

    rejections, unreadable = Rejections(ask, keep, lambda: filled.answered), Unreadable(ask)

    async def next_request() -> tuple[Request, Reserved] | None:
        """The next request and the tokens set aside for it, or None when there is none or none may be sent."""
        request = await turns.next()
        if request is None:
            return None
        if in_a_row >= FAILURES_IN_A_ROW:
            filled.stopped = f"{in_a_row} failures in a row, the last: {filled.last_failure}"
        elif reading and (why := reading.hopeless()):
            filled.stopped = why
        while not filled.stopped:
            try:
                reserved = spend.reserve(request.messages)
            except Spent as spent:
                filled.stopped = str(spent)
                break
            if reserved is not None:
                return request, reserved
            await ended.wait()
        turns.done(request)
        turns.close()
        return None

    async def work() -> None:
        nonlocal in_a_row
        while (found := await next_request()) is not None:
            request, reserved = found
            rejections.under_way += 1
            try:
                reply = await ask(request.messages, request.seed, reserved)
                in_a_row = 0
                unreadable.answered()
                if reading:
                    reading.add(reply)
                shown = (str(reading or ""), said(spend.read, spend.written, spend.limits.prices, apart=False))
                progress.set_postfix_str(", ".join(filter(None, shown)), refresh=False)
                if reply.finish in REJECTED:
                    await rejections.hold(request.key, request.seed, reply)
                else:
                    await keep(request.key, reply)
                    if reply.finish in ANSWERED:
                        await rejections.store_held()
                if request.fallback and not isinstance(critique_of(reply), Critique):
                    turns.add(request.fallback)
                    progress.total += 1
            except WriterFailed as error:
                filled.failures[error.kind] += 1
                filled.last_failure = str(error)
                if error.away:
                    in_a_row += 1
                elif why := await unreadable.add(str(error), request.seed):
                    filled.stopped = why
            finally:
                if request.key not in rejections.held:
                    turns.done(request)
                rejections.under_way -= 1

    tasks = [asyncio.create_task(work()) for _ in range(spend.limits.concurrency)]
    beating = asyncio.create_task(store.claims.beat())
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
        beating.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await writer.close()
        filled.waited_s = patience.waited_s
        filled.lost, filled.presumed = spend.lost - lost_before, spend.presumed - presumed_before
