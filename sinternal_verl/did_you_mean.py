"""The name that a user most likely meant."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name; empty where none is near.

    >>> did_you_mean("awnser", ["problem", "answer"]), did_you_mean("uid", ["problem", "answer"])
    ('; did you mean answer?', '')
    """
    near = get_close_matches(word, [str(name) for name in known], 1)
    return f"; did you mean {near[0]}?" if near else ""


def did_you_mean_file(name: str) -> str:
    """As `did_you_mean`, for a path that does not exist: the nearest name in the deepest folder that does."""
    path = Path(name).expanduser()
    rest = [path.name]
    try:
        while not path.parent.is_dir():
            path = path.parent
            rest.insert(0, path.name)
        near = get_close_matches(rest[0], [file.name for file in path.parent.iterdir() if file.name != rest[0]], 1)
    except OSError:  # a folder whose names may not be read
        return ""
    return f"; did you mean {Path(path.parent, near[0], *rest[1:])}?" if near else ""
