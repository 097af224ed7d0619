"""Rows of JSON: one object a line, an array of objects, or objects that go over many lines.

Lines are read one by one. The other two are read whole, so they may have at most `WHOLE_LIMIT` characters.
"""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sinternal_verl.data.contents import encoding_of, open_text, open_unpacked
from sinternal_verl.data.rows import Rows, SourceError, Unreadable

WHOLE_LIMIT = 256 << 20
"""The longest text that is read whole, in characters. Its objects take several times that."""

BOM = b"\xef\xbb\xbf"
_BAD_BYTE = re.compile("[\udc80-\udcff]")
_BLANK = re.compile(r"[ \t\r\n\ufeff]*")


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs. Of a name that is there twice it would hold only the last value."""
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object names {twice!r:.60} twice")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object_of)
_NO_JSON = (ValueError, RecursionError)


def json_lines(path: Path) -> Rows:
    """A row for each line that is not blank. Lines are split before they are decoded: a bad byte spoils one row."""
    for number, line in enumerate(_lines(path), 1):
        if line:
            yield number, _row(line)


def goes_over_lines(path: Path) -> bool:
    """Whether a file must be read whole: it begins with an array, or its first line is no whole object and goes on in
    the second. A first line that is merely broken is a bad row of a file of lines.

    Raises:
        SourceError: the one object of the file holds columns, not rows.
    """
    first, second = [*islice(filter(None, _lines(path)), 2), b"", b""][:2]
    if first.startswith(b"["):
        return True
    if isinstance(value := _row(first), dict):
        if not second and (reason := _no_rows(value)):
            raise SourceError(f"{path} {reason}")
        return False
    text = first.decode(errors="replace")
    try:
        _, end = _DECODER.raw_decode(text)
    except _NO_JSON:
        if not (text.startswith("{") and second and _breaks_off(text)):
            return False
        return _breaks_off(f"{text}\n{second.decode(errors='replace')}")
    return text[end:].lstrip().startswith("{")


def _breaks_off(text: str) -> bool:
    """Whether a JSON text is whole or good up to its end.

    >>> [_breaks_off(text) for text in ('{"a":', '{"a": [', '{"a": 1}', '{"a" 1', '{"a": 1 {"a": 2}')]
    [True, True, True, False, False]
    """
    try:
        _DECODER.decode(text)
    except json.JSONDecodeError as error:
        return error.pos >= len(text)
    except _NO_JSON:
        return False
    return True


def json_values(path: Path) -> Rows:
    """The objects of an array, or of a text in which one object follows the other."""
    text = _whole(path)
    values = list(_values(path, text))
    if isinstance(values[0], list):
        if len(values) > 1 and not all(isinstance(value, list) and _are_objects(value) for value in values):
            step = "write objects, which name each value, or one array of them"
            raise SourceError(f"{path} holds several arrays, whose values have no names; {step}")
        values = list(chain.from_iterable(values))
    elif len(values) == 1 and (reason := _no_rows(values[0])):
        raise SourceError(f"{path} {reason}")
    is_text = not _BAD_BYTE.search(text)
    for number, row in enumerate(values):
        # JSON itself may write half a surrogate pair, so a row is looked at only where the file holds a bad byte.
        bad = None if is_text else bad_byte([json.dumps(row, ensure_ascii=False)])
        yield number, bad or _object(row)


def bad_byte(texts: Iterable[str]) -> Unreadable | None:
    """What is wrong with texts that hold a byte that is no UTF-8, decoded with ``surrogateescape``.

    >>> bad_byte(["caf\\udce9"])
    Unreadable(reason='is not UTF-8: byte 0xe9')
    """
    found = next(filter(None, map(_BAD_BYTE.search, texts)), None)
    return Unreadable(f"is not UTF-8: byte {ord(found[0]) - 0xDC00:#x}") if found else None


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file without the white space around them, in UTF-8 also where the file is in UTF-16 or UTF-32."""
    with open_unpacked(path) as file:
        encoding = encoding_of(file.read(4))
        if encoding == "utf-8-sig":
            file.seek(0)
            yield from (line.removeprefix(BOM).strip() for line in file)
            return
    with open_text(path, newline="\n") as text:
        yield from (line.encode().strip() for line in text)


def _row(line: bytes) -> dict[str, Any] | Unreadable:
    """The object of one line.

    >>> _row(b'{"answer": 33}')
    {'answer': 33}
    >>> _row(b'["33"]').reason
    'holds a list, not an object'
    """
    try:
        row = _DECODER.decode(line.decode())
    except UnicodeDecodeError as error:
        return Unreadable(f"is not UTF-8: byte {line[error.start]:#x} at {error.start}")
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and error.doc[error.pos :] == ",":
            return _row(line[:-1].rstrip())  # as in an array without its brackets
        if line.startswith(b"{'"):
            return Unreadable("is no JSON but Python, with other quotes; write it with json.dumps")
        return Unreadable(f"is no JSON: {error.msg} at character {error.pos + 1}")
    except _NO_JSON as error:
        return Unreadable(f"is JSON that Python does not read: {error}")
    return _object(row)


def _are_objects(values: list[Any]) -> bool:
    return all(isinstance(value, dict) for value in values)


def _object(row: Any) -> dict[str, Any] | Unreadable:
    return row if isinstance(row, dict) else Unreadable(f"holds a {type(row).__name__}, not an object")


def _whole(path: Path) -> str:
    with open_text(path, newline="", errors="surrogateescape") as file:
        text = file.read(WHOLE_LIMIT + 1)
    if len(text) > WHOLE_LIMIT:
        step = "write one object a line, e.g. with jq -c '.[]' for an array, jq -c . for objects"
        raise SourceError(f"{path} is JSON over lines of more than {WHOLE_LIMIT:,} characters, too long; {step}")
    return text


def _values(path: Path, text: str) -> Iterator[Any]:
    """The values that follow one another in a text."""
    end = 0
    while (start := _BLANK.match(text, end).end()) < len(text):
        try:
            value, end = _DECODER.raw_decode(text, start)
        except _NO_JSON as error:
            what = "holds no whole JSON array" if text[start] == "[" else "holds JSON that breaks off or is none"
            raise SourceError(f"{path} {what}: {error}; repair the file or fetch it again") from error
        yield value


def _no_rows(value: dict[str, Any]) -> str | None:
    """Why the one object of a file is no row, and what to do: it holds the columns, or the rows by their names."""
    columns = list(value.values())
    if not columns or any(type(column) is not type(columns[0]) for column in columns):
        return None
    if isinstance(columns[0], dict):
        names = columns[0].keys()
        if not names or any(column.keys() != names for column in columns):
            return None
        if all(name.isdecimal() for name in names):
            return f"holds columns, not rows; {_PANDAS}"
        return "holds its rows by name; write one a line, e.g. with jq -c '.[]'" if len(columns) > 1 else None
    if not isinstance(columns[0], list) or len({len(column) for column in columns}) > 1 or len(columns) < 2:
        return None
    # Messages are a list in one row.
    if not columns[0] or any(isinstance(item, dict) and "role" in item for column in columns for item in column):
        return None
    return f"holds columns, not rows; {_PANDAS}"


_PANDAS = "write one object a line, with pandas as to_json(..., orient='records', lines=True)"
