"""Several calls to a Ray actor in one: a Ray call costs either side a millisecond or more of Python, and a
small guard takes less for a verdict.

What is asked of an actor within one turn of the event loop travels together, `MAX_CALLS` at a time, and comes
back together, each with its result or its exception: what a reward worker asks in a burst also reaches the
guard's engine in one. Only calls of about the same time limit do, so that none waits for another beyond its own.
"""

import asyncio
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import ray

from sinternal_verl.guard.errors import CallFailed

MAX_CALLS = 64
"""Calls in one; who asks more waits for a part of them only."""

MAX_TIMEOUT_RATIO = 1.1
"""Between the longest and the shortest time limit of calls that travel together."""

RETURN_MARGIN, MAX_RETURN_MARGIN_S = 0.1, 2.0
"""Share of a call's time, and at most seconds, before whose end the actor gives it up: what came with it is
then back in time."""

Call = tuple[str, tuple[Any, ...], float]
"""Method, arguments, time limit in seconds."""

Asked = tuple[Call, asyncio.Future]

_CARRIED = (ValueError, TimeoutError, asyncio.TimeoutError)
"""Exceptions that travel as they are, beside our own: those of libraries may not survive the way."""


class Answers:
    """The actor's side."""

    async def answer(self, *calls: Call) -> list[Any]:
        """Of each call its result, or its exception: `TimeoutError` where it took too long."""
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
    """The side that asks.

    Args:
        actor: the handle of one that `Answers`.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._asked: WeakKeyDictionary[asyncio.AbstractEventLoop, list[Asked]] = WeakKeyDictionary()
        self._deliveries: set[asyncio.Task] = set()

    async def ask(self, method: str, *arguments: Any, within_s: float) -> Any:
        """What the actor's method returns.

        Raises:
            TimeoutError: it did not within ``within_s`` seconds.
            ray.exceptions.RayError: the actor died.
            CallFailed, ValueError: what the method raised; exceptions of this package as they are.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._asked:
            self._asked[loop] = []
            loop.call_soon(self._send, loop)
        future = loop.create_future()
        self._asked[loop].append(((method, arguments, within_s), future))
        return await asyncio.wait_for(future, within_s)

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        for asked in _parts(self._asked.pop(loop)):
            delivery = loop.create_task(self._deliver(asked))
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)

    async def _deliver(self, asked: list[Asked]) -> None:
        futures = [future for _, future in asked]
        try:
            # Apart from each other: up to 100 kB of each travel with the Ray call, and more by the object store.
            answers = self._actor.answer.remote(*(call for call, _ in asked))

            def forget(_: asyncio.Future) -> None:
                if all(future.cancelled() for future in futures):
                    ray.cancel(answers)

            asyncio.gather(*futures, return_exceptions=True).add_done_callback(forget)
            results = await answers
        # Whatever stops the call stops each that travelled with it.
        except Exception as error:
            results = [error] * len(asked)
        for future, result in zip(futures, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


def _parts(asked: list[Asked]) -> Iterator[list[Asked]]:
    """In parts of calls that may travel together."""
    part: list[Asked] = []
    for each in sorted(asked, key=lambda each: each[0][2]):
        if part and (len(part) == MAX_CALLS or each[0][2] > MAX_TIMEOUT_RATIO * part[0][0][2]):
            yield part
            part = []
        part.append(each)
    if part:
        yield part
