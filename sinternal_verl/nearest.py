"""What a misspelt name was meant to be: a key among those there are, or a path among its neighbours."""

import os
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

MAX_NEIGHBOURS = 5_000
"""A folder's entries that are looked at."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The most similar name; for a dotted key also one that ends in the same words.

    >>> nearest("expert.modell", ["expert.model", "policy.model"])
    'expert.model'
    >>> nearest("max_requests", ["expert.max_requests", "seed"])
    'expert.max_requests'
    >>> nearest("anything", ["seed"])
    """
    names = list(names)
    found = get_close_matches(name, names, 1, cutoff=0.7) or [known for known in names if known.endswith(f".{name}")]
    return found[0] if found else None


def did_you_mean(path: str | os.PathLike) -> str:
    """`` (did you mean …?)`` with the nearest path that exists, for a path that does not; empty where none is near.

    >>> did_you_mean("/usr/bim/env")
    ' (did you mean /usr/bin/env?)'
    >>> did_you_mean("/no/such/thing")
    ''
    """
    found = _nearest_path(Path(path).expanduser())
    return "" if found is None else f" (did you mean {found}?)"


def _nearest_path(path: Path) -> Path | None:
    """The path with each part that is not there replaced by its nearest neighbour."""
    if path.exists() or path == path.parent:
        return path if path.exists() else None
    folder = _nearest_path(path.parent)
    if folder is None or not folder.is_dir():
        return None
    if (folder / path.name).exists():
        return folder / path.name
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, MAX_NEIGHBOURS)]
    except OSError:
        return None
    close = get_close_matches(path.name, names, 1, cutoff=0.7)
    return folder / close[0] if close else None
