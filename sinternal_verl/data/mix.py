"""Makes one training file from parts of others: decontaminated, sampled and shuffled with a seed.

Every row of every part is read before any is drawn. So only the files decide which rows can be drawn, and the seed
decides which of them are:

1. A part's pattern takes rows by their ``data_source``.
2. A row whose prompt stands in an evaluation file is left out (`contamination`).
3. A row whose prompt came before, in this part or an earlier one, is left out. So the order of the parts decides
   which label is trusted; labels that contradict it are counted.
4. Two prompts with one index in one data source are an error, because seeded sampling tells rows apart by it. They
   get no new index, because that would no longer lead to the row in its source.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sinternal_verl import __version__
from sinternal_verl.data.adapter import Row, RowError, lookup, text_of
from sinternal_verl.data.contamination import Evaluation, asked, find
from sinternal_verl.data.contents import what_is_wrong
from sinternal_verl.data.findings import Listing
from sinternal_verl.data.readers import BATCH, FROM_ZERO, open_source
from sinternal_verl.data.schema import RL_SCHEMA, RowWriter, read_provenance
from sinternal_verl.data.seen import SeenPrompts
from sinternal_verl.did_you_mean import did_you_mean, did_you_mean_file
from sinternal_verl.hashing import digest

INDEX = "extra_info.index"


class MixError(ValueError):
    """The parts cannot be mixed as asked."""


@dataclass(frozen=True)
class Part:
    """Rows to take from one file.

    Attributes:
        pattern: pattern of data sources, as a scorer's: ``*``, ``?`` and ``[…]`` match as in file names.
        count: how many rows; None for all.
    """

    file: str
    pattern: str = "*"
    count: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Part":
        """The part of ``FILE=COUNT`` or ``FILE:PATTERN=COUNT``.

        The count stands after the last ``=`` and the pattern after the last ``:``. Where a file has the whole name,
        the ``:`` is part of it.

        >>> Part.parse("a=b.parquet:safety/harmful/*=1500")
        Part(file='a=b.parquet', pattern='safety/harmful/*', count=1500)
        >>> Part.parse("math.parquet=all")
        Part(file='math.parquet', pattern='*', count=None)
        """
        name, _, count = text.rpartition("=")
        file, colon, pattern = name.rpartition(":")
        if not colon or Path(name).expanduser().is_file():
            file, pattern = name, "*"
        if not (file and pattern) or not (count == "all" or (count.isdecimal() and int(count) > 0)):
            raise MixError(f"--part {text}: give FILE=COUNT or FILE:PATTERN=COUNT, with a positive number or all")
        return cls(file, pattern, None if count == "all" else int(count))

    def __str__(self) -> str:
        return self.file if self.pattern == "*" else f"{self.file}:{self.pattern}"


@dataclass
class Tally:
    """What became of a part's rows: ``matched`` is ``contaminated`` + ``repeated`` + those to draw from.

    Attributes:
        matched: rows its pattern takes.
        contaminated: rows found in any evaluation file.
        found: contaminated rows per evaluation file; a row may be in several.
        repeated: rows whose prompt came before.
        contradicted: how many of those have another ground truth.
        taken: rows in the mix.
    """

    part: Part
    matched: int = 0
    contaminated: int = 0
    found: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    contradicted: int = 0
    taken: int = 0


@dataclass(frozen=True)
class Mixed:
    """What was mixed.

    Attributes:
        tallies: what became of each part's rows.
        sources: number of rows for each ``data_source``.
    """

    tallies: list[Tally]
    sources: dict[str, int]


def mix(parts: Sequence[Part], out: Path, evaluations: Sequence[Evaluation] = (), seed: int = 1) -> Mixed:
    """Write ``out``, and the contaminated rows to ``<out>.contaminated.jsonl``.

    The list says of each which row it is and where it stands in the evaluation file. It holds no texts, because
    such lists are passed around; rows count from 0.

    Memory holds all parts as Arrow tables, which are about as large as their texts.

    Raises:
        MixError: a part is no file of ours, matches no row, is too small, or shares an index with another.
    """
    tallies = [Tally(part) for part in parts]
    tables = [_read(part) for part in parts]
    with Listing(contaminated_path(out)) as listing, RowWriter(out) as writer:
        sieve = _Sieve(evaluations, listing)
        kept = [list(sieve.keep(tally, table)) for tally, table in zip(tallies, tables, strict=True)]
        listing.finish()
        _check_sizes(tallies, [len(rows) for rows in kept], listing.target)
        drawn = []
        for number, (tally, table, rows) in enumerate(zip(tallies, tables, kept, strict=True)):
            chosen = _shuffled(rows, f"{seed}/{number}")[: tally.part.count]
            tally.taken = len(chosen)
            drawn.append(table.take(pa.array(chosen)))
        mixed = pa.concat_tables(drawn)
        mixed = mixed.take(pa.array(_shuffled(range(len(mixed)), f"{seed}/order")))
        for _, row in _rows(mixed):
            writer.add(row)
        result = Mixed(tallies, dict(sorted(Counter(mixed["data_source"].to_pylist()).items())))
        writer.finish(_provenance(result, evaluations, seed))
    return result


def contaminated_path(out: Path) -> Path:
    """Where the contaminated rows of a mix are listed."""
    return out.with_name(f"{out.name}.contaminated.jsonl")


def _read(part: Part) -> pa.Table:
    step = "give a parquet file that `data math` or `data safety` wrote"
    try:
        # Not `pq.read_table`, which would read a folder too.
        table = pq.ParquetFile(Path(part.file).expanduser()).read()
        table.validate(full=True)  # a text may hold bytes that are no UTF-8
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, FileNotFoundError):
            raise MixError(f"--part {part} does not exist; {step}{did_you_mean_file(part.file)}") from error
        if reason := what_is_wrong(Path(part.file).expanduser(), ".parquet"):
            raise MixError(f"--part {part} {reason}") from error
        raise MixError(f"--part {part} cannot be read: {getattr(error, 'strerror', None) or error}; {step}") from error
    if not table.schema.equals(RL_SCHEMA):
        columns = ", ".join(table.column_names)
        raise MixError(f"--part {part} has the columns {columns}, these or their types not ours; {step}")
    return table


def _rows(table: pa.Table) -> Iterator[tuple[int, Row]]:
    batches = (batch.to_pylist() for batch in table.to_batches(max_chunksize=BATCH))
    return enumerate(chain.from_iterable(batches))


def _shuffled(items: Sequence[int], seed: str) -> list[int]:
    """The items in an order that the seed decides. Only `random()` is the same in all versions of Python."""
    rng = random.Random(seed)
    return sorted(items, key=lambda _: rng.random())


class _Sieve:
    """Decides which rows may be drawn; it keeps only digests of the prompts and indices it has seen."""

    def __init__(self, evaluations: Sequence[Evaluation], listing: Listing) -> None:
        self._evaluations, self._listing = evaluations, listing
        self._prompts = SeenPrompts()
        self._indices: dict[bytes, tuple[str, int]] = {}
        self._read = 0

    def keep(self, tally: Tally, table: pa.Table) -> Iterator[int]:
        """The numbers of a part's rows that may be drawn."""
        part = tally.part
        sources = table["data_source"].unique().to_pylist()
        if not any(source and fnmatchcase(source, part.pattern) for source in sources):
            known = ", ".join(map(str, sources)) or "no rows"
            near = did_you_mean(part.pattern, filter(None, sources))
            raise MixError(f"--part {part}: no data_source matches; the file has {known}{near}")
        for number, row in _rows(table):
            try:
                if fnmatchcase(text_of("data_source", row["data_source"]), part.pattern):
                    tally.matched += 1
                    if self._is_good(tally, number, row):
                        yield number
            except RowError as error:
                step = "`sinternal-verl data check` names all such rows"
                raise MixError(f"{part.file}, {FROM_ZERO.format(number)}: {error}; {step}") from error

    def _is_good(self, tally: Tally, number: int, row: Row) -> bool:
        text = text_of("prompt", asked(row["prompt"] or []))
        matches = find(text, self._evaluations)
        for match in matches:
            entry = {"file": tally.part.file, "row": number, "data_source": row["data_source"]}
            entry |= {"index": lookup(row, INDEX), "against": match.against, "their_row": match.row}
            self._listing.add(entry | {"reason": str(match)})
        tally.found.update(match.against for match in matches)
        tally.contaminated += bool(matches)
        if matches or self._is_repeated(tally, text, row):
            return False
        self._check_index(tally, number, row)
        return True

    def _is_repeated(self, tally: Tally, text: str, row: Row) -> bool:
        self._read += 1
        truth = text_of("reward_model.ground_truth", lookup(row, "reward_model.ground_truth"))
        first, same = self._prompts.first(text, truth, self._read)
        if first == self._read:
            return False
        tally.repeated += 1
        tally.contradicted += not same
        return True

    def _check_index(self, tally: Tally, number: int, row: Row) -> None:
        source, index = row["data_source"], text_of(INDEX, lookup(row, INDEX))
        here = (tally.part.file, number)
        first = self._indices.setdefault(digest(f"{source}/{index}", 16), here)
        # A prompt comes here once, so the other row with this index has another prompt.
        if first != here:
            rows = " and ".join(f"{file}, {FROM_ZERO.format(row)}" for file, row in (first, here))
            step = "convert one file again with another --name (for math --data-source) or --index"
            raise MixError(f"{rows}: two prompts of {source} have the {INDEX} {index[:60]!r}; {step}")


