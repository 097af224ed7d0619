r"""What a file holds, by its first bytes: its name may say something else, or a download may have brought another file.

A text that is packed with gzip is unpacked and UTF-16 is decoded, whatever the name. What cannot be read is named,
with what to do:

>>> foreign(b"version https://git-lfs.github.com/spec/v1\noid sha256:0", ".json")
'is a pointer of Git LFS, not the file itself; fetch the file with `git lfs pull`'
>>> foreign(b'{"problem": "1+1?"}', ".json"), foreign(b'{"problem": "1+1?"}', ".parquet")
(None, 'is JSON; end its name in .jsonl or .json')
"""

import codecs
import gzip
import io
import json
import re
import zipfile
import zlib
from pathlib import Path
from typing import IO, Literal

Kind = Literal[".json", ".csv", ".parquet"]

HEAD = 4096
"""The bytes that are looked at."""
GZIP = b"\x1f\x8b"
ZIP = b"PK\3\4"
PARQUET = b"PAR1"

_AS_LINES = "write its rows as JSON lines or parquet"
_AS_CSV = "save its sheet as CSV in UTF-8"
_AGAIN = "fetch it again"
_DOWNLOAD = "download the file itself, and log in where that is asked for"
_FORMATS = {
    rb"PAR1\x15": ("is a parquet file", "end its name in .parquet"),
    rb"version https://git-lfs": ("is a pointer of Git LFS, not the file itself", "fetch the file with `git lfs pull`"),
    rb"[./]*(?:git/)?annex/objects/": (
        "is a pointer of git-annex, not the file itself",
        "fetch it with `git annex get`",
    ),
    rb"\s*<(?:!doctype html|html|head|body)\b": ("is a web page, not data", _DOWNLOAD),
    rb"\s*<(?:\?xml\b|Error>)": ("is XML, such as the error of a file server", _DOWNLOAD),
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("is an old Excel workbook", _AS_CSV),
    rb"%PDF-": ("is a PDF", _AS_LINES),
    rb"BZh[1-9]1AY&SY": ("is packed with bzip2", "unpack it with `bunzip2`"),
    rb"\xfd7zXZ\0": ("is packed with xz", "unpack it with `unxz`"),
    rb"\x28\xb5\x2f\xfd": ("is packed with zstd", "unpack it with `zstd -d`"),
    rb"\x04\x22\x4d\x18": ("is packed with lz4", "unpack it with `lz4 -d`"),
    rb"7z\xbc\xaf\x27\x1c|Rar!\x1a\x07": ("is an archive", "unpack it, and give a file of it"),
    rb".{257}ustar": ("is a tar archive", "unpack it with `tar -xf`, and give a file of it"),
    rb"ARROW1\0|\xff\xff\xff\xff.{3}\0": ("is an Arrow file", "write it as parquet, such as with Dataset.to_parquet"),
    rb"SQLite format 3\0": ("is a database of SQLite", _AS_LINES),
    rb"\x80[\x02-\x05].{2}": ("is a pickle, which can run code and is not read", _AS_LINES),
    rb"\x89HDF\r\n|\x93NUMPY|Obj\x01": ("is of a format that is not read", _AS_LINES),
}
_FORMAT_OF = {re.compile(magic, re.DOTALL | re.IGNORECASE): found for magic, found in _FORMATS.items()}


def open_unpacked(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked where it is packed with gzip, whatever its name."""
    with open(path, "rb") as file:
        packed = file.read(len(GZIP)) == GZIP
    return gzip.open(path) if packed else open(path, "rb")


def encoding_of(head: bytes) -> str:
    """The encoding of a text, by its byte order mark or its zero bytes.

    >>> encoding_of("a,b".encode("utf-16")), encoding_of(b"{\\0"), encoding_of(b"a,b")
    ('utf-16', 'utf-16-le', 'utf-8-sig')
    """
    encoding = json.detect_encoding(head[:4])
    return "utf-8-sig" if encoding == "utf-8" else encoding


def open_text(path: Path, newline: str, errors: str = "strict") -> IO[str]:
    """The text of a file, packed with gzip or not, in UTF-8, UTF-16 or UTF-32."""
    file = open_unpacked(path)
    encoding = encoding_of(file.read(4))
    file.seek(0)
    return io.TextIOWrapper(file, encoding=encoding, errors=errors, newline=newline)


def what_is_wrong(path: Path, kind: Kind) -> str | None:
    """What a file is, and the next step, if it cannot be read as a file of this kind; else None. See `foreign`."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
        if head.startswith(GZIP) and kind != ".parquet":
            with gzip.open(path) as file:
                head = file.read(HEAD)
        if head.startswith(ZIP):
            return _of_zip(path)
        if kind == ".parquet" and head.startswith(PARQUET) and not _ends_in(path, PARQUET):
            return f"is no complete parquet file, which would end in PAR1; {_AGAIN}"
    except (OSError, EOFError, zlib.error):
        return None  # reading it will say what is wrong
    return foreign(head, kind)


def _ends_in(path: Path, end: bytes) -> bool:
    with open(path, "rb") as file:
        file.seek(-len(end), io.SEEK_END)
        return file.read() == end


def foreign(head: bytes, kind: Kind) -> str | None:
    """What a file with these first bytes is, and the next step; None where it may be a file of this kind."""
    if kind == ".parquet" and head.startswith(PARQUET):
        return None
    if head and not head.strip(b"\0"):
        return f"holds zero bytes, it was not written to its end; {_AGAIN}"
    text = head.removeprefix(codecs.BOM_UTF8)
    for magic, (what, step) in _FORMAT_OF.items():
        if magic.match(text):
            return f"{what}; {step}"
    if kind != ".json" and re.match(rb"\s*(?:\{\s*\"|\[\s*\{\s*\")", text):
        return "is JSON; end its name in .jsonl or .json"
    if kind != ".parquet":
        return None
    if head.startswith(b"PARE"):
        return f"is an encrypted parquet file; {_AS_LINES}"
    if head.startswith(GZIP):
        return "is packed with gzip as a whole; unpack it with `gunzip`"
    what = "is empty" if not head else "is no parquet file, which would begin with PAR1"
    return f"{what}; {_AGAIN}, or end its name in what it is"


def _of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return f"is a broken zip archive or Excel workbook; {_AGAIN}"
    if any(name.startswith("xl/") for name in names):
        return f"is an Excel workbook; {_AS_CSV}"
    if "mimetype" in names:
        return f"is a document of an office program; {_AS_CSV}"
    return f"is a zip archive of {len(names):,} files; unpack it, and give a file of it"
