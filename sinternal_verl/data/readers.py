"""Reads the rows of a file or of a Hugging Face dataset, one after the other, each with a number that finds it.

JSON lines count from 1, as an editor does, and are called lines. All others count from 0, as pandas and datasets do,
and are called rows. An `Unreadable` stands in the place of a row that cannot be read, and the rows after it still
follow. A *file* that cannot be read to its end raises a `SourceError`.

A dataset of the hub is written ``owner/name``, and where it has several parts ``owner/name@revision:config/split``;
each of the three may be left out. ``hub:`` before it says that no file is meant.
"""

import csv
import hashlib
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sinternal_verl.data.contents import Kind, what_is_wrong
from sinternal_verl.data.csv_rows import csv_records
from sinternal_verl.data.hub import HUB_PREFIX, HUB_URL, Hub, HubError
from sinternal_verl.data.hub_parts import fetch, hub_rows
from sinternal_verl.data.json_rows import goes_over_lines, json_lines, json_values
from sinternal_verl.data.rows import BATCH, FROM_ZERO, NO_VALUE, Rows, SourceError, Unreadable, repeated
from sinternal_verl.did_you_mean import did_you_mean_file


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

    Raises:
        SourceError: the name is neither a file nor a hub name, or the file is of another kind.
    """
    hub, path = hub or Hub(), Path(name).expanduser()
    if (url := HUB_URL.fullmatch(name.removeprefix(HUB_PREFIX))) and not path.exists():
        raise SourceError(f"{name}: the name of this dataset is {url[1]}; give it, or download a file of it")
    if name.startswith(HUB_PREFIX):
        if not (part := _part(name.removeprefix(HUB_PREFIX), hub)):
            raise SourceError(f"{name}: write hub:owner/name, or hub:owner/name@revision:config/split")
        return _hub_source(name, *part)
    format_ = next((each for each in _FORMATS if path.name.lower().endswith(each.endings)), None)
    if path.is_file():
        return _file_source(name, path, format_, hub)
    if path.is_dir():
        raise SourceError(f"{name} is a folder; give a file{_first_file(path)}")
    may_be_path = path.exists() or format_ is not None or _is_path(name, hub)
    if not may_be_path and (part := _part(name, hub)):
        return _hub_source(name, *part)
    what, near = "does not exist", did_you_mean_file(name)
    if path.exists():
        what, near = "is no regular file, which can be read several times", ""
    elif path.is_symlink():
        what, near = f"is a link to {path.readlink()}, which does not exist", ""
    step = "give a file, or a hub name such as HuggingFaceH4/MATH-500"
    if path.suffix and format_ is None:
        step = f"give a file that ends in {_ENDINGS}"
        if not name.startswith(".") and _part(name, hub):
            step += f", or hub:{name} for a dataset of the hub"
    raise SourceError(f"{name} {what}; {step}{near}")


def _file_source(name: str, path: Path, format_: "_Format | None", hub: Hub) -> Source:
    if reason := what_is_wrong(path, format_.kind if format_ else ".csv"):
        raise SourceError(f"{name} {reason}")
    if format_ is None:
        raise SourceError(f"{name}: this kind of file cannot be read; give one that ends in {_ENDINGS}")
    if hub != Hub():
        raise SourceError(f"{name} is a file: leave out {', '.join(Hub.OPTIONS.values())}")
    if format_ is _LINES and _goes_over_lines(path):
        format_ = _VALUES
    rows = partial(_guard, name, format_.place, format_.read, path)
    return Source(name, format_.place, rows, lambda: {"sha256": _sha256(path)})


def _goes_over_lines(path: Path) -> bool:
    try:
        return goes_over_lines(path)
    except (OSError, EOFError, zlib.error, UnicodeError):
        return False  # reading its lines will say what is wrong with it


def _is_path(name: str, hub: Hub) -> bool:
    """Whether a name that a dataset of the hub could have is meant as a path: it begins with ``./`` or ``../``, or ends
    in letters behind a dot, and no part of a dataset is named."""
    folder, _, file = name.partition("/")
    return folder in (".", "..") or (hub == Hub() and _ENDING.search(file) is not None)


def _first_file(folder: Path) -> str:
    """The first file of a folder that could be read, for a message."""
    try:
        found = min((file.name for file in folder.iterdir() if file.name.lower().endswith(_ALL)), default=None)
    except OSError:  # a folder whose names may not be read
        return ""
    return f" in it, such as {folder / found}" if found else ""


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
        step = "in a field, write each quotation mark twice" if isinstance(error, csv.Error) else "fetch it again"
        raise SourceError(f"{name} cannot be read {where}: {reason}; repair the file, or {step}") from error


def _parquet_rows(path: Path, columns: list[str] | None = None) -> Rows:
    # Without `pre_buffer` a row group is read page by page, however large it is.
    parquet, number = pq.ParquetFile(path, pre_buffer=False), 0
    if twice := repeated(parquet.schema_arrow.names):
        raise SourceError(f"{path} has the column {twice} twice; rename one")
    for batch in parquet.iter_batches(batch_size=BATCH, columns=columns, use_threads=False):
        try:
            rows = batch.to_pylist()
        except NO_VALUE:
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
        except NO_VALUE as error:
            return Unreadable(f"holds in {name!r} a value that Python does not read: {error}")
    return row


@dataclass(frozen=True)
class _Format:
    endings: tuple[str, ...]
    kind: Kind
    place: str
    read: Callable[[Path], Rows]


_LINES = _Format((".jsonl", ".jsonl.gz", ".json", ".json.gz"), ".json", "line {}", json_lines)
_VALUES = _Format(_LINES.endings, ".json", FROM_ZERO, json_values)
_FORMATS = (
    _LINES,
    _Format((".csv", ".csv.gz"), ".csv", FROM_ZERO, csv_records),
    _Format((".tsv", ".tsv.gz"), ".csv", FROM_ZERO, partial(csv_records, delimiter="\t")),
    _Format((".parquet",), ".parquet", FROM_ZERO, _parquet_rows),
)
_ALL = tuple(ending for each in _FORMATS for ending in each.endings)
_ENDINGS = ", ".join(_ALL)
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]*$")


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
            for number, row in enumerate(_rows_of_files(data) if isinstance(data, list) else hub_rows(data)):
                yield number, row

    return Source(name, FROM_ZERO, rows, lambda: {"hub": dataset, **vars(hub), "commit": load()[1]})


def _rows_of_files(files: list[str]) -> Iterator[dict[str, Any] | Unreadable]:
    return (row for file in files for _, row in open_source(file).rows())


@contextmanager
def _hub_errors(name: str, where: Callable[[], str]) -> Iterator[None]:
    try:
        yield
    except SourceError:
        raise
    except HubError as error:
        raise SourceError(str(error)) from error
    # The hub's libraries raise errors of their own, of file readers and of the network. The user must see each.
    except Exception as error:
        step = "check the name (owner/name@revision:config/split), the network and `hf auth login`, or give a file"
        near = did_you_mean_file(name)
        # Some of its errors say only that there was one.
        said = f"{type(error).__name__}: {error}" + (f" ({error.__cause__})" if error.__cause__ else "")
        raise SourceError(f"{name} cannot be read {where()}: {said}; {step}{near}") from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
