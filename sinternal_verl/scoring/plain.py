"""What a scorer returns besides its score, as plain values: a finite number, or something that JSON can hold.

A scorer may return anything: tensors, arrays, NaN, objects of its own. Nothing here raises, whatever it is.
"""

import math
from collections.abc import Mapping
from typing import Any

MAX_TEXT = 10_000
"""The most characters of a string; the rest is cut off."""

MAX_ITEMS = 1_000
"""The most items of a value, those within its lists and dicts included; the rest is left out."""

MAX_DEPTH = 8
"""How deep lists and dicts may stand in one another; what is deeper becomes text."""

MAX_INT = 2**63
"""A whole number of this size or above becomes text: few readers of JSON take it."""


def as_float(value: Any) -> float | None:
    """A number of Python, numpy or torch, or an array or tensor of one element, as a float; None for anything else.

    >>> as_float(True), as_float(float("inf")), as_float("1"), as_float([1.0])
    (1.0, inf, None, None)
    """
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        return None
    try:
        item = value.item() if callable(getattr(value, "item", None)) else value
        return None if isinstance(item, str | bytes) else float(item)
    # Whatever an object raises that is asked for its number: an array of several, an int beyond all floats.
    except Exception:
        return None


def number(value: Any) -> float | None:
    """`as_float`, where that is finite.

    >>> number(2), number(float("nan"))
    (2.0, None)
    """
    found = as_float(value)
    return found if found is not None and math.isfinite(found) else None


def plain(value: Any) -> Any:
    """A value as JSON can hold it: NaN and infinities become None, an array its list, any other object its text.

    >>> plain({"a": float("nan"), 2: ("x", {3})})
    {'a': None, '2': ['x', [3]]}
    """
    return _plain(value, MAX_DEPTH, [MAX_ITEMS])


def _plain(value: Any, depth: int, left: list[int]) -> Any:
    try:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, int):
            return int(value) if -MAX_INT < value < MAX_INT else _text(hex(value))
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        if hasattr(value, "tolist") and hasattr(value, "shape"):
            shape = tuple(value.shape)
            if math.prod(shape) > left[0]:
                return f"{type(value).__name__} of shape {shape}"
            return _plain(value.tolist(), depth, left)
        if depth and isinstance(value, Mapping):
            return {_text(str(key)): _plain(value[key], depth - 1, left) for key in _first(value, left)}
        if depth and isinstance(value, list | tuple | set | frozenset):
            return [_plain(item, depth - 1, left) for item in _first(value, left)]
        return _text(str(value))
    # Whatever an object of a user's raises that is asked for its content.
    except Exception:
        return f"<{type(value).__name__}>"


def _first(values: Any, left: list[int]) -> list[Any]:
    """As many of the values as may still be taken."""
    taken = [value for value, _ in zip(values, range(left[0]), strict=False)]
    left[0] -= len(taken)
    return taken


def _text(text: str) -> str:
    # A lone surrogate is no UTF-8, so no file could hold it.
    whole = text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
    return whole.encode("utf-8", "replace").decode()
