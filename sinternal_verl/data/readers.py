"""Reads the rows of a file or of a Hugging Face dataset, one after the other, each with a number that finds it.

JSON lines count from 1, as an editor does. CSV and TSV records count from 1 after the header, since a field may
span lines. Parquet and hub rows count from 0, as pandas and datasets do, and so do the objects of a JSON array. An
`Unreadable` stands in the place of a row that cannot be read, and the rows after it still follow. A *file* that
cannot be read to its end raises a `SourceError`.
"""

import csv
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

BOM = b"\xef\xbb\xbf"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
FROM_ZERO = "row {} (from 0)"
BATCH = 1_000
"""Parquet rows in memory at once."""
ARRAY_LIMIT = 256 << 20
"""The largest JSON array that is read, in unpacked bytes. It is held whole, and its objects take several times that."""


class SourceError(ValueError):
    """The source cannot be read, or not beyond some row."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a row that cannot be read, and says why."""

    reason: str


Rows = Iterator[tuple[int, dict[str, Any] | Unreadable]]


@dataclass(frozen=True)
class Source:
    """Where rows come from.

    Attributes:
        name: the path or hub id as the user gave it.
        place: what a row's number counts, with ``{}`` for the number.
        rows: reads the source from its beginning, each call anew.
        origin: returns what identifies its content, for the provenance; it reads a file once.
    """

    name: str
    place: str
    rows: Callable[[], Rows]
    origin: Callable[[], dict[str, Any]]

    def where(self, number: int) -> str:
        """The name of a row, such as ``math.jsonl, line 3``."""
        return f"{self.name}, {self.place.format(number)}"


@dataclass(frozen=True)
class Hub:
    """Which part of a hub dataset is read; None takes the only one, or the hub's default."""

    config: str | None = None
    split: str | None = None
    revision: str | None = None


def open_source(name: str, hub: Hub | None = None) -> Source:
    """The source of a path (``.jsonl``, ``.json``, ``.csv``, ``.tsv``, each also ``.gz``, or ``.parquet``) or hub id.

    A ``.json`` file may hold an array of objects instead of lines; its first character tells which.

    Raises:
        SourceError: the name is neither a file nor a hub id, or the file is of another kind.
    """
    hub, path = hub or Hub(), Path(name).expanduser()
    kind = next((kind for kind in _KINDS if path.name.lower().endswith(kind.endings)), None)
    if path.is_file():
        if kind is None:
            known = ", ".join(ending for kind in _KINDS for ending in kind.endings)
            raise SourceError(f"{name}: this kind of file cannot be read; give one that ends in {known}")
        if hub != Hub():
            raise SourceError(f"{name} is a file: leave out --hub-config, --hub-split and --revision")
        if kind is _LINES and _is_array(path):
            kind = _ARRAY
        rows = partial(_guard, name, kind.place, kind.read, path)
        return Source(name, kind.place, rows, lambda: {"sha256": _sha256(path)})
    if path.exists() or kind is not None or not HUB_ID.fullmatch(name):
        what = "is no file" if path.exists() else "does not exist"
        raise SourceError(f"{name} {what}; give a file, or a hub id such as HuggingFaceH4/MATH-500")
    return Source(name, FROM_ZERO, lambda: _hub_rows(name, hub), lambda: vars(hub))


def read_parquet(name: str, columns: list[str]) -> Rows:
    """The rows of a parquet file, with only these columns; a struct's field is named with dots.

    Raises:
        SourceError: the file cannot be read; it is raised while the rows are read.
    """
    return _guard(name, FROM_ZERO, partial(_parquet_rows, columns=columns), Path(name).expanduser())


def _guard(name: str, place: str, read: Callable[[Path], Rows], path: Path) -> Rows:
    """Turn an error that ends a file early into a `SourceError` that says how far the file was read."""
    number = None
    try:
        for number, row in read(path):
            yield number, row
    except (OSError, EOFError, zlib.error, UnicodeError, csv.Error, pa.ArrowException) as error:
        where = "from its beginning" if number is None else f"after {place.format(number)}"
        raise SourceError(f"{name} cannot be read {where}: {error}; repair the file or fetch it again") from error


def _open(path: Path, mode: str, **options: Any) -> IO[Any]:
    return gzip.open(path, mode, **options) if path.name.lower().endswith(".gz") else open(path, mode, **options)


