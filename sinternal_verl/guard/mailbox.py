"""Sends several calls to a Ray actor as one: a Ray call costs either side a millisecond or more of Python, and a
small guard needs less for a verdict.

Calls that are made within one turn of the event loop travel together, at most `MAX_CALLS` at a time, and come back
together, each with its result or its exception. A burst of questions from a reward worker thus reaches the guard's
engine all at once. Only calls with about the same time limit travel together, so that no call waits beyond its limit.
"""

import asyncio
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import ray

from sinternal_verl.guard.errors import CallFailed

MAX_CALLS = 64
"""The most calls that travel together; of a larger burst the first results come back before the last."""

MAX_TIMEOUT_RATIO = 1.1
"""The largest ratio of the time limits of calls that travel together."""

RETURN_MARGIN, MAX_RETURN_MARGIN_S = 0.1, 2.0
"""The actor gives up a call this share of its time limit before the end, and at most so many seconds before it, so
that the calls that came with it return in time."""

Call = tuple[str, tuple[Any, ...], float]
"""Method, arguments, time limit in seconds."""

Asked = tuple[Call, asyncio.Future]

_CARRIED = (ValueError, TimeoutError, asyncio.TimeoutError)
"""Exceptions that travel as they are, as do our own. A library's exception may not unpickle on the other side."""


class Answers:
    """The actor's side: a base class of the actor."""

    async def answer(self, *calls: Call) -> list[Any]:
        """The result or the exception of each call; `TimeoutError` where it took too long."""
        tries = (
            asyncio.wait_for(
                getattr(self, method)(*arguments), within_s - min(RETURN_MARGIN * within_s, MAX_RETURN_MARGIN_S)
            )
            for method, arguments, within_s in calls
        )
        return [_portable(result) for result in await asyncio.gather(*tries, return_exceptions=True)]


def _portable(result: Any) -> Any:
    if not isinstance(result, BaseException):
        return result
    if type(result) in _CARRIED or type(result).__module__.startswith("sinternal_verl."):
        return result
    return CallFailed(f"{type(result).__name__}: {result}")


class Mailbox:
    """The caller's side.

    Args:
        actor: the handle of an actor whose class is an `Answers`.
        max_calls: the most calls that travel together. With 1 a call that is cancelled is cancelled in the actor, too;
            of calls that travel together only all at once.
    """

    def __init__(self, actor: Any, max_calls: int = MAX_CALLS) -> None:
        self._actor, self._max_calls = actor, max_calls
        self._asked: WeakKeyDictionary[asyncio.AbstractEventLoop, list[Asked]] = WeakKeyDictionary()
        self._deliveries: set[asyncio.Task] = set()

    async def ask(self, method: str, *arguments: Any, within_s: float) -> Any:
        """Call a method of the actor and return its result.

        Raises:
            TimeoutError: it did not return within ``within_s`` seconds.
            ray.exceptions.RayError: the actor died.
            ValueError, or an exception of this package: the method raised it.
            CallFailed: the method raised any other exception.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._asked:
            self._asked[loop] = []
            loop.call_soon(self._send, loop)
        future = loop.create_future()
        self._asked[loop].append(((method, arguments, within_s), future))
        return await asyncio.wait_for(future, within_s)

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        for asked in _parts(self._asked.pop(loop), self._max_calls):
            delivery = loop.create_task(self._deliver(asked))
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)

    async def _deliver(self, asked: list[Asked]) -> None:
        futures = [future for _, future in asked]
        try:
            # One argument for each call: Ray sends up to 100 kB of an argument with the call, and larger ones
            # through the object store.
            answers = self._actor.answer.remote(*(call for call, _ in asked))

            def forget(_: asyncio.Future) -> None:
                if all(future.cancelled() for future in futures):
                    ray.cancel(answers)

            asyncio.gather(*futures, return_exceptions=True).add_done_callback(forget)
            results = await answers
        # Whatever ends the Ray call ends each call that travelled with it.
        except Exception as error:
            results = [error] * len(asked)
        for future, result in zip(futures, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


def _parts(asked: list[Asked], max_calls: int = MAX_CALLS) -> Iterator[list[Asked]]:
    """Split into parts of calls that may travel together."""
    part: list[Asked] = []
    for each in sorted(asked, key=lambda each: each[0][2]):
        if part and (len(part) == max_calls or each[0][2] > MAX_TIMEOUT_RATIO * part[0][0][2]):
            yield part
            part = []
        part.append(each)
    if part:
        yield part
