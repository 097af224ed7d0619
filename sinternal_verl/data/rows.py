"""What a source gives: its rows with their numbers, and what stands in the place of a row that cannot be read."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

FROM_ZERO = "row {} (from 0)"


class SourceError(ValueError):
    """The source cannot be read, or not beyond some row."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a row that cannot be read, and says why."""

    reason: str


Rows = Iterator[tuple[int, dict[str, Any] | Unreadable]]
