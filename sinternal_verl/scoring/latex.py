r"""Finds whether two answers are the same, written differently. Different answers never become equal.

An answer is a number, a number with a unit, or anything else:

1. **Numbers** compare by exact value: ``0.25``, ``1/4``, ``\frac14`` and ``\dfrac{1}{4}``; ``033``;
   ``1,000``, ``1{,}000`` and ``1\,000``. A sign is part of the value.
2. **Units** (degree, percent, dollar, ``\text{ cm}``) may be left out, but two that are given must agree.
3. **Anything else** compares as text, after its LaTeX is brought to one spelling: ``\dfrac``, ``\left``,
   spacing, braces around a single character. Signs, exponents, bases, order and brackets stay.

Every pattern takes linear time, and inputs are bounded by `response.MAX_ANSWER`.
"""

import re
from fractions import Fraction
from functools import lru_cache

_NUMBER = re.compile(
    r"(?P<sign>[-+]?)"
    r"(?:(?P<whole>\d+|\d{1,3}(?:,\d{3})+)?(?P<decimals>\.\d+)?"
    r"|(?P<left>\d+)/(?P<right>\d+)"
    r"|\\frac\{(?P<top>[-+]?\d+)\}\{(?P<bottom>[-+]?\d+)\})"
)

_WITH_UNIT = re.compile(
    r"(?P<currency>\\?\$)?"
    r"(?P<number>[-+]?(?:[\d.,]+|\d+/\d+|\\frac\{[-+]?\d+\}\{[-+]?\d+\}))"
    r"(?P<unit>\^\{?\\circ\}?|\\degree|°|\\?%|\\text\{ ?[A-Za-z][A-Za-z/. ]+\}(?:\^\{?\d\}?)?)?"
)

# A comma with space behind it separates answers, not thousands.
_LIST = re.compile(r",(?:\s|~|\\[ ,;:]|\\q?quad)")

# Words behind a number that are no unit: they make it another number.
_NO_UNIT = re.compile(
    r"\b(?:hundred|thousand|[mbtr]?illion|[mb]illion|dozen|base|mod|or|and|to|pi|more|less)s?\b", re.IGNORECASE
)

# Rules of spelling, applied in this order. Spacing stays one space until the end, so that no rule joins two digits.
_SPELLING = (
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\(?:left|right)\s*\."), ""),
    (re.compile(r"\\(?:left|right|[Bb]igg?[lrm]?)(?![A-Za-z])"), ""),
    (re.compile(r"\\(?:mathrm|textrm|textnormal|mbox|textup)(?=\s*\{)"), r"\\text"),
    (re.compile(r"(?<=\d)(?:\{,\}|,\\!|\\,|\\!)(?=\d{3}(?!\d))"), ""),
    (re.compile(r"\\(?:[,;:!> ]|quad(?![A-Za-z])|qquad(?![A-Za-z]))|~|\s+"), " "),
    (re.compile(r"\\(leq|geq|neq)(?![A-Za-z])"), lambda match: "\\" + match.group(1)[:-1]),
    (re.compile(r"\\frac ?(\d) ?(\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\frac ?(\d) ?\{"), r"\\frac{\1}{"),
    (re.compile(r"\\sqrt ?(\d)"), r"\\sqrt{\1}"),
    (re.compile(r"([\^_]) ?\{ ?([A-Za-z0-9]) ?\}"), r"\1\2"),
    (re.compile(r"(?<=[A-Za-z]) +(?=[A-Za-z])|(?<=\d) +(?=\d)"), "\x00"),
    (re.compile(" +"), ""),
    (re.compile("\x00"), " "),
)


@lru_cache(maxsize=65536)
def canonical(answer: str) -> tuple[str | Fraction, str]:
    """``(body, unit)``: the number's exact value or the text in one spelling, and its unit or ``""``.

    `same` compares these pairs. Never raises, whatever the string.
    """
    text = answer.strip()
    if text.isascii() and text.isdigit():
        return Fraction(int(text)) if len(text) < 300 else text.lstrip("0"), ""
    for pattern, spelling in _SPELLING:
        text = pattern.sub(spelling, text)
    text = _bare(text)
    measured = _WITH_UNIT.fullmatch(text)
    if measured and not ("," in measured["number"] and _LIST.search(answer)):
        value = _value(measured["number"])
        if value is not None:
            unit = measured["unit"] or measured["currency"] or ""
            if _NO_UNIT.search(unit):
                return text, ""
            return value, _UNITS.get(unit, unit.replace(" ", ""))
    return text, ""


def same(one: str, other: str) -> bool:
    """Whether two answers are one answer, written differently."""
    if one == other:
        return True
    (body, unit), (other_body, other_unit) = canonical(one), canonical(other)
    return body == other_body and (unit == other_unit or not unit or not other_unit)


_UNITS = {r"^\circ": "°", r"^{\circ}": "°", r"\degree": "°", r"\%": "%", r"\$": "$"}


def _bare(text: str) -> str:
    """The text without math delimiters, a full stop at its end, or a ``\\text{…}`` around all of it."""
    if len(text) > 1 and text[0] == text[-1] == "$":
        text = text[1:-1]
    if text.endswith(".") and not text.endswith(".."):
        text = text[:-1]
    if text.startswith(r"\text{") and text.endswith("}") and text.find("}") == len(text) - 1:
        text = text[len(r"\text{") : -1].strip()
    return text


def _value(number: str) -> Fraction | None:
    match = _NUMBER.fullmatch(number)
    if match is None or len(number) > 300:
        return None
    if match["left"]:
        top, bottom = int(match["left"]), int(match["right"])
    elif match["top"]:
        top, bottom = int(match["top"]), int(match["bottom"])
    elif match["whole"] or match["decimals"]:
        digits = (match["whole"] or "0").replace(",", "") + (match["decimals"] or "")
        value = Fraction(digits)
        return -value if match["sign"] == "-" else value
    else:
        return None
    if bottom == 0:
        return None
    return Fraction(-top if match["sign"] == "-" else top, bottom)