def _json_lines(path: Path) -> Rows:
    """A row for each line that is not blank. Lines are split before they are decoded: a bad byte spoils one row."""
    with _open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, _json_row(line.removeprefix(BOM).rstrip())


def _json_row(line: bytes) -> dict[str, Any] | Unreadable:
    """The object of one line.

    >>> _json_row(b'{"answer": 33}')
    {'answer': 33}
    >>> _json_row(b'["33"]').reason
    'holds a list, not an object'
    """
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return Unreadable(f"is not UTF-8: byte {line[error.start]:#x} at {error.start}")
    except json.JSONDecodeError as error:
        return Unreadable(f"is no JSON: {error.msg} at character {error.pos + 1}")
    except (ValueError, RecursionError) as error:
        return Unreadable(f"is JSON that Python does not read: {error}")
    return _object(row)


def _object(row: Any) -> dict[str, Any] | Unreadable:
    return row if isinstance(row, dict) else Unreadable(f"holds a {type(row).__name__}, not an object")


def _is_array(path: Path) -> bool:
    try:
        with _open(path, "rb") as file:
            return file.read(1024).removeprefix(BOM).lstrip().startswith(b"[")
    except (OSError, EOFError, zlib.error):
        return False  # reading its lines will say what is wrong with it


def _json_array(path: Path) -> Rows:
    with _open(path, "rb") as file:
        content = file.read(ARRAY_LIMIT + 1)
    if len(content) > ARRAY_LIMIT:
        size, step = f"{ARRAY_LIMIT / (1 << 20):g} MiB", "write one object a line, e.g. with jq -c '.[]'"
        raise SourceError(f"{path} holds a JSON array of more than {size}, too long to be read whole; {step}")
    text = content.removeprefix(BOM).decode()
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} holds no whole JSON array: {error}; repair the file or fetch it again") from error
    for number, row in enumerate(rows):
        yield number, _object(row)


def _csv_records(path: Path, delimiter: str = ",") -> Rows:
    """The reader is strict: a lenient one would take all text after an unclosed quote for one field."""
    with _open(path, "rt", encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        header = next(reader, [])
        if twice := sorted({column for column in header if header.count(column) > 1}):
            raise SourceError(f"{path}: the header names {', '.join(twice)} twice; rename one")
        for number, fields in enumerate((fields for fields in reader if fields), 1):
            if len(fields) == len(header):
                yield number, dict(zip(header, fields, strict=True))
            else:
                yield number, Unreadable(f"has {len(fields)} fields, the header {len(header)}")


def _parquet_rows(path: Path, columns: list[str] | None = None) -> Rows:
    # Without `pre_buffer` a row group is read page by page, however large it is.
    parquet, number = pq.ParquetFile(path, pre_buffer=False), 0
    for batch in parquet.iter_batches(batch_size=BATCH, columns=columns, use_threads=False):
        for row in batch.to_pylist():
            yield number, row
            number += 1


@dataclass(frozen=True)
class _Kind:
    endings: tuple[str, ...]
    place: str
    read: Callable[[Path], Rows]


_LINES = _Kind((".jsonl", ".jsonl.gz", ".json", ".json.gz"), "line {}", _json_lines)
_ARRAY = _Kind(_LINES.endings, FROM_ZERO, _json_array)
_KINDS = (
    _LINES,
    _Kind((".csv", ".csv.gz"), "record {} (after the header)", _csv_records),
    _Kind((".tsv", ".tsv.gz"), "record {} (after the header)", partial(_csv_records, delimiter="\t")),
    _Kind((".parquet",), FROM_ZERO, _parquet_rows),
)


def _hub_rows(name: str, hub: Hub) -> Rows:
    import datasets

    number = None
    try:
        data = datasets.load_dataset(name, name=hub.config, split=hub.split, revision=hub.revision, streaming=True)
        if isinstance(data, dict):
            if len(data) > 1:
                raise SourceError(f"{name} has the splits {', '.join(data)}; choose one with --hub-split")
            data = next(iter(data.values()))
        for number, row in enumerate(data):
            yield number, row
    except SourceError:
        raise
    # The hub's libraries raise errors of their own, of file readers and of the network. The user must see each.
    except Exception as error:
        where = "from the hub" if number is None else f"after row {number}"
        step = "check the id, the network and `hf auth login`, or give a file"
        raise SourceError(f"{name} cannot be read {where}: {type(error).__name__}: {error}; {step}") from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
