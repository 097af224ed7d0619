"""Keeps every reply as it arrives, in a SQLite file, under a key made of all that decides the reply.

A reply is committed before its worker starts the next request, so that `kill -9` loses only requests in flight. Builds
may share a store: the same request has the same key in each. A store is made in one transaction, so a
file is either whole or still empty, whoever opens it at the same time and whenever a process is killed.

On a file system of one machine SQLite keeps a write-ahead log, and a commit is one append. Elsewhere it keeps a
rollback journal and waits for the disk. Where locks fail, one process at a time has the store, and no lock is asked
for.
"""

import asyncio
import os
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from sinternal_verl.verify.claims import TABLES, Claims
from sinternal_verl.verify.filesystem import locks_hold, log_works
from sinternal_verl.verify.owner import Owned, OwnerFile

FORMAT = 2
"""Version of the file's format; a file of another version is refused. In version 1 a key knew a model by its name."""

REPLIES = (
    "CREATE TABLE replies (key BLOB PRIMARY KEY, text TEXT NOT NULL, thought TEXT NOT NULL, "
    "finish TEXT NOT NULL, read INTEGER NOT NULL, written INTEGER NOT NULL)"
)

BUSY_TIMEOUT_S = 60.0
"""How long a process waits for another that writes to the same store."""

Finish = Literal["stop", "length", "tool_calls", "refused", "too_long", "rejected"]

MAX_KEY_BYTES = 64
"""No key is longer."""

_BUSY = ("database is locked", "locking protocol")
"""Messages of SQLite that another process is at work. SQLite does not wait by itself where it changes the journal."""


class StoreError(RuntimeError):
    """The file is no store, or cannot be opened or written; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model wrote.

    Attributes:
        text: the message, as it came; where there is none, what the server said instead.
        thought: the thought, where the server returns it apart; else it is part of ``text``.
        finish: why it ended: by itself, at its longest length, or with a call of a tool. Or why there is no answer, now
            and whenever this is asked again: the server or its content filter refused, the prompt is too long, or the
            server rejects the request.
        read, written: tokens of prompt and reply, as the server counts them.
    """

    text: str
    thought: str = ""
    finish: Finish = "stop"
    read: int = 0
    written: int = 0


