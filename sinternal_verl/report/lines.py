"""Lines of JSON, whatever wrote them: a line that cannot be read is counted and left out.

A run under way writes while we read, a kill leaves half a line, and other programs write NaN, a byte order mark or
lone surrogates. Files may be gzipped.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

MAX_LINE_BYTES = 32 * 2**20
"""A longer line is left out. A response of 1 MB, with each character escaped, has 6 MB."""

MAX_TOLD = 20
"""How many of the skipped lines are told each; of the others the number is."""

BOM = b"\xef\xbb\xbf"
GZIP = ".gz"


class Skipped:
    """What was left out of a run's files, in words."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._more = 0

    def add(self, place: str, why: str) -> None:
        """Note one line, or one file. ``why`` must not quote a rollout's text."""
        if len(self._told) < MAX_TOLD:
            self._told.append(f"{place}: {why}")
        else:
            self._more += 1

    def words(self) -> tuple[str, ...]:
        """A sentence for each, and how many more there are."""
        return (*self._told, *([f"and {self._more:,} more"] if self._more else []))


class JsonLine(NamedTuple):
    """One line: where it begins in the file, its length in bytes, and its object."""

    number: int
    start: int
    size: int
    object: dict[str, Any]


def json_lines(file: Path, skipped: Skipped) -> Iterator[JsonLine]:
    """The objects of a file, one at a time. What is no object of JSON is noted in ``skipped``."""
    try:
        with open_lines(file) as stream:
            yield from _lines_of(stream, file, skipped)
    except (OSError, EOFError, zlib.error) as error:  # also a gzip file that is damaged or not whole
        skipped.add(str(file), f"it cannot be read to its end: {error}")


def open_lines(file: Path) -> IO[bytes]:
    """Open a file for `json_lines`, or to seek one of its lines."""
    return gzip.open(file, "rb") if file.suffix == GZIP else file.open("rb", buffering=2**20)


def parse(line: bytes) -> Any:
    """One value of JSON; NaN and infinities, lone surrogates and text that is no UTF-8 are taken, too.

    >>> parse(b'{"a": NaN}'), parse(b'{"a": "\\\\ud800"}')
    ({'a': nan}, {'a': '\\ud800'})

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            return json.loads(line.decode("utf-8", "replace"))
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error


def _lines_of(stream: IO[bytes], file: Path, skipped: Skipped) -> Iterator[JsonLine]:
    start, number, ended = 0, 0, True
    # A line without an end is the last: what a writer adds meanwhile is the rest of it, and no line of its own.
    while ended and (line := stream.readline(MAX_LINE_BYTES)):
        begin, number, size = start, number + 1, len(line)
        ended = line.endswith(b"\n")
        if not ended and size == MAX_LINE_BYTES:
            while not ended and (more := stream.readline(MAX_LINE_BYTES)):
                size += len(more)
                ended = more.endswith(b"\n")
        start += size
        if size > MAX_LINE_BYTES:
            skipped.add(f"{file}, line {number}", f"it has {size / 2**20:,.0f} MiB, above the {MAX_LINE_BYTES >> 20}")
            continue
        text = line.removeprefix(BOM) if begin == 0 else line
        if not text.strip():
            continue
        try:
            found = parse(text)
        except ValueError:
            skipped.add(f"{file}, line {number}", "it is no JSON" if ended else "its end is not written yet")
            continue
        if isinstance(found, dict):
            yield JsonLine(number, begin, size, found)
        else:
            skipped.add(f"{file}, line {number}", f"it is {_KINDS.get(type(found), 'no object')}, not an object")


_KINDS = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false", type(None): "null"}
