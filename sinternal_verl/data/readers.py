"""Reads the rows of a file or of a Hugging Face dataset, one after the other, each with a number that finds it.

JSON lines count from 1, as an editor does, and are called lines. All others count from 0, as pandas and datasets do,
and are called rows. An `Unreadable` stands in the place of a row that cannot be read, and the rows after it still
follow. A *file* that cannot be read to its end raises a `SourceError`.

A dataset of the hub is written ``owner/name``, and where it has several parts ``owner/name@revision:config/split``;
each of the three may be left out. ``hub:`` before it says that no file is meant.
"""

import csv
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from sinternal_verl.data.hub import HUB_PREFIX, Hub, HubError, fetch
from sinternal_verl.did_you_mean import did_you_mean_file

BOM = b"\xef\xbb\xbf"
FROM_ZERO = "row {} (from 0)"
BATCH = 1_000
"""Parquet rows in memory at once."""
FIELD_LIMIT = 64 << 20
"""The longest field of a CSV file, in characters. Python's own limit, 131,072, is shorter than many a solution."""
ARRAY_LIMIT = 256 << 20
"""The largest JSON array that is read, in unpacked bytes. It is held whole, and its objects take several times that."""


_BAD_BYTE = re.compile("[\udc80-\udcff]")
_NO_VALUE = (ValueError, OverflowError)
"""What pyarrow raises for a text that is not UTF-8, a time outside Python's years, or a struct's field that is there
twice."""


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


def open_source(name: str, hub: Hub | None = None) -> Source:
    """The source of a path (``.jsonl``, ``.json``, ``.csv``, ``.tsv``, each also ``.gz``, or ``.parquet``) or hub name.

    A ``.json`` file may hold an array of objects instead of lines; its first character tells which.

    Raises:
        SourceError: the name is neither a file nor a hub name, or the file is of another kind.
    """
    hub, path = hub or Hub(), Path(name).expanduser()
    if name.startswith(HUB_PREFIX):
        if not (part := _part(name.removeprefix(HUB_PREFIX), hub)):
            raise SourceError(f"{name}: write hub:owner/name, or hub:owner/name@revision:config/split")
        return _hub_source(name, *part)
    kind = next((kind for kind in _KINDS if path.name.lower().endswith(kind.endings)), None)
    if path.is_file():
        if kind is None:
            known = ", ".join(ending for kind in _KINDS for ending in kind.endings)
            raise SourceError(f"{name}: this kind of file cannot be read; give one that ends in {known}")
        if hub != Hub():
            raise SourceError(f"{name} is a file: leave out {', '.join(Hub.OPTIONS.values())}")
        if kind is _LINES and _is_array(path):
            kind = _ARRAY
        rows = partial(_guard, name, kind.place, kind.read, path)
        return Source(name, kind.place, rows, lambda: {"sha256": _sha256(path)})
    part = None if path.exists() or kind is not None else _part(name, hub)
    if part is None:
        what, near = ("is no file", "") if path.exists() else ("does not exist", did_you_mean_file(name))
        raise SourceError(f"{name} {what}; give a file, or a hub name such as HuggingFaceH4/MATH-500{near}")
    return _hub_source(name, *part)


