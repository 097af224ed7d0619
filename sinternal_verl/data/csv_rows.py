"""Records of CSV and TSV files."""

import csv
import re
from itertools import chain
from pathlib import Path
from typing import IO, Any

from sinternal_verl.data.contents import open_text
from sinternal_verl.data.json_rows import bad_byte
from sinternal_verl.data.rows import Rows, SourceError, Unreadable, repeated

FIELD_LIMIT = 64 << 20
"""The longest field of a CSV file, in characters. Python's own limit, 131,072, is shorter than many a solution."""
_EXCEL = re.compile(r"sep=(.)\s*")
DELIMITERS = ("\t", ";", ",", "|")
"""What may stand between the columns of a CSV or TSV file; its header tells."""
MAX_WORDS = 4
"""The most words of a column's name; what has more is a text, in a file without a header, and is not cut."""


def csv_records(path: Path, delimiter: str = ",") -> Rows:
    """The reader is strict: a lenient one would take all text after an unclosed quote for one field. A bad byte spoils
    one row, and so does the header where it comes again, as in files that were joined."""
    csv.field_size_limit(max(FIELD_LIMIT, csv.field_size_limit()))
    with open_text(path, newline="", errors="surrogateescape") as file:
        header, options = _header(file, delimiter)
        if bad := bad_byte(header):
            raise SourceError(f"{path}: the header {bad.reason}; save the file as UTF-8")
        if twice := repeated(list(filter(None, header))):
            raise SourceError(f"{path}: the header names {twice} twice; rename one")
        records = (fields for fields in csv.reader(file, strict=True, **options) if fields)
        for number, fields in enumerate(records):
            if bad := bad_byte(fields):
                yield number, bad
            elif len(fields) != len(header):
                yield number, Unreadable(f"has {len(fields)} fields, the header {len(header)}")
            elif [field.strip("\ufeff ") for field in fields] == header:
                yield number, Unreadable("is the header once more")
            else:
                yield number, dict(zip(header, fields, strict=True))


def _header(file: IO[str], delimiter: str) -> tuple[list[str], dict[str, Any]]:
    """The names of the columns, and how the records behind them are read. A header of one column tells that something
    else than ``delimiter`` separates them, and so does Excel's line before it (``sep=;``). A space before a name tells
    that spaces stand behind the delimiter."""
    lines = (line for line in file if line.strip())
    line = next(lines, "")
    if excel := _EXCEL.fullmatch(line):
        delimiter, line = excel[1], next(lines, "")
    header = next(csv.reader(chain([line], file), delimiter=delimiter, strict=True), [])
    if len(header) == 1:
        found = {mark: next(csv.reader([line], delimiter=mark)) for mark in DELIMITERS if mark in header[0]}
        names = ((mark, each) for mark, each in found.items() if max(len(name.split()) for name in each) <= MAX_WORDS)
        delimiter, header = next(names, (delimiter, header))
    options = {"delimiter": delimiter, "skipinitialspace": any(name.startswith(" ") for name in header)}
    if options["skipinitialspace"]:
        header = next(csv.reader([line], strict=True, **options))
    return [name.strip() for name in header], options
