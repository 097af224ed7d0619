"""Phrases with which an answer refuses. They are data (``phrases.yaml``), ours, and in English.

>>> kind_of_refusal("I\u2019m sorry, but I can\u2019t help with that.")
'apology'
>>> kind_of_refusal("Sorry to hear that! Here is what helps.")
''
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import yaml

from sinternal_verl.tokens import whole_text

OPENING = 500
"""[ours] A refusal says so at the beginning: only so many characters are searched. Later on the same words are mostly
about something else, such as a thing that cannot be done."""

_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u00b4`\uff07", "'"))


@cache
def phrases() -> Mapping[str, tuple[str, ...]]:
    """The phrases by kind."""
    found = yaml.safe_load((files(__package__) / "phrases.yaml").read_text("utf-8"))
    return {kind: tuple(words) for kind, words in found.items()}


@cache
def _pattern() -> re.Pattern[str]:
    kinds = (f"(?P<{kind}>{'|'.join(map(re.escape, words))})" for kind, words in phrases().items())
    return re.compile(rf"(?<!\w)(?:{'|'.join(kinds)})(?!\w)")


def kind_of_refusal(text: str) -> str:
    """The kind of the first phrase in the text's opening; empty where there is none. It takes time linear in the
    length of the text."""
    opening = whole_text(text.lstrip()[:OPENING]).translate(_APOSTROPHES).lower()
    found = _pattern().search(" ".join(opening.replace("*", "").split()))
    return found.lastgroup or "" if found else ""


def opens_with_refusal(text: str) -> bool:
    """Whether a reply of a judge declines to judge; only asked of one without a verdict."""
    return bool(kind_of_refusal(text))
