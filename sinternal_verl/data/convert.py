"""Converts a source's rows to verl's RL parquet: each prompt once, and a list of the rows left out."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sinternal_verl import __version__
from sinternal_verl.data.adapter import NoTruth, Reader, Row, RowError
from sinternal_verl.data.findings import Findings, Listing
from sinternal_verl.data.readers import Source, SourceError, Unreadable
from sinternal_verl.data.schema import RowWriter
from sinternal_verl.data.seen import SeenPrompts

ReaderOf = Callable[[Row, Source], Reader]
"""Makes the reader of a source from its first row."""


@dataclass
class Result:
    """What became of a source's rows: ``read`` is ``written`` + ``duplicates`` + ``without_truth`` + the bad ones.

    Attributes:
        reader: the reader that was chosen; None when no row could be read.
        sources: number of good rows for each ``data_source``.
        without_truth: number of rows of which the source says that there is no ground truth, by its words.
        saved: whether the target was written.
        bad: the first reasons, and how many there are.
    """

    bad: Findings = field(default_factory=Findings)
    reader: Reader | None = None
    read: int = 0
    duplicates: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    without_truth: Counter[str] = field(default_factory=Counter)
    saved: bool = False

    @property
    def written(self) -> int:
        return self.sources.total()


def convert(source: Source, out: Path, reader_of: ReaderOf, skip_bad: bool = False) -> Result:
    """Write ``out``, and list every bad row and every one without a ground truth in ``<out>.rejected.jsonl``.

    If there are bad rows, ``out`` is written only with ``skip_bad``; otherwise it stays as it was.

    Raises:
        SourceError: the source cannot be read, no adapter knows it, or it holds no rows.
    """
    result, seen = Result(), SeenPrompts()
    with Listing(rejected_path(out)) as rejected, RowWriter(out) as writer:
        for row_number, (number, row) in enumerate(source.rows()):
            result.read += 1
            where = {"row": row_number, "place": source.place.format(number)}
            try:
                if isinstance(row, Unreadable):
                    raise RowError(row.reason)
                result.reader = result.reader or _reader(source, number, row, reader_of)
                made = result.reader.read(row, row_number)
                if _is_repeated(made, number, seen, source):
                    result.duplicates += 1
                    continue
            except NoTruth as none:
                rejected.add({**where, "reason": str(none)})
                result.without_truth[none.kind] += 1
                continue
            except RowError as error:
                rejected.add({**where, "reason": str(error)})
                result.bad.add(f"{source.where(number)}: {error}")
                continue
            writer.add(made)
            result.sources[made["data_source"]] += 1
        if result.read == 0:
            raise SourceError(f"{source.name} holds no rows; give a file with at least one")
        rejected.finish()
        if result.written and (skip_bad or not result.bad.count):
            writer.finish(_provenance(source, result))
            result.saved = True
    return result


def rejected_path(out: Path) -> Path:
    """Where the rows are listed that a conversion to ``out`` leaves out, but for duplicates."""
    return out.with_name(f"{out.name}.rejected.jsonl")


def _reader(source: Source, number: int, first: Row, reader_of: ReaderOf) -> Reader:
    try:
        return reader_of(first, source)
    except RowError as error:
        raise SourceError(f"{source.where(number)}: {error}") from error


def _is_repeated(made: Row, number: int, seen: SeenPrompts, source: Source) -> bool:
    truth = made["reward_model"]["ground_truth"]
    first, same = seen.first(made["prompt"][0]["content"], truth, number)
    if not same:
        where = source.place.format(first)
        raise RowError(f"the prompt of {where} with another ground truth, {truth[:40]!r}: one is wrong")
    return first != number


def _provenance(source: Source, result: Result) -> dict[str, Any]:
    return {
        "source": source.name,
        **source.origin(),
        "adapter": result.reader.adapter.name,
        "version": __version__,
        "rows": {
            "read": result.read,
            "written": result.written,
            "duplicates": result.duplicates,
            "without_truth": dict(result.without_truth),
            "bad": result.bad.count,
        },
    }
