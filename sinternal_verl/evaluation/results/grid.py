"""A table of words, as plain text, as Markdown and as CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Grid:
    """A table.

    Attributes:
        title: one line above it.
        columns: their names.
        rows: a cell for each column.
        numbers: the columns whose cells stand at the right.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[str] = frozenset()

    def kept(self) -> list[int]:
        """The places of the columns that are not empty in every row; the others are shown nowhere."""
        return [place for place in range(len(self.columns)) if any(row[place] for row in self.rows)]

    def text(self) -> str:
        """For a terminal."""
        kept = self.kept()
        lines = [[line[place] for place in kept] for line in (self.columns, *self.rows)]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        right = [self.columns[place] in self.numbers for place in kept]
        said = (
            "  ".join(
                cell.rjust(width) if end else cell.ljust(width)
                for cell, width, end in zip(line, widths, right, strict=True)
            ).rstrip()
            for line in lines
        )
        return "\n".join([self.title, "", *said])

    def markdown(self) -> str:
        kept = self.kept()
        columns = [self.columns[place] for place in kept]
        marks = ["---:" if column in self.numbers else "---" for column in columns]
        cells = [[_escaped(row[place]) for place in kept] for row in self.rows]
        lines = "\n".join(f"| {' | '.join(line)} |" for line in (columns, marks, *cells))
        return f"## {self.title}\n\n{lines}"


def to_csv(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table as CSV. A name that a spreadsheet would run as a formula gets a quote before it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[_inert(cell) for cell in row] for row in rows])
    return out.getvalue()


def _escaped(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _inert(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@") and len(cell) > 1 else cell
