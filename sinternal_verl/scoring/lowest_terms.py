r"""Writes numbers that stand alone in a canonical text in lowest terms, and fractions with a slash by ``\frac``."""

import re
from math import gcd

from sinternal_verl.scoring.symbols import BEGINS, CLOSES, OPENS, TIMES

MAX_DIGITS = 300
"""The most digits of a number that is written in lowest terms."""

PLAIN = re.compile(r"(-?)(?:([0-9]+)|\\[dt]?frac\{([0-9]{1,9})\}\{([0-9]{1,9})\})")
"""A number that is all of an answer."""


def of_plain(plain: re.Match[str]) -> str:
    """The number of a match of `PLAIN`, in lowest terms."""
    sign, integer, above, below = plain.groups()
    if integer:
        integer = integer.lstrip("0")
        return sign + integer if integer else "0"
    top, bottom = int(above), int(below)
    return _ratio(-top if sign else top, bottom) if bottom else f"{sign}\\frac{{{above}}}{{{below}}}"


_NUMBER = (
    r"(?:([0-9]+)(?: ([0-9]+)/([0-9]+)| ?\\frac\{([0-9]+)\}\{([0-9]+)\})"  # a mixed number
    r"|\\frac\{(-?[0-9]+)\}\{(-?[0-9]+)\}|([0-9]+)/([0-9]+)|([0-9]+)\.([0-9]+)|0)"
)
# Where a value begins. A bar opens where another value would begin, or behind a sign; elsewhere it closes.
_BEGIN = rf"(?:(?<![^,;:{BEGINS}])|(?<=[,;:{BEGINS}+\-]\|)|(?<=\A\|))"
_ALONE = re.compile(rf"(?:{_BEGIN}(-?)|(?<=[+-])){_NUMBER}(?![^{CLOSES}+\-])")
_PLUS = re.compile(rf"{_BEGIN}\+(?=[^{CLOSES}+\-])")
_GROUP = r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}"
_MINUS_ABOVE = re.compile(
    rf"{_BEGIN}\\frac\{{-([^{{}}+\-±∓]*(?:\{{[^{{}}]*\}}[^{{}}+\-±∓]*)*)\}}(?={_GROUP}(?![\^_!']))"
)
_MINUS_BELOW = re.compile(rf"{_BEGIN}\\frac({_GROUP})\{{-([^{{}}+\-±∓]*(?:\{{[^{{}}]*\}}[^{{}}+\-±∓]*)*)\}}(?![\^_!'])")
# Zeros mean nothing before a number that begins a value. Behind a comma or a colon they may: 1,05 and 3:05. So they may
# in a part that repeats: 0.(03).
_ZEROS = re.compile(rf"0(?<![^{BEGINS}+\-]0)(?<!line\{{0)(?<![0-9.]\(0)0*(?=[0-9])")
_NO_INTEGER = re.compile(rf"\.(?<![^{OPENS}+\-·{TIMES}]\.)(?=[0-9]|\\overline|\\dot)")
# Those behind decimals mean nothing where the number ends.
_NO_END = r"[ .(…]|\\(?:over|under)line|\\dot"
_DECIMALS = re.compile(rf"(?<![0-9.])([0-9]+)\.([0-9]*)(?![0-9])(?!{_NO_END})(?:(?<=[0-9])|(?![^\W_]|[\\√]))")
# Between numbers it is no product of vectors.
_TIMES = re.compile(rf"(?<=[0-9}}]){TIMES}(?=[0-9√π]|\\frac)")
# A run of atoms takes a digit at a time: with [0-9]+ a run of digits could be cut in exponentially many ways.
_ATOM = r"[0-9]|[^\W\d_]|√\{[^{}]*\}"
_SLASH = re.compile(
    rf"(?<![^{OPENS}+\-])(?:\(([^(),]*)\)|((?:{_ATOM}|[_^]\{{[^{{}}]*\}}|\([^(),]*\)|[!'])+))"
    rf"/([0-9]+|{_ATOM}|\(([^(),]*)\))(?![^{CLOSES}+\-])"
)


def lowest_terms(text: str) -> str:
    """Each number that stands alone as an integer or a fraction in lowest terms; other fractions by ``\\frac``."""
    if plain := PLAIN.fullmatch(text):
        return of_plain(plain)
    if "0" in text:
        text = _ZEROS.sub("", text)
    if "." in text:
        text = _DECIMALS.sub(_without_zeros, _NO_INTEGER.sub("0.", text))
    if TIMES in text:
        text = _TIMES.sub("·", text)
    if "+" in text:
        text = _PLUS.sub("", text)
    if "/" in text:
        text = _ALONE.sub(_value, text)
        if "/" in text:
            text = _SLASH.sub(_fraction, text)
    elif "\\frac" in text or "." in text or "-0" in text:
        text = _ALONE.sub(_value, text)
    if "\\frac{-" in text:
        text = _MINUS_ABOVE.sub(r"-\\frac{\1}", text)
    return _MINUS_BELOW.sub(r"-\\frac\1{\2}", text) if "}{-" in text else text


def _without_zeros(match: re.Match[str]) -> str:
    decimals = match[2].rstrip("0")
    return f"{match[1]}.{decimals}" if decimals else match[1]


def _fraction(match: re.Match[str]) -> str:
    top, bottom = match[1] or match[2], match[4] or match[3]
    return f"\\frac{{{top}}}{{{bottom}}}" if top else match[0]


def _value(match: re.Match[str]) -> str:
    sign, whole, top, bottom, over, under, numerator, denominator, left, right, integer, decimals = match.groups()
    if len(match[0]) > MAX_DIGITS:
        return match[0]
    if whole:
        below = int(bottom or under)
        above = int(top or over)
        if above >= below:
            return match[0]
        above += int(whole) * below
    elif decimals:
        above, below = int(integer + decimals), 10 ** len(decimals)
    elif numerator or left:
        above, below = int(numerator or left), int(denominator or right)
    else:
        above, below = 0, 1
    if below == 0 or (sign is None and above * below < 0):
        return match[0]
    return _ratio(-above if sign else above, below)


def _ratio(top: int, bottom: int) -> str:
    """A fraction in lowest terms; ``bottom`` is not 0."""
    divisor = gcd(top, bottom) if bottom > 0 else -gcd(top, bottom)
    top, bottom = top // divisor, bottom // divisor
    if bottom == 1:
        return str(top)
    return f"-\\frac{{{-top}}}{{{bottom}}}" if top < 0 else f"\\frac{{{top}}}{{{bottom}}}"
