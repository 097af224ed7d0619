"""A value of JSON as a number, a name or a text, whatever type it has."""

import json
import math
from typing import Any

MAX_NAME = 300
"""The most characters of a name, such as an outcome or a reason; the rest is cut off."""


def as_number(value: Any) -> float:
    """A number as a float, also from its text; NaN for anything else.

    >>> as_number(True), as_number("0.5"), as_number(10**400), as_number(None), as_number([1])
    (1.0, 0.5, nan, nan, nan)
    """
    if not isinstance(value, bool | int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def as_step(value: Any, most: int = 2**31 - 1) -> int | None:
    """A whole number from 0; None for anything else.

    >>> as_step("3"), as_step(3.0), as_step(3.5), as_step(-1), as_step(True)
    (3, 3, None, None, None)
    """
    number = math.nan if isinstance(value, bool) else as_number(value)
    return int(number) if 0 <= number <= most and number.is_integer() else None


def as_flag(value: Any, unknown: int) -> int:
    """1 or 0 of a truth value, of a number or of its text.

    >>> as_flag(True, -1), as_flag(0.0, -1), as_flag("false", -1), as_flag(None, -1)
    (1, 0, 0, -1)
    """
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return int(value.strip().lower() == "true")
    number = as_number(value)
    return unknown if math.isnan(number) else int(number != 0)


def as_name(value: Any) -> str | None:
    """A short text; None where there is none.

    >>> as_name("7"), as_name(7), as_name({"file": "a"}), as_name(""), as_name("x" * 400)[-2:]
    ('7', '7', '{"file": "a"}', None, 'x…')
    """
    text = as_text(value)
    if not text:
        return None
    return text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}…"


def as_text(value: Any) -> str:
    """A text as UTF-8 can hold it; another value as JSON.

    >>> as_text("a\\ud800"), as_text(None), as_text([{"role": "user"}])
    ('a?', '', '[{"role": "user"}]')
    """
    if value is None:
        return ""
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply)"
    # A lone surrogate is no UTF-8, so no file could hold it.
    return text.encode("utf-8", "replace").decode()
