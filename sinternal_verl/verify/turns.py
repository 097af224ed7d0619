"""Which request is next: none whose reply is stored, none twice, and none that another process asks for.

Two commands on one store share the work: what the one has claimed, the other passes over. At its end it waits for the
replies that it passed over, and asks itself for those that do not come, because the other failed or is gone.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Generic, Protocol, TypeVar

from sinternal_verl.verify.store import Store

MAX_AHEAD = 16
"""The most requests that a process claims at a time; as many may wait for others at its end."""

LOOK_S = 0.5
"""How often a process looks whether another's reply has come."""


class Keyed(Protocol):
    """A request, as far as this module reads it."""

    @property
    def key(self) -> bytes: ...


Request = TypeVar("Request", bound=Keyed)


class Turns(Generic[Request]):
    """The requests that this process is to send, one after the other; many workers may ask.

    Args:
        ahead: how many requests are claimed at a time, since each claim may wait for a disk.
        there: called for every request whose reply is in the store, or comes from another process.
        shared: called for every request that waits for the reply to an equal one of this process.
        waits: called once, with the other process in words, before this one waits for it.
        missing: which request is to be sent for one; None when its reply is there. By default it is the same one.
    """

    def __init__(
        self,
        requests: Iterable[Request],
        store: Store,
        ahead: int,
        there: Callable[[Request], None],
        shared: Callable[[], None],
        waits: Callable[[str], None],
        missing: Callable[[Request], Request | None] | None = None,
    ) -> None:
        self._requests, self._store, self._ahead = iter(requests), store, min(ahead, MAX_AHEAD)
        self._there, self._shared, self._waits = there, shared, waits
        self._missing = missing or (lambda request: None if request.key in store else request)
        self._mine: set[bytes] = set()
        self._ready: deque[Request] = deque()
        self._others: deque[Request] = deque()
        self._looking, self._waited = asyncio.Lock(), False

    async def next(self) -> Request | None:
        """The next request, which `done` ends; None when there is none, or this is closed."""
        if not self._ready:
            self._claim(self._requests)
        if self._ready:
            return self._ready.popleft()
        # One worker looks what has become of the others' requests, and the rest wait for it.
        async with self._looking:
            while not self._ready and self._others:
                others = iter([self._others.popleft() for _ in range(len(self._others))])
                self._claim(others)
                self._others.extend(others)
                if not self._ready and self._others:
                    self._say()
                    await asyncio.sleep(LOOK_S)
            return self._ready.popleft() if self._ready else None

    def done(self, request: Request) -> None:
        """The request has its reply, or has failed."""
        self._mine.discard(request.key)
        if request.key not in self._store:
            self._store.claims.drop([request.key])

    def add(self, request: Request) -> None:
        """A request that has come up meanwhile; it is one of the next."""
        self._requests = chain([request], self._requests)

    def put_back(self, request: Request) -> None:
        """Claim nothing, and begin with this request again."""
        self._requests = chain([request, *self._release([request])], self._requests)

    def close(self) -> None:
        """Give no request any more, and leave those that are claimed and not yet sent to others."""
        self._release([])
        self._requests = iter(())
        self._others.clear()

    def _release(self, sent: list[Request]) -> list[Request]:
        """End the claims on requests that are ready, and on these; return those that were ready."""
        ready = list(self._ready)
        self._ready.clear()
        keys = [request.key for request in (*sent, *ready)]
        self._mine.difference_update(keys)
        self._store.claims.drop(keys)
        return ready

    def _claim(self, requests: Iterator[Request]) -> None:
        """Claim the next requests that are free, until some are ready or none is left."""
        while not self._ready and (wanted := self._wanted(requests)):
            taken = self._store.claims.take([request.key for request in wanted])
            self._mine |= taken
            for request in wanted:
                (self._ready if request.key in taken else self._others).append(request)

    def _wanted(self, requests: Iterator[Request]) -> list[Request]:
        """The next requests whose reply is neither there nor asked for by this process."""
        found: dict[bytes, Request] = {}
        for request in requests:
            wanted = self._missing(request)
            if wanted is None:
                self._there(request)
            elif wanted.key in self._mine or wanted.key in found:
                self._shared()
            else:
                found[wanted.key] = wanted
                if len(found) == self._ahead:
                    break
        return list(found.values())

    def _say(self) -> None:
        holder = self._store.claims.holder(self._others[0].key)
        if holder and not self._waited:
            self._waited = True
            self._waits(f"{len(self._others):,} replies that {holder} asks for")
