"""Text that a run or a model wrote, made harmless: no character changes how others are read."""

from typing import Any

import regex

HIDDEN = regex.compile(r"[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}--[\n\t]]", regex.V1)
"""Characters that are not seen themselves: controls, direction marks, joiners, line separators and half surrogates.
``web/text.js`` has the same ones."""


def visible(text: str) -> str:
    r"""The text with each hidden character as its code point. It can be encoded as UTF-8, whatever it held.

    >>> visible("safe\u202eelif\x00"), visible("\ud800"), visible("one\n\ttwo é")
    ('safe[U+202E]elif[U+0000]', '[U+D800]', 'one\n\ttwo é')
    """
    return HIDDEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def visible_all(value: Any) -> Any:
    """The same of every string in lists, tuples and the values of dicts.

    >>> visible_all({"names": ["a\u200b", 1]})
    {'names': ['a[U+200B]', 1]}
    """
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {key: visible_all(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [visible_all(each) for each in value]
    return value