def read_parquet(name: str, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a parquet file, with only these columns; a struct's field is named with dots.

    Raises:
        SourceError: the file, or one of these values, cannot be read; it is raised while the rows are read.
    """
    read = partial(_parquet_rows, columns=columns)
    for number, row in _guard(name, FROM_ZERO, read, Path(name).expanduser()):
        if isinstance(row, Unreadable):
            raise SourceError(f"{name}, {FROM_ZERO.format(number)}: {row.reason}; repair the row")
        yield number, row


def _guard(name: str, place: str, read: Callable[[Path], Rows], path: Path) -> Rows:
    """Turn an error that ends a file early into a `SourceError` that says how far the file was read."""
    number = None
    try:
        for number, row in read(path):
            yield number, row
    except (OSError, EOFError, zlib.error, UnicodeError, csv.Error, pa.ArrowException) as error:
        where = "from its beginning" if number is None else f"after {place.format(number)}"
        # An error of the system would name the file once more.
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{name} cannot be read {where}: {reason}; repair the file or fetch it again") from error


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
    try:
        rows = json.loads(content.removeprefix(BOM).decode(errors="surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} holds no whole JSON array: {error}; repair the file or fetch it again") from error
    is_text = not _BAD_BYTE.search(content.decode(errors="surrogateescape"))
    for number, row in enumerate(rows):
        # JSON itself may write half a surrogate pair, so a row is looked at only where the file holds a bad byte.
        bad = None if is_text else _bad_byte([json.dumps(row, ensure_ascii=False)])
        yield number, bad or _object(row)


def _bad_byte(texts: Iterable[str]) -> Unreadable | None:
    """What is wrong with texts that hold a byte that is no UTF-8, decoded with ``surrogateescape``.

    >>> _bad_byte(["caf\\udce9"])
    Unreadable(reason='is not UTF-8: byte 0xe9')
    """
    found = next(filter(None, map(_BAD_BYTE.search, texts)), None)
    return Unreadable(f"is not UTF-8: byte {ord(found[0]) - 0xDC00:#x}") if found else None


def repeated(names: Sequence[str]) -> str:
    """The names that stand more than once, for a message; of such columns a row would hold only the last."""
    return ", ".join(sorted({repr(name) for name in names if names.count(name) > 1}))


def _csv_records(path: Path, delimiter: str = ",") -> Rows:
    """The reader is strict: a lenient one would take all text after an unclosed quote for one field. A bad byte spoils
    one row."""
    csv.field_size_limit(max(FIELD_LIMIT, csv.field_size_limit()))
    with _open(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        header = next(reader, [])
        if bad := _bad_byte(header):
            raise SourceError(f"{path}: the header {bad.reason}; save the file as UTF-8")
        if twice := repeated(header):
            raise SourceError(f"{path}: the header names {twice} twice; rename one")
        for number, fields in enumerate(fields for fields in reader if fields):
            if bad := _bad_byte(fields):
                yield number, bad
            elif len(fields) == len(header):
                yield number, dict(zip(header, fields, strict=True))
            else:
                yield number, Unreadable(f"has {len(fields)} fields, the header {len(header)}")


def _parquet_rows(path: Path, columns: list[str] | None = None) -> Rows:
    # Without `pre_buffer` a row group is read page by page, however large it is.
    parquet, number = pq.ParquetFile(path, pre_buffer=False), 0
    if twice := repeated(parquet.schema_arrow.names):
        raise SourceError(f"{path} has the column {twice} twice; rename one")
    for batch in parquet.iter_batches(batch_size=BATCH, columns=columns, use_threads=False):
        try:
            rows = batch.to_pylist()
        except _NO_VALUE:
            rows = [_parquet_row(batch.slice(start, 1)) for start in range(len(batch))]
        for row in rows:
            yield number, row
            number += 1


def _parquet_row(batch: pa.RecordBatch) -> dict[str, Any] | Unreadable:
    """The row of a batch of one."""
    row = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            row[name] = column[0].as_py()
        except _NO_VALUE as error:
            return Unreadable(f"holds in {name!r} a value that Python does not read: {error}")
    return row


@dataclass(frozen=True)
class _Kind:
    endings: tuple[str, ...]
    place: str
    read: Callable[[Path], Rows]


_LINES = _Kind((".jsonl", ".jsonl.gz", ".json", ".json.gz"), "line {}", _json_lines)
_ARRAY = _Kind(_LINES.endings, FROM_ZERO, _json_array)
_KINDS = (
    _LINES,
    _Kind((".csv", ".csv.gz"), FROM_ZERO, _csv_records),
    _Kind((".tsv", ".tsv.gz"), FROM_ZERO, partial(_csv_records, delimiter="\t")),
    _Kind((".parquet",), FROM_ZERO, _parquet_rows),
)


def _part(name: str, options: Hub) -> tuple[str, Hub] | None:
    try:
        return Hub.parse(name, options)
    except HubError as error:
        raise SourceError(str(error)) from error


def _hub_source(name: str, dataset: str, hub: Hub) -> Source:
    """A dataset of the hub. It is fetched once, into the hub's own cache, however often it is read."""

    @cache
    def load() -> tuple[Any, str]:
        with _hub_errors(name, lambda: "from the hub"):
            return fetch(name, dataset, hub)

    def rows() -> Rows:
        number, (data, _) = None, load()
        with _hub_errors(name, lambda: f"after row {number}" if number is not None else "from the hub's cache"):
            for number, row in enumerate(data):
                yield number, row

    return Source(name, FROM_ZERO, rows, lambda: {"hub": dataset, **vars(hub), "commit": load()[1]})


@contextmanager
def _hub_errors(name: str, where: Callable[[], str]) -> Iterator[None]:
    try:
        yield
    except HubError as error:
        raise SourceError(str(error)) from error
    # The hub's libraries raise errors of their own, of file readers and of the network. The user must see each.
    except Exception as error:
        step = "check the name (owner/name@revision:config/split), the network and `hf auth login`, or give a file"
        near = did_you_mean_file(name)
        raise SourceError(f"{name} cannot be read {where()}: {type(error).__name__}: {error}; {step}{near}") from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