def _check_sizes(tallies: list[Tally], sizes: list[int], listing: Path) -> None:
    problems = []
    for tally, there in zip(tallies, sizes, strict=True):
        want = tally.part.count
        if there < (want or 1):
            wanted = "all" if want is None else f"{want:,}"
            lost = f"of {tally.matched:,} contaminated {tally.contaminated:,}, repeated {tally.repeated:,}"
            found = f"wanted are {wanted} rows, there are {there:,} ({lost})"
            problems.append(f"--part {tally.part}: {found}; ask for fewer, or add a part")
    if problems:
        contaminated = any(tally.contaminated for tally in tallies)
        raise MixError("\n".join([*problems, *([f"every contaminated row: {listing}"] if contaminated else [])]))


def _provenance(mixed: Mixed, evaluations: Sequence[Evaluation], seed: int) -> dict[str, Any]:
    def part(tally: Tally) -> dict[str, Any]:
        file, counts = tally.part.file, ("matched", "contaminated", "found", "repeated", "contradicted", "taken")
        rows = {name: getattr(tally, name) for name in counts}
        origin = open_source(file).origin()
        return {"file": file, "pattern": tally.part.pattern, **origin, "rows": rows, "made": read_provenance(file)}

    return {
        "parts": [part(tally) for tally in mixed.tallies],
        "against": [
            {"file": each.name, **each.origin, "columns": each.columns, "texts": each.texts, "ngram": each.n}
            for each in evaluations
        ],
        "sources": mixed.sources,
        "seed": seed,
        "version": __version__,
    }
