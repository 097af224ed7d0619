"""What a source gives: its rows with their numbers, and what stands in the place of a row that cannot be read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

FROM_ZERO = "row {} (from 0)"
BATCH = 1_000
"""Rows of a parquet file or of the hub in memory at once."""
NO_VALUE = (ValueError, OverflowError)
"""What pyarrow raises for a text that is not UTF-8, a time outside Python's years, or a struct's field that is there
twice."""


class SourceError(ValueError):
    """The source cannot be read, or not beyond some row."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a row that cannot be read, and says why."""

    reason: str


Rows = Iterator[tuple[int, dict[str, Any] | Unreadable]]


def repeated(names: Sequence[str]) -> str:
    """The names that stand more than once, for a message; of such columns a row would hold only the last."""
    return ", ".join(sorted({repr(name) for name in names if names.count(name) > 1}))
