"""What a path in a configuration stands for: the content of a file or of a model's folder, or a commit of the hub.

A data file or Python file is read whole. A model's folder has gigabytes of weights, so of a file above `WHOLE` the
size and `PIECES` pieces are read, spread evenly over it: weights that were trained differ nearly everywhere. A hub id
stands for the commit in the cache; where there is none yet, the id itself is all that is known.
"""

import importlib.util
import os
import re
from functools import cache
from hashlib import blake2b
from pathlib import Path

from sinternal_verl.user_code import PACKAGE

MODEL_FILES = frozenset({".json", ".jinja", ".txt", ".model", ".tiktoken", ".py", ".safetensors", ".bin", ".pt"})
"""Endings of the files that decide what a model is; a README does not."""

WHOLE = 64 * 2**20
"""Files of a model up to this size in bytes are read whole."""

PIECES, PIECE = 256, 4096
"""How many pieces of a larger file are read, and their size in bytes."""

OURS = ("sinternal_verl.", "verl.")
"""Modules that the versions in a record tell."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

COMMIT = "commit "
"""How the digest of a hub id begins."""


def digest_of(value: str) -> str | None:
    """The digest of what ``value`` names: a file, a model's folder, ``pkg://module`` of the user's, or a hub id in the
    cache. None where it names nothing of the kind."""
    if value.startswith(PACKAGE):
        return _of_module(value.removeprefix(PACKAGE))
    path = os.path.expanduser(value)
    if os.path.isfile(path):
        return _of_file(path)
    if os.path.isfile(os.path.join(path, "config.json")):
        return folder_digest(path)
    return _commit(value) if _HUB_ID.fullmatch(value) and not os.path.exists(path) else None


def digest_of_target(value: str) -> str | None:
    """The digest of the user's module that ``module.attribute`` names, and the attribute: two functions of one file
    are two."""
    module, _, attribute = value.rpartition(".")
    found = _of_module(module) if module else None
    return found and f"{attribute} of {found}"


def _of_module(name: str) -> str | None:
    if name.startswith(OURS):
        return None
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # another check tells of a module that cannot be imported
        return None
    return _of_file(found.origin) if found and found.origin and os.path.isfile(found.origin) else None


def folder_digest(folder: str) -> str:
    """The digest of a model's folder: names, sizes and content of its files, but not their times."""
    whole = blake2b(digest_size=16)
    for file in sorted(Path(folder).iterdir()):
        if file.suffix in MODEL_FILES and file.is_file():
            size = file.stat().st_size
            pieces = None if size <= WHOLE else PIECES
            whole.update(f"{file.name} {size} {_of_file(str(file), pieces)}\n".encode())
    return whole.hexdigest()


def _of_file(path: str, pieces: int | None = None) -> str:
    status = os.stat(path)
    return _read(os.path.realpath(path), status.st_size, status.st_mtime_ns, pieces)


@cache
def _read(path: str, size: int, changed: int, pieces: int | None) -> str:
    """A digest of a file that has this size and was changed at this time."""
    found = blake2b(digest_size=16)
    with open(path, "rb") as file:
        if pieces is None:
            while block := file.read(2**20):
                found.update(block)
        else:
            for number in range(pieces):
                file.seek((size - PIECE) * number // (pieces - 1))
                found.update(file.read(PIECE))
    return found.hexdigest()


def _commit(model: str) -> str | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, "config.json")
    except HFValidationError:  # no hub id
        return None
    return f"{COMMIT}{Path(found).parent.name}" if isinstance(found, str) else None