class Store:
    """A store of replies; use it as a context manager.

    Args:
        path: the file.
        read_only: neither make nor change it. A file that is not there has no replies.

    Attributes:
        claims: which process asks for which reply.

    Raises:
        StoreError: the file is no store of this version, another process has it alone, or it cannot be opened or
            written.
    """

    def __init__(self, path: Path, read_only: bool = False) -> None:
        self._path, self._read_only = path, read_only
        self._connection: sqlite3.Connection | None = None
        self._owner: OwnerFile | None = None
        self._coming: tuple[list[tuple[bytes, Reply]], asyncio.Future[None]] | None = None
        self.claims = Claims(self._run, self._transaction)

    def __enter__(self) -> "Store":
        try:
            self._open()
        except (OSError, sqlite3.Error) as error:
            self._close()
            raise StoreError(f"store={self._path}: {error}; give another path") from error
        except Owned as error:
            self._close()
            raise StoreError(f"store={self._path} is in use: {error}") from error
        except StoreError:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Claims that are left here, for instance because the disk is full, end with this process.
        with suppress(StoreError):
            self.claims.end()
        self._close()

    def __contains__(self, key: bytes) -> bool:
        return self._run("SELECT 1 FROM replies WHERE key = ?", key).fetchone() is not None

    def get(self, key: bytes) -> Reply | None:
        columns = "text, thought, finish, read, written"
        row = self._run(f"SELECT {columns} FROM replies WHERE key = ?", key).fetchone()
        return None if row is None else Reply(*row)

    def add(self, key: bytes, reply: Reply) -> None:
        """Store a reply, and end the claim on it; both are committed when this returns. A key that has a reply keeps
        it.

        Raises:
            StoreError: the reply could not be written.
        """
        self._add_all([(key, reply)])

    async def keep(self, key: bytes, reply: Reply) -> None:
        """Like `add`; replies that come at one moment are committed together, since each commit may wait for a disk.

        Raises:
            StoreError: the replies could not be written.
        """
        if self._coming is None:
            loop = asyncio.get_running_loop()
            self._coming = [], loop.create_future()
            loop.call_soon(self._commit)
        replies, committed = self._coming
        replies.append((key, reply))
        # Whoever is cancelled here leaves the others, and the reply is stored all the same.
        await asyncio.shield(committed)

    def _commit(self) -> None:
        (replies, committed), self._coming = self._coming, None
        try:
            self._add_all(replies)
        except Exception as error:  # of any kind: whoever waits for it must learn of it, or would wait for ever
            committed.set_exception(error)
        else:
            committed.set_result(None)

    def _add_all(self, replies: list[tuple[bytes, Reply]]) -> None:
        with self._transaction():
            for key, reply in replies:
                values = {"key": key, **asdict(reply)}
                marks = ", ".join("?" * len(values))
                self._run(f"INSERT OR IGNORE INTO replies ({', '.join(values)}) VALUES ({marks})", *values.values())
                self._run("DELETE FROM claims WHERE key = ?", key)

    def has_any(self, group: bytes) -> bool:
        """Whether it has a reply to any key that begins like this."""
        last = group + b"\xff" * MAX_KEY_BYTES
        return self._run("SELECT 1 FROM replies WHERE key BETWEEN ? AND ? LIMIT 1", group, last).fetchone() is not None

    def copy(self, other: "Store") -> None:
        """Copy the replies of another store into this one, in one transaction. A key that has a reply keeps it.

        Raises:
            StoreError: a reply could not be read or written; none is copied then.
        """
        names = ("key", *(field.name for field in fields(Reply)))
        marks = ", ".join("?" * len(names))
        try:
            found = other._connection.execute(f"SELECT {', '.join(names)} FROM replies")
            with self._transaction():
                self._connection.executemany(
                    f"INSERT OR IGNORE INTO replies ({', '.join(names)}) VALUES ({marks})", found
                )
        except sqlite3.Error as error:
            raise StoreError(f"{other._path} cannot be copied into store={self._path}: {error}") from error

    def __len__(self) -> int:
        return self._run("SELECT count(*) FROM replies").fetchone()[0]

    def _run(self, statement: str, *values: Any) -> sqlite3.Cursor:
        try:
            return self._connection.execute(statement, values)
        except sqlite3.Error as error:
            what = "read" if statement.startswith("SELECT") else "written"
            room = "make room, and " if "full" in str(error) or "disk" in str(error) else ""
            step = f"{room}the same command goes on from here"
            raise StoreError(f"store={self._path} cannot be {what}: {error}; {step}") from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._run("COMMIT")
        finally:
            # SQLite has ended it already after some errors, such as a full disk.
            if self._connection.in_transaction:
                self._connection.rollback()

    def _open(self) -> None:
        path = self._path.resolve()
        if self._read_only and not path.exists():
            self._connection = _connect(":memory:")
            self._make()
            return
        if not self._read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
        # Where nothing can be written there is nobody to be kept apart from.
        fixed = self._read_only and not os.access(path.parent, os.W_OK)
        locks = fixed or locks_hold(path.parent)
        owner = OwnerFile(path.with_name(f"{path.name}.owner"))
        if not locks:
            owner.take()
            self._owner = owner
        elif not fixed:
            owner.check()  # a machine on which the locks fail
        mode = "mode=ro&immutable=1" if fixed else "mode=rw" if self._read_only else "mode=rwc"
        self._connection = _connect(f"{path.as_uri()}?{mode}{'' if locks else '&vfs=unix-none'}")
        if not locks:
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        journal = None if self._read_only else "wal" if locks and log_works(path.parent) else "truncate"
        deadline = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                return self._prepare(journal)
            except sqlite3.OperationalError as error:
                self._connection.rollback()
                if not str(error).startswith(_BUSY) or time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(0.01, 0.1))

    def _prepare(self, journal: str | None) -> None:
        """Make the store where the file is empty, and choose the journal; None leaves both as they are."""
        execute = self._connection.execute
        execute("BEGIN")  # what is read is of one moment, although others may make it at this time
        made = self._is_made()
        execute("COMMIT")
        if not made and journal is None:
            self._connection.close()
            self._connection = _connect(":memory:")
            self._make()
            return
        if not made:
            execute("BEGIN IMMEDIATE")
            if not self._is_made():
                self._make()
            execute("COMMIT")
        if journal and execute("PRAGMA journal_mode").fetchone()[0] != journal:
            execute(f"PRAGMA journal_mode = {journal}")
        # With the log a power cut may lose the last commits; with the other journal it could ruin the file.
        execute(f"PRAGMA synchronous = {'NORMAL' if journal == 'wal' else 'FULL'}")

    def _is_made(self) -> bool:
        """Whether it is a store; False where there is nothing in it yet.

        Raises:
            StoreError: it is something else.
        """
        execute = self._connection.execute
        version = execute("PRAGMA user_version").fetchone()[0]
        made = [sql for (sql,) in execute("SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite%'")]
        if version == FORMAT and made == [REPLIES, *TABLES]:
            return True
        # An earlier version made the table before it wrote the version, and may have been killed between the two.
        if version > 1 or made not in ([], [REPLIES]):
            raise StoreError(f"store={self._path} is no store of this version; give another path")
        if made and (count := execute("SELECT count(*) FROM replies").fetchone()[0]):
            raise StoreError(
                f"store={self._path} holds {count:,} replies of an earlier version of this package. It knew a model by "
                "its name alone, so nobody can tell which weights wrote them. The file is left as it is: go on with "
                "that version, or give another path, where all is asked for anew"
            )
        return False

    def _make(self) -> None:
        self._connection.execute("DROP TABLE IF EXISTS replies")
        for table in (REPLIES, *TABLES):
            self._connection.execute(table)
        self._connection.execute(f"PRAGMA user_version = {FORMAT}")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._owner is not None:
            self._owner.leave()


def _connect(name: str) -> sqlite3.Connection:
    return sqlite3.connect(name, timeout=BUSY_TIMEOUT_S, isolation_level=None, uri=True)
