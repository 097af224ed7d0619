"""Sends several calls to a Ray actor as one: a Ray call costs either side a millisecond or more of Python, and a
small guard needs less for a verdict.

Calls that are made within one turn of the event loop travel together, at most `MAX_CALLS` at a time, and come back
together, each with its result or its exception. A burst of questions from a reward worker thus reaches the guard's
engine all at once. Only calls with about the same time limit travel together, so that no call waits beyond its limit.

The time limit of a call begins when the actor admits it (`sinternal_verl.guard.window`), and the actor keeps it. The
caller only sees to it that the actor is there: it asks one from which nothing comes back, and gives it up when
nothing came back for `MAX_SILENCE` time limits.
"""

import asyncio
import time
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any
from weakref import WeakKeyDictionary

import ray

from sinternal_verl.guard.clock import clock_of_this_sample, wait_within
from sinternal_verl.guard.errors import CallFailed
from sinternal_verl.guard.window import MAX_SILENCE, Window

MAX_CALLS = 64
"""The most calls that travel together; of a larger burst the first results come back before the last."""

MAX_TIMEOUT_RATIO = 1.1
"""The largest ratio of the time limits of calls that travel together."""

LOOKS, MAX_LOOK_S = 8, 5.0
"""How often within a time limit a caller looks after its calls, and the longest time between two looks."""

PING_AFTER = 1.2
"""The actor is asked whether it is there when nothing came back for so many time limits."""

PING = "ping"
UNQUEUED = frozenset({PING, "works"})
"""Calls that ask after the actor itself; they do not wait for their turn."""

Call = tuple[str, tuple[Any, ...], float]
"""Method, arguments, time limit in seconds."""

Asked = tuple[Call, asyncio.Future]

Watched = dict[asyncio.Future, tuple[float, float]]
"""Calls that have not come back: when each was made, and its time limit."""

_CARRIED = (ValueError, TimeoutError, asyncio.TimeoutError)
"""Exceptions that travel as they are, as do our own. A library's exception may not unpickle on the other side."""


class Answers:
    """The actor's side: a base class of the actor.

    Attributes:
        window: lets calls wait for their turn; None admits all at once.
    """

    window: Window | None = None

    async def answer(self, *calls: Call) -> list[tuple[Any, float]]:
        """For each call its result or its exception, and the seconds that it took after it was admitted;
        `TimeoutError` where these are too many, or where it was not admitted and nothing else was answered."""
        return await asyncio.gather(*(self._answer(*call) for call in calls))

    async def ping(self) -> None:
        """Only answer."""

    async def _answer(self, method: str, arguments: tuple[Any, ...], within_s: float) -> tuple[Any, float]:
        admitted = None
        try:
            async with AsyncExitStack() as stack:
                if self.window and method not in UNQUEUED:
                    await stack.enter_async_context(self.window.place(within_s))
                admitted = time.monotonic()
                result = await wait_within(getattr(self, method)(*arguments), within_s)
        except Exception as error:
            result = _portable(error)
        return result, 0.0 if admitted is None else time.monotonic() - admitted


def _portable(error: Exception) -> Exception:
    if type(error) in _CARRIED or type(error).__module__.startswith("sinternal_verl."):
        return error
    return CallFailed(f"{type(error).__name__}: {error}")


class Mailbox:
    """The caller's side.

    Args:
        actor: the handle of an actor whose class is an `Answers`.
        max_calls: the most calls that travel together. With 1 a call that is cancelled is cancelled in the actor, too;
            of calls that travel together only all at once.

    Attributes:
        heard_at: when something came back from the actor for the last time, as of `time.monotonic`.
    """

    def __init__(self, actor: Any, max_calls: int = MAX_CALLS) -> None:
        self._actor, self._max_calls, self.heard_at = actor, max_calls, time.monotonic()
        self._asked: WeakKeyDictionary[asyncio.AbstractEventLoop, list[Asked]] = WeakKeyDictionary()
        self._watched: WeakKeyDictionary[asyncio.AbstractEventLoop, Watched] = WeakKeyDictionary()
        self._watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task] = WeakKeyDictionary()
        self._tasks: set[asyncio.Task] = set()

    async def ask(self, method: str, *arguments: Any, within_s: float) -> Any:
        """Call a method of the actor and return its result. The sample's clock learns how long the actor served it.

        Raises:
            TimeoutError: it did not return within ``within_s`` seconds after the actor admitted it, or the actor
                answered nothing for `MAX_SILENCE` times as long.
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
        watched = self._watched.setdefault(loop, {})
        watched[future] = (time.monotonic(), within_s)
        watcher = self._watchers.get(loop)
        if watcher is None or watcher.done():
            self._watchers[loop] = self._start(loop, self._watch(watched))
        try:
            result, served_s = await future
        finally:
            watched.pop(future, None)
        clock_of_this_sample().serve(served_s)
        if isinstance(result, Exception):
            raise result
        return result

    def _start(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        for asked in _parts(self._asked.pop(loop), self._max_calls):
            self._start(loop, self._deliver(asked))

    async def _deliver(self, asked: list[Asked]) -> None:
        futures, is_back = [future for _, future in asked], False
        try:
            # One argument for each call: Ray sends up to 100 kB of an argument with the call, and larger ones
            # through the object store.
            answers = self._actor.answer.remote(*(call for call, _ in asked))

            def forget(_: asyncio.Future) -> None:
                if not is_back:
                    ray.cancel(answers)

            asyncio.gather(*futures, return_exceptions=True).add_done_callback(forget)
            results = await answers
            self.heard_at = time.monotonic()
        # Whatever ends the Ray call ends each call that travelled with it.
        except Exception as error:
            results = [(error, 0.0)] * len(asked)
        is_back = True
        for future, result in zip(futures, results, strict=True):
            if not future.done():
                future.set_result(result)

    async def _watch(self, watched: Watched) -> None:
        """Look after the calls of one loop until none is left."""
        ping = None
        while watched:
            shortest_s = min(within_s for _, within_s in watched.values())
            await asyncio.sleep(min(shortest_s / LOOKS, MAX_LOOK_S))
            now, longest = time.monotonic(), 0.0
            for future, (asked_at, within_s) in list(watched.items()):
                silence = now - max(asked_at, self.heard_at)
                longest = max(longest, silence / within_s)
                if silence >= MAX_SILENCE * within_s and not future.done():
                    future.set_exception(TimeoutError(f"nothing came back from it for {silence:.3g} s"))
            if longest >= PING_AFTER and (ping is None or ping.done()):
                ping = self._start(asyncio.get_running_loop(), self._ping())

    async def _ping(self) -> None:
        # A dead actor ends the calls themselves.
        with suppress(ray.exceptions.RayError):
            await self._actor.answer.remote((PING, (), MAX_LOOK_S))
            self.heard_at = time.monotonic()


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
