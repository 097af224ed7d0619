"""From a source's rows to verl's RL parquet: each problem once, each bad row with its reason.

A million rows stream through: of each distinct problem only a digest stays in memory.
"""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sinternal_verl import __version__
from sinternal_verl.data.math import MathReader, RowError, ask
from sinternal_verl.data.readers import Source, SourceError, Unreadable
from sinternal_verl.data.report import Findings, Rejected
from sinternal_verl.data.schema import RLWriter, rl_row


@dataclass(frozen=True)
class Labels:
    """What the user wants the rows called; None leaves it to the adapter.

    Attributes:
        index: the column the index is taken from.
    """

    data_source: str | None = None
    split: str | None = None
    index: str | None = None


@dataclass
class Result:
    """What became of a source's rows: ``read`` is ``written`` + ``duplicates`` + the bad ones.

    Attributes:
        reader: how they were understood; None when no row could be read.
        saved: whether the target was written.
        bad: the first reasons, and how many there are.
    """

    bad: Findings
    reader: MathReader | None = None
    read: int = 0
    written: int = 0
    duplicates: int = 0
    saved: bool = False


class SeenProblems:
    """Which problems came before, with which ground truth; texts that differ in white space are one.

    >>> seen = SeenProblems("line {}")
    >>> seen.is_repeated("1 +  1", "2", number=1), seen.is_repeated("1 + 1", "2", number=2)
    (False, True)
    >>> seen.is_repeated("1 + 1", "3", number=3)
    Traceback (most recent call last):
    ...
    sinternal_verl.data.math.RowError: the problem of line 1 with another ground truth, '3': one is wrong
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._known: dict[bytes, tuple[int, bytes]] = {}

    def is_repeated(self, text: str, ground_truth: str, number: int) -> bool:
        """
        Raises:
            RowError: it came before with another ground truth.
        """
        truth = _digest(ground_truth, 8)
        first, known = self._known.setdefault(_digest(" ".join(text.split()), 16), (number, truth))
        if known != truth:
            where = self._place.format(first)
            raise RowError(f"the problem of {where} with another ground truth, {ground_truth[:40]!r}: one is wrong")
        return first != number


def convert(source: Source, out: Path, labels: Labels, skip_bad: bool = False) -> Result:
    """Write ``out``, and every bad row to ``<out>.rejected.jsonl``.

    With bad rows ``out`` is written only if ``skip_bad``; otherwise it stays as it was.

    Raises:
        SourceError: the source cannot be read, is of no known kind, or holds no rows.
    """
    seen = SeenProblems(source.place)
    with Rejected(rejected_path(out)) as rejected, RLWriter(out) as writer:
        result = Result(rejected.findings)
        for number, row in source.rows():
            result.read += 1
            try:
                if isinstance(row, Unreadable):
                    raise RowError(row.reason)
                result.reader = result.reader or _reader(source, number, row, labels)
                problem = result.reader.read(row, number)
                if seen.is_repeated(problem.text, problem.ground_truth, number):
                    result.duplicates += 1
                    continue
            except RowError as error:
                rejected.add(number, source.where(number), str(error))
                continue
            adapter = result.reader.adapter
            writer.add(
                rl_row(
                    data_source=labels.data_source or adapter.name,
                    content=ask(problem.text),
                    ground_truth=problem.ground_truth,
                    index=problem.index,
                    split=labels.split or adapter.split,
                )
            )
            result.written += 1
        if result.read == 0:
            raise SourceError(f"{source.name} holds no rows; give a file with at least one")
        rejected.finish()
        if result.written and (skip_bad or not result.bad.count):
            writer.finish(_provenance(source, result))
            result.saved = True
    return result


def rejected_path(out: Path) -> Path:
    """Where the bad rows of a conversion to ``out`` are listed."""
    return out.with_name(f"{out.name}.rejected.jsonl")


def _reader(source: Source, number: int, first: dict[str, Any], labels: Labels) -> MathReader:
    try:
        return MathReader(first, labels.index)
    except RowError as error:
        raise SourceError(f"{source.where(number)}: {error}") from error


def _provenance(source: Source, result: Result) -> dict[str, Any]:
    rows = {name: getattr(result, name) for name in ("read", "written", "duplicates")}
    return {
        "source": source.name,
        **source.origin(),
        "adapter": result.reader.adapter.name,
        "version": __version__,
        "rows": rows | {"bad": result.bad.count},
    }


def _digest(text: str, size: int) -> bytes:
    return blake2b(text.encode(), digest_size=size).digest()
