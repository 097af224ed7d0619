"""Collects what is wrong with rows: the first few for the terminal, all of them for a file."""

import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from sinternal_verl.data.schema import PartialFile

MAX_SHOWN = 20


class Findings:
    """Counts lines and keeps the first `MAX_SHOWN`, because a file may have a million bad rows.

    >>> findings = Findings()
    >>> for row in range(22):
    ...     findings.add(f"row {row}: bad")
    >>> findings.count, findings.lines()[0], findings.lines()[-1]
    (22, 'row 0: bad', 'and 2 more')
    """

    def __init__(self) -> None:
        self.count = 0
        self._shown: list[str] = []

    def add(self, line: str) -> None:
        self.count += 1
        if len(self._shown) < MAX_SHOWN:
            self._shown.append(line)

    def lines(self) -> list[str]:
        hidden = self.count - len(self._shown)
        return [*self._shown, f"and {hidden:,} more"] if hidden else self._shown


class Listing:
    """Writes bad rows to a file, one line of JSON each. The file exists only if there is such a row.

    Use it as a context manager and call `finish` after the last row. Without `finish` nothing is published, so an
    interrupted run leaves no incomplete file.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self._partial = PartialFile(target)
        self._file: IO[str] | None = None

    def __enter__(self) -> "Listing":
        return self

    def add(self, entry: dict[str, Any]) -> None:
        if self._file is None:
            self._file = self._partial.path.open("w", encoding="utf-8")
        self._file.write(json.dumps(entry) + "\n")

    def finish(self) -> None:
        """Publish the file. Without rows, remove the file of an earlier run, which would be out of date."""
        if self._file is None:
            self.target.unlink(missing_ok=True)
        else:
            self._file.close()
            self._partial.publish()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._partial.discard()
