r"""Finds whether two answers are the same, written differently. Different answers never become equal.

An answer is read as TeX reads it (`tex`), and each symbol gets one spelling (`symbols`). In what comes of it

1. **Numbers** that stand alone, also within a list, a matrix or an argument, are written in lowest terms: ``0.25``,
   ``1/4``, ``\frac14`` and ``\frac{2}{8}`` are one number, and so are ``1\frac12`` and ``1.5``. ``1,000`` is a
   thousand where no other comma stands.
2. **A unit** behind the value (`units`) or a currency before it may be left out, but two that are given must agree.
3. **A short name** and an equals sign before the value may be left out, but two names that are given must agree.
4. **All else** must be equal: signs, exponents, bases, order and brackets.
"""

import re
from functools import lru_cache
from math import gcd
from typing import NamedTuple

from sinternal_verl.scoring.response import MAX_ANSWER
from sinternal_verl.scoring.tex import WORD, Unreadable, read
from sinternal_verl.scoring.units import is_safe_without_text, unit

MAX_DIGITS = 300
"""The most digits of a number that is written in lowest terms."""

MAX_UNIT = 8
"""The most items of a unit: words, powers and a slash."""


class Canonical(NamedTuple):
    """An answer in one spelling.

    Attributes:
        whole: all of it.
        body: the value, without unit and name; empty where there is none.
        unit: the unit's one name, or "".
        name: what stands before the equals sign, with that sign, or "".
    """

    whole: str
    body: str
    unit: str = ""
    name: str = ""


def same(one: str, other: str) -> bool:
    r"""Whether two answers are one answer, written differently. Never raises, whatever the strings.

    >>> same(r"\frac{270}7\text{ degrees}", r"\dfrac{270}{7}^\circ"), same(r"x \le 5", r"x\leqslant5")
    (True, True)
    >>> same("(1,2)", "[1,2]"), same(r"5\text{ cm}", r"5\text{ m}"), same("x=5", "y=5")
    (False, False, False)

    Strings longer than `MAX_ANSWER` are no answers and must be equal as they are.
    """
    if one == other:
        return True
    first, second = canonical(one), canonical(other)
    if first.whole == second.whole:
        return first.whole != ""
    return (
        first.body == second.body != ""
        and (first.unit == second.unit or not first.unit or not second.unit)
        and (first.name == second.name or not first.name or not second.name)
    )


@lru_cache(maxsize=65536)
def canonical(answer: str) -> Canonical:
    """An answer in one spelling. Never raises, whatever the string; its time is linear in the length."""
    if len(answer) > MAX_ANSWER:
        return Canonical(answer, "")
    answer = answer.strip()
    if answer.isdigit() and answer.isascii():
        number = answer.lstrip("0") or "0"
        return Canonical(number, number)
    try:
        items = read(answer)
    except Unreadable:
        return Canonical("".join(answer.split()), "")
    if items and items[-1][-1] == ".":  # a full stop
        items[-1:] = [items[-1][:-1]] if len(items[-1]) > 1 else []
    whole = _lowest_terms(_join(items))
    value, currency, measured, name = items, "", "", ""
    if "$" in whole or "€" in whole or "£" in whole:
        value, currency = _without_currency(value)
    if value and _may_belong_to_unit(value, len(value) - 1):
        value, measured = _without_unit(value)
    if "=" in whole or "∈" in whole:
        value, name = _without_name(value)
    body = whole if value is items else _lowest_terms(_join(value))
    if body[:1] == "(" and (choice := _CHOICE.fullmatch(body)):
        body = choice[1]
    if currency and measured:
        currency = "" if currency == measured else currency + " "
    return Canonical(whole, body, currency + measured, name)


_CHOICE = re.compile(r"\(([A-J])\)")

# A letter, points such as AB or a word of a \text{…}; with an index, primes and arguments.
_NAME = re.compile(rf"(?:∠?[A-Z]{{1,4}}|[^\W\d_]|{WORD}[A-Za-z]{{1,12}})(?:_\{{[^{{}}]*\}})?'*(?:\([A-Za-z](?:,[A-Za-z])*\))?")
_RELATIONS = frozenset("=∈<>≤≥≠≈≡⇒→")

_CURRENCIES = frozenset("$€£")
_SIGNS = frozenset("+-=")


def _join(items: list[str]) -> str:
    return "".join(items).replace(WORD, "")


