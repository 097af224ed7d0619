"""Which process asks for which reply, so that two commands that run at once pay once.

A process claims a key in the store before it sends the request, and its claim ends with the reply, with a failure, or
with the process. That a process of this machine has ended is seen at once. Every process counts a number up while it
works; who sees the same number for `EXPIRY_S` takes it for gone, be it on another machine or merely stopped. No clocks
are compared.
"""

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

from sinternal_verl.verify.owner import Process

BEAT_S = 10.0
"""How often a process counts up."""

EXPIRY_S = 120.0
"""After so long without counting up, a process counts as gone."""

TABLES = (
    "CREATE TABLE processes (id INTEGER PRIMARY KEY AUTOINCREMENT, process TEXT NOT NULL, beat INTEGER NOT NULL)",
    "CREATE TABLE claims (key BLOB PRIMARY KEY, process INTEGER NOT NULL) WITHOUT ROWID",
)

Run = Callable[..., sqlite3.Cursor]


class Claims:
    """The claims of one process on a store.

    Args:
        run: executes a statement of SQL.
        transaction: a context in which statements hold together.
    """

    def __init__(self, run: Run, transaction: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self._run, self._transaction = run, transaction
        self._me: int | None = None
        self._beats: dict[int, tuple[int, float]] = {}

    def take(self, keys: Sequence[bytes]) -> set[bytes]:
        """Claim keys, and return those that are claimed: not one that another process has, nor one whose reply has
        come meanwhile."""
        with self._transaction():
            # A new claim is a sign of life. Whom another took for gone is entered anew.
            if self._me is not None and not self._count_up():
                self._me = None
            return {key for key in keys if self._take(key)}

    def drop(self, keys: Sequence[bytes]) -> None:
        """End this process's claims; no reply has come."""
        with self._transaction():
            for key in keys:
                self._run("DELETE FROM claims WHERE key = ? AND process = ?", key, self._me)

    def holder(self, key: bytes) -> str:
        """The process that asks for a key, in words; empty where there is none."""
        other = self._holder(key)
        process = None if other is None else self._process(other)
        return "" if process is None else str(process)

    def end(self) -> None:
        """End all claims of this process."""
        if self._me is not None:
            with self._transaction():
                self._end(self._me)
            self._me = None

    async def beat(self) -> None:
        """Count up until this is cancelled."""
        while True:
            await asyncio.sleep(BEAT_S)
            if self._me is not None and not self._count_up():
                # Another machine took this process for gone; its next claim enters it again.
                self._me = None

    def _take(self, key: bytes) -> bool:
        if self._run("SELECT 1 FROM replies WHERE key = ?", key).fetchone():
            return False
        other = self._holder(key)
        if other is not None and not self._gone(other):
            return other == self._me
        if other is not None:
            self._end(other)
        if self._me is None:
            process = json.dumps(asdict(Process.here()))
            self._me = self._run("INSERT INTO processes (process, beat) VALUES (?, 0)", process).lastrowid
        self._run("INSERT INTO claims VALUES (?, ?)", key, self._me)
        return True

    def _count_up(self) -> bool:
        return self._run("UPDATE processes SET beat = beat + 1 WHERE id = ?", self._me).rowcount == 1

    def _holder(self, key: bytes) -> int | None:
        found = self._run("SELECT process FROM claims WHERE key = ?", key).fetchone()
        return None if found is None else found[0]

    def _process(self, number: int) -> Process | None:
        found = self._run("SELECT process FROM processes WHERE id = ?", number).fetchone()
        return None if found is None else Process(**json.loads(found[0]))

    def _gone(self, number: int) -> bool:
        process = self._process(number)
        if process is None or process.alive() is False:
            return True
        beat = self._run("SELECT beat FROM processes WHERE id = ?", number).fetchone()[0]
        known, since = self._beats.get(number, (None, 0.0))
        if beat != known:
            self._beats[number] = beat, time.monotonic()
            return False
        return time.monotonic() - since > EXPIRY_S

    def _end(self, number: int) -> None:
        self._run("DELETE FROM claims WHERE process = ?", number)
        self._run("DELETE FROM processes WHERE id = ?", number)
