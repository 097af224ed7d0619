"""Several calls to a Ray actor in one: a Ray call costs either side a millisecond or more of Python, and a
small guard takes less for a verdict.

What is asked of an actor within one turn of the event loop travels together, `MOST` at a time, and comes
back together: each with its result or its exception, and within a time limit of its own. So what a reward
worker asks in a burst also reaches the guard's engine in one.
"""

import asyncio
from typing import Any

import ray

MOST = 64
"""Calls in one; who asks more waits for a part of them only."""

ACTORS_SHARE = 0.9
"""Of a call's time, after which the actor gives it up, so that what came with it is back in time."""

Call = tuple[str, tuple[Any, ...], float]
"""Method, arguments, time limit in seconds."""

_CARRIED = ("builtins", "asyncio", "sinternal_verl")
"""Whose exceptions travel as they are: those of others may not survive the way, so only their names do."""


class Answers:
    """The actor's side."""

    async def answer(self, calls: list[Call]) -> list[Any]:
        """Of each call its result, or its exception: `TimeoutError` where it took too long."""
        tries = (
            asyncio.wait_for(getattr(self, method)(*arguments), within_s * ACTORS_SHARE)
            for method, arguments, within_s in calls
        )
        return [_portable(result) for result in await asyncio.gather(*tries, return_exceptions=True)]


def _portable(result: Any) -> Any:
    carried = isinstance(result, Exception) and type(result).__module__.split(".")[0] in _CARRIED
    if carried or not isinstance(result, BaseException):
        return result
    return RuntimeError(f"{type(result).__name__}: {result}")


class Mailbox:
    """The side that asks.

    Args:
        actor: the handle of one that `Answers`.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._asked: list[tuple[Call, asyncio.Future]] = []
        self._deliveries: set[asyncio.Task] = set()

    async def ask(self, method: str, *arguments: Any, within_s: float) -> Any:
        """What the actor's method returns.

        Raises:
            TimeoutError: it did not within ``within_s`` seconds.
            ray.exceptions.RayError: the actor died.
            Exception: what the method raised.
        """
        loop = asyncio.get_running_loop()
        if not self._asked:
            loop.call_soon(self._send)
        future = loop.create_future()
        self._asked.append(((method, arguments, within_s), future))
        return await asyncio.wait_for(future, within_s)

    def _send(self) -> None:
        asked, self._asked = self._asked, []
        for start in range(0, len(asked), MOST):
            delivery = asyncio.ensure_future(self._deliver(asked[start : start + MOST]))
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)

    async def _deliver(self, asked: list[tuple[Call, asyncio.Future]]) -> None:
        calls, futures = zip(*asked, strict=True)
        answers = self._actor.answer.remote(list(calls))

        def forget(_: asyncio.Future) -> None:
            if all(future.cancelled() for future in futures):
                ray.cancel(answers)

        for future in futures:
            future.add_done_callback(forget)
        try:
            results = await answers
        except ray.exceptions.RayError as error:
            results = [error] * len(futures)
        for future, result in zip(futures, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
