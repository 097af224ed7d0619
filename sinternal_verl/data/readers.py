"""Rows of a file or of a Hugging Face dataset, one after the other, with the number a user finds them by.

JSON lines count from 1 as an editor does; CSV and TSV records from 1 after the header, since a field may
span lines; parquet and hub rows from 0 as pandas and datasets do, the objects of a JSON array too. A row
that cannot be read is an `Unreadable` in its place, so that the rows after it are still seen; a *file*
that cannot be read on ends in a `SourceError`.
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
"""Bytes of JSON, unpacked, up to which an array is read: it is held whole, several times that in objects."""


class SourceError(ValueError):
    """A source that cannot be read, as a whole or from some row on."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a row that is none."""

    reason: str


Rows = Iterator[tuple[int, dict[str, Any] | Unreadable]]


@dataclass(frozen=True)
class Source:
    """Where rows come from.

    Attributes:
        name: the path or hub id as the user gave it.
        place: what a row's number counts, with ``{}`` for the number.
        rows: reads the source from its beginning, each call anew.
        origin: what identifies its content, for the provenance; takes a pass over a file.
    """

    name: str
    place: str
    rows: Callable[[], Rows]
    origin: Callable[[], dict[str, Any]]

    def where(self, number: int) -> str:
        """Names a row, e.g. ``math.jsonl, line 3``."""
        return f"{self.name}, {self.place.format(number)}"


@dataclass(frozen=True)
class Hub:
    """Which part of a hub dataset; None leaves it to the hub where there is only one."""

    config: str | None = None
    split: str | None = None
    revision: str | None = None


def open_source(name: str, hub: Hub | None = None) -> Source:
    """The source of a path (``.jsonl``, ``.json``, ``.csv``, ``.tsv``, each also ``.gz``, or ``.parquet``) or hub id.

    A ``.json`` file may hold an array of objects instead of lines; its first character tells.

    Raises:
        SourceError: there is no such file and it is no hub id, or it is of another kind.
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
    """The rows of a parquet file with these columns alone, a struct's field by its dotted name.

    Raises:
        SourceError: while the rows are read, as of any source.
    """
    return _guard(name, FROM_ZERO, partial(_parquet_rows, columns=columns), Path(name).expanduser())


def _guard(name: str, place: str, read: Callable[[Path], Rows], path: Path) -> Rows:
    """Turn what ends a file early into a `SourceError` that says how far it was read."""
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
    """Blank lines hold no row. Lines are split before they are decoded: one bad byte spoils one row."""
    with _open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, _json_row(line.removeprefix(BOM).rstrip())


def _json_row(line: bytes) -> dict[str, Any] | Unreadable:
    """
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
        return False  # whatever it is, reading its lines will say what is wrong


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
    """Strict, since the lenient reader takes a quote that never closes for a field up to the end."""
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
    # Its libraries raise their own errors, the file readers' and the network's: what each says is what
    # the user has to see.
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
