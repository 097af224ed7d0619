"""Keeps every reply as it arrives, in a SQLite file, under a key made of all that decides the reply.

A reply is committed before its worker starts the next request, so that `kill -9` loses only requests in
flight. Builds may share a store: the same request has the same key in each.
"""

import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

FORMAT = 1
"""Version of the file's format; a file of another version is refused."""

BUSY_TIMEOUT_S = 60.0
"""How long a process waits for another that writes to the same store."""

Finish = Literal["stop", "length", "tool_calls", "refused", "too_long", "rejected"]


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

    Raises:
        StoreError: the file is no store of this version, or cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> "Store":
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            self._open()
        except (sqlite3.Error, OSError) as error:
            self._close()
            raise StoreError(f"store={self._path}: {error}; give another path") from error
        except StoreError:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def __contains__(self, key: bytes) -> bool:
        return self._connection.execute("SELECT 1 FROM replies WHERE key = ?", (key,)).fetchone() is not None

    def get(self, key: bytes) -> Reply | None:
        columns = "text, thought, finish, read, written"
        row = self._connection.execute(f"SELECT {columns} FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else Reply(*row)

    def add(self, key: bytes, reply: Reply) -> None:
        """Store a reply; it is committed when this returns. A key that has a reply keeps it.

        Raises:
            StoreError: the reply could not be written.
        """
        values = {"key": key, **asdict(reply)}
        names = ", ".join(values)
        try:
            self._connection.execute(
                f"INSERT OR IGNORE INTO replies ({names}) VALUES ({', '.join(f':{name}' for name in values)})", values
            )
        except sqlite3.Error as error:
            step = "make room, and the same command goes on from here"
            raise StoreError(f"store={self._path} cannot be written: {error}; {step}") from error

    def __len__(self) -> int:
        return self._connection.execute("SELECT count(*) FROM replies").fetchone()[0]

    def _open(self) -> None:
        run = self._connection.execute
        version = run("PRAGMA user_version").fetchone()[0]
        if version not in (0, FORMAT) or (version == 0 and run("SELECT count(*) FROM sqlite_master").fetchone()[0]):
            raise StoreError(f"store={self._path} is no store of this version; give another path")
        # Write-ahead log: a commit is one append. It survives the end of this process, but a power cut may lose
        # the last ones.
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = NORMAL")
        run(
            "CREATE TABLE IF NOT EXISTS replies (key BLOB PRIMARY KEY, text TEXT NOT NULL, thought TEXT NOT NULL, "
            "finish TEXT NOT NULL, read INTEGER NOT NULL, written INTEGER NOT NULL)"
        )
        run(f"PRAGMA user_version = {FORMAT}")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