def _without_currency(items: list[str]) -> tuple[list[str], str]:
    """The items without the sign of a currency that stands first, or behind a sign or a name's ``=``."""
    for number, item in enumerate(items):
        if item in _CURRENCIES:
            if number + 1 < len(items) and (number == 0 or items[number - 1] in _SIGNS):
                return items[:number] + items[number + 1 :], item
            break
    return items, ""


def _without_name(items: list[str]) -> tuple[list[str], str]:
    """The items without a short name and ``=`` or ``∈`` before the value, and these."""
    relations = _RELATIONS.intersection(items)
    if len(relations) == 1 and relations <= {"=", "∈"}:
        number = items.index(*relations)
        value = items[number + 1 :]
        # B=C has no value, it is a relation of two names.
        relates = len(value) == 0 or (len(value) == 1 and value[0].isascii() and value[0].strip(WORD).isalpha())
        if not relates and items.count(items[number]) == 1 and _NAME.fullmatch("".join(items[:number])):
            return value, _join(items[: number + 1])
    return items, ""


def _without_unit(items: list[str]) -> tuple[list[str], str]:
    """The items without the unit at their end, and its name."""
    start = len(items)
    while start > max(0, len(items) - MAX_UNIT) and _may_belong_to_unit(items, start - 1):
        start -= 1
    for number in range(max(start, 1), len(items)):
        if items[number][0] in "^/·" or _is_word(items[number - 1]):
            continue  # a unit begins with its name, and "no solutions" has no value
        if name := unit(" ".join(items[number:])):
            return items[:number], name
    return items, ""


def _may_belong_to_unit(items: list[str], number: int) -> bool:
    item = items[number]
    if item[0] == WORD or item in _UNIT_SYMBOLS or item[:2] == "^{":
        return True
    if not item.isalpha():
        return False
    if len(item) == 1:  # a variable, except in km/h
        return number > 1 and items[number - 1] == "/" and len(items[number - 2]) > 1
    return is_safe_without_text(item)


def _is_word(item: str) -> bool:
    return item[0] == WORD or (len(item) > 1 and item.isalpha())


_UNIT_SYMBOLS = frozenset("°%$€£¢/·")

_NUMBER = (
    r"(?:([0-9]+)(?: ([0-9]+)/([0-9]+)|\\frac\{([0-9]+)\}\{([0-9]+)\})"  # a mixed number
    r"|\\frac\{(-?[0-9]+)\}\{(-?[0-9]+)\}|([0-9]+)/([0-9]+)|([0-9]+)\.([0-9]+)|0)"
)
_OPENS = r"(\[{,;:=<>|&⏎≤≥≠≈≡∈∉∪∩∖→⇒±∓⦃⟨⟦"
_CLOSES = r")\]},;:=<>|&⏎≤≥≠≈≡∈∉∪∩∖→⇒±∓⦄⟩⟧"
_ALONE = re.compile(rf"(?:(?<![^{_OPENS}])(-?)|(?<=[+-])){_NUMBER}(?![^{_CLOSES}+\-])")
_PLUS = re.compile(rf"(?<![^{_OPENS}])\+(?=[^{_CLOSES}+\-])")
_MINUS_ABOVE = re.compile(rf"(?<![^{_OPENS}])\\frac\{{-([^{{}}+\-±∓]*(?:\{{[^{{}}]*\}}[^{{}}+\-±∓]*)*)\}}")
_ATOM = r"(?:[0-9]+|[^\W\d_]|√\{[^{}]*\})"
_SLASH = re.compile(
    rf"(?<![^{_OPENS}+\-])(?:\(([^(),]*)\)|((?:{_ATOM}|[_^]\{{[^{{}}]*\}})+))/({_ATOM}|\(([^(),]*)\))(?![^{_CLOSES}+\-])"
)


def _lowest_terms(text: str) -> str:
    """Each number that stands alone as an integer or a fraction in lowest terms; other fractions by ``\\frac``."""
    if "+" in text:
        text = _PLUS.sub("", text)
    if "/" in text:
        text = _ALONE.sub(_value, text)
        if "/" in text:
            text = _SLASH.sub(_fraction, text)
    elif "\\frac" in text or "." in text or "-0" in text:
        text = _ALONE.sub(_value, text)
    return _MINUS_ABOVE.sub(r"-\\frac{\1}", text) if "\\frac{-" in text else text


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
    divisor = gcd(above, below) * (1 if below > 0 else -1)
    above, below = above // divisor, below // divisor
    if sign:
        above = -above
    if below == 1:
        return str(above)
    return f"-\\frac{{{-above}}}{{{below}}}" if above < 0 else f"\\frac{{{above}}}{{{below}}}"
