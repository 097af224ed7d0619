"""The keys of a recipe with their defaults and comments, for a command's help. Neither Hydra nor YAML is imported."""

from collections.abc import Iterator
from pathlib import Path

LISTED_APART = "defaults"
"""Hydra's own list, which names no keys."""


def keys_of(recipe: str) -> str:
    """A line for each key, with the comment that stands above it in the file.

    Args:
        recipe: a file below ``recipes`` in the style of our recipes.
    """
    from sinternal_verl import recipes

    (text,) = (path.read_text() for folder in recipes.__path__ if (path := Path(folder) / recipe).is_file())
    return "\n".join(_described(text))


def _described(text: str) -> Iterator[str]:
    """
    >>> print("\\n".join(_described("# Of it all.\\nmodel:\\n\\n  # A name.\\n  path: null\\n  size: 3\\n")))
    # Of it all.
    model.path=null
        A name.
    model.size=3
    """
    path: list[str] = []
    comments: list[str] = []
    for line in text.splitlines():
        content = line.strip()
        depth = (len(line) - len(line.lstrip())) // 2
        if content.startswith("#"):
            comments.append(content.lstrip("# "))
            continue
        if not content:
            # A comment with nothing below it, such as the file's first lines, is of no key.
            comments = []
            continue
        name, colon, value = content.partition(":")
        path[depth:] = [name]
        if path[0] == LISTED_APART or not colon:
            comments = []
        elif value:
            yield f"{'.'.join(path)}={value.strip()}"
            yield from (f"    {comment}" for comment in comments)
            comments = []
        else:
            yield from (f"# {comment}" for comment in comments)
            comments = []
