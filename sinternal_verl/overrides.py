"""Writes Hydra's overrides so that Hydra reads each value back as it is.

A path or a name may hold any character: ``lr=1e-6``, ``seed 1, try #2``, ``20251125``. Hydra would not read the first
two, and would take the third for a number. Whatever composes an override of a value that it does not know uses
`override`; for a shell, `shell_line` quotes once more.
"""

import os
import re
import shlex
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

BARE = re.compile(r"[A-Za-z0-9_./-]+")
"""Texts that need no quotes in any version of Hydra, unless they are a number or another value."""

INTERPOLATION = re.compile(r"(\\*)\$\{")


def override(key: str, value: Any) -> str:
    """The word ``key=value``.

    Args:
        value: a text, a path, a number, a bool, None, or a sequence of these.

    >>> override("out", "/runs/lr=1e-6, seed 1")
    'out="/runs/lr=1e-6, seed 1"'
    >>> override("out", "20251125"), override("seed", 20251125)
    ('out="20251125"', 'seed=20251125')
    >>> override("data.val_files", ["/a.parquet", "/b#c.parquet"])
    'data.val_files=[/a.parquet,"/b#c.parquet"]'

    The value is read back by one access. verl's mains resolve a configuration and then read it, so that ``${`` in a
    path is an interpolation there. OmegaConf takes ``???``, alone, for a value that is missing.
    """
    return f"{key}={_literal(value)}"


def shell_line(*words: str) -> str:
    """The words as a line for a shell.

    >>> print(shell_line("sinternal-verl", "verify", "build", override("out", "/runs/seed 1")))
    sinternal-verl verify build 'out="/runs/seed 1"'
    """
    return shlex.join(words)


def with_texts(words: Sequence[str], keys: Collection[str]) -> list[str]:
    """The words, in which every value of these keys is a text: ``out=20251125`` names a folder.

    >>> with_texts(["out=1e-6", "seed=5", "store=null"], {"out", "store"})
    ['out="1e-6"', 'seed=5', 'store=null']
    """
    return [_as_text(word) if word.lstrip("+").partition("=")[0] in keys else word for word in words]


def is_single(word: str) -> bool:
    """Whether Hydra reads the word, and as one value: ``a,b`` would be a sweep over two."""
    try:
        return not _parser().parse_override(word).is_sweep_override()
    except HydraException:
        return False


def _as_text(word: str) -> str:
    key, _, given = word.partition("=")
    if is_single(word) and isinstance(_parser().parse_override(word).value(), bool | int | float):
        return override(key, given.strip())
    return word


def _literal(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str | os.PathLike):
        return _text(os.fspath(value))
    return f"[{','.join(map(_literal, value))}]"


def _text(text: str) -> str:
    if BARE.fullmatch(text) and is_single(f"x={text}") and _parser().parse_override(f"x={text}").value() == text:
        return text
    # A shell's own quotes are single ones, so that the word stays readable there.
    quote = Quote.single if '"' in text and "'" not in text else Quote.double
    return QuotedString(INTERPOLATION.sub(r"\1\1\\${", text), quote).with_quotes()


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()
