r"""Finds whether two answers are the same, written differently. Different answers never become equal.

An answer is read as TeX reads it (`tex`), and each symbol gets one spelling (`symbols`). In what comes of it

1. **Numbers** that stand alone, also within a list, a matrix or an argument, are written in lowest terms: ``0.25``,
   ``1/4``, ``\frac14`` and ``\frac{2}{8}`` are one number, and so are ``1\frac12`` and ``1.5``. ``1,000`` is a
   thousand where no other comma stands.
2. **A unit** behind the value (`units`) or a currency before it may be left out, but two that are given must agree.
3. **A short name** and an equals sign before the value may be left out, but two names that are given must agree.
4. **The word "and"** between two values is a comma.
5. **All else** must be equal: signs, exponents, bases, order and brackets.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from sinternal_verl.scoring.lowest_terms import PLAIN, lowest_terms, of_plain
from sinternal_verl.scoring.response import MAX_ANSWER
from sinternal_verl.scoring.surroundings import QUOTES, RELATIONS, without_alignment, without_quotes
from sinternal_verl.scoring.symbols import JOINS, ROW
from sinternal_verl.scoring.tex import WORD, Unreadable, read
from sinternal_verl.scoring.units import PARTS, may_be_bare, unit

MAX_NAME = 8
"""The most items of a name and its equals sign: letters, an index, primes and arguments."""

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
    if len(one) > MAX_ANSWER or len(other) > MAX_ANSWER:
        return one.strip() == other.strip()
    first, second = canonical(one), canonical(other)
    if first.whole == second.whole:
        return first.whole != ""
    return (
        first.body == second.body != ""
        and (first.unit == second.unit or not first.unit or not second.unit)
        and (first.name == second.name or not first.name or not second.name)
    )


@lru_cache(maxsize=16384)
def canonical(answer: str) -> Canonical:
    """An answer in one spelling. Never raises, whatever the string; its time is linear in the length."""
    if len(answer) > MAX_ANSWER:
        return Canonical(answer, "")
    answer = answer.strip()
    if answer.isdigit() and answer.isascii():
        number = answer.lstrip("0") or "0"
        return Canonical(number, number)
    if plain := PLAIN.fullmatch(answer):  # what the rest would make of it, sooner
        number = of_plain(plain)
        return Canonical(number, number)
    try:
        items = read(answer)
    except Unreadable:
        return Canonical("".join(answer.split()), "")
    while items and items[-1] == ROW:
        items.pop()
    if items and items[-1][-1] == ".":  # a full stop
        items[-1:] = [items[-1][:-1]] if len(items[-1]) > 1 else []
    special = not _SPECIAL.isdisjoint(items)  # most answers have none
    if special:
        if items[0] in QUOTES and items[-1] in QUOTES and len(items) > 2:
            items = without_quotes(items)
        if "&" in answer:
            items = without_alignment(items)
    if not items:
        return Canonical("", "")
    last, product = items[-1], ""
    if last in _UNITS_OF_FUNCTIONS and len(items) > 1:
        items[-1] = _UNITS_OF_FUNCTIONS[last]
    elif len(last) > 7 and last[:7] == _OF_WORDS and len(items) > 1 and (parts := _parts_of_unit(last)):
        product = lowest_terms(_join(items))
        items[-1:] = parts
    value, currency, measured, behind, name = items, "", "", "", ""
    if special:
        if not _AND.isdisjoint(items):
            _write_commas(items)
        if not _CURRENCIES.isdisjoint(items):
            value, currency = _without_currency(value)
    if value and _may_belong_to_unit(value, len(value) - 1):
        with_unit = value
        value, measured, behind = _without_unit(value)
        if measured and _is_letter(with_unit[len(value)]):  # it may as well be an expression: 5m/s
            product = lowest_terms(_join(with_unit))
        if measured in PARTS and "," in value:
            value = _without_parts(value, measured)
    if special and not RELATIONS.isdisjoint(items):
        value, name = _without_name(value)
    body = lowest_terms(_join(value))
    whole = f"{currency}{product}" if product else f"{currency}{name}{body}{behind}"
    if body[:1] == "(":
        if choice := _CHOICE.fullmatch(body):
            body = choice[1]
        elif number := _IN_A_BASE.fullmatch(body):
            body = number[1] + number[2]
    if currency and measured:
        currency = "" if currency == measured else currency + " "
    return Canonical(whole, body, currency + measured, name)


# The first letter of a word: \text{Even}, \text{even} and Even are one word, 2Rab and 2rab two products.
_CAPITAL = re.compile(r"[A-Z](?=[a-z]{2})")
_CAPITAL_OF_TEXT = re.compile(rf"{WORD}[A-Z](?=[a-z]{{2}})")
_CHOICE = re.compile(r"\(([A-J])\)")
_IN_A_BASE = re.compile(r"\(([0-9]+)\)(_\{[0-9]+\})")

# A letter, points such as AB or a word of a \text{…}; with an index, primes and arguments.
_NAME = re.compile(
    rf"(?:∠?[A-Z]{{1,4}}|[^\W\d_]|{WORD}[A-Za-z]{{1,12}})(?:_\{{[^{{}}]*\}})?'*(?:\([A-Za-z](?:,[A-Za-z])*\))?"
    r"|\([A-Za-z](?:,[A-Za-z])+\)"  # a point: (x,y)
)

_CURRENCIES = frozenset("$€£¥₹")
_SIGNS = frozenset("+-=")

_AND = frozenset(("and", WORD + "and"))
_SPECIAL = RELATIONS | _CURRENCIES | _AND | QUOTES | {"&"}

# With no argument behind them these are no functions.
_UNITS_OF_FUNCTIONS = {"\\min ": WORD + "min", "\\deg ": WORD + "deg"}


def _join(items: list[str]) -> str:
    text = "".join(items)
    if _CAPITAL.search(text):
        words = all(item[0] == WORD or (len(item) > 2 and item.isalpha()) for item in items)
        text = (_CAPITAL if words else _CAPITAL_OF_TEXT).sub(_small, text)
    return text.replace(WORD, "")


def _small(capital: re.Match[str]) -> str:
    return capital[0].lower()


def _write_commas(items: list[str]) -> None:
    """Write the last comma of a list for "and" between two values, and one for a comma and "and"."""
    depth = 0
    for number, item in enumerate(items):
        depth += (item in _OPENING) - (item in _CLOSING)
        within = item in _AND and depth == 0 and 0 < number < len(items) - 1
        if within and not _is_word(items[number - 1]) and not _is_word(items[number + 1]):
            items[number] = "" if items[number - 1] == "," else ","
    items[:] = filter(None, items)


def _without_currency(items: list[str]) -> tuple[list[str], str]:
    """The items without the sign of a currency that stands first, or behind a sign or a name's ``=``."""
    for number, item in enumerate(items[:-1]):
        if item in _CURRENCIES and (number == 0 or items[number - 1] in _SIGNS):
            return items[:number] + items[number + 1 :], item
    return items, ""


def _without_name(items: list[str]) -> tuple[list[str], str]:
    """The items without a short name and ``=`` or ``∈`` before the value, and these."""
    relation = "=" if "=" in items else "∈"
    if relation not in items:
        return items, ""
    number = items.index(relation)
    value = items[number + 1 :]
    if not value or not 0 < number < MAX_NAME or not RELATIONS.isdisjoint(value):
        return items, ""
    # B=C has no value, it is a relation of two names.
    if len(value) == 1 and value[0].isascii() and value[0].strip(WORD).isalpha():
        return items, ""
    name = "".join(items[:number])
    if (len(name) == 1 and name.isalpha()) or _NAME.fullmatch(name):
        return value, name.replace(WORD, "") + relation
    return items, ""


def _without_unit(items: list[str]) -> tuple[list[str], str, str]:
    """The items without the unit at their end, its one name, and how it is written."""
    start = len(items)
    while start > max(0, len(items) - MAX_UNIT) and _may_belong_to_unit(items, start - 1):
        start -= 1
    for number in range(max(start, 1), len(items)):
        if items[number][0] in "^/·" or _is_word(items[number - 1]):
            continue  # a unit begins with its name, and "no solutions" has no value
        if _is_letter(items[number]) and not _is_number(items[:number]):
            continue
        if name := unit(" ".join(items[number:])):
            if name in PARTS and _is_compound(items[:number]):
                return [*items[:number], name], "", ""
            # The words keep their borders: "m s" is no "ms".
            return items[:number], name, _BORDER.sub(" ", "".join(items[number:])).replace(WORD, "")
    return items, "", ""


def _without_parts(items: list[str], part: str) -> list[str]:
    """A list without the part that stands behind each member, if it does: ``30°, 60`` whose last ``°`` is gone."""
    ends = [number - 1 for number, item in enumerate(items) if item == ","]
    if all(items[end] == part for end in ends):
        return [item for number, item in enumerate(items) if number not in ends]
    return items


def _is_compound(items: list[str]) -> bool:
    """Whether the last member of a list or relation is more than one number, so that a ``°`` or ``%`` behind it
    belongs to a part of it only, as in ``1-50%`` and ``\\sin 30°``."""
    depth, compound, before = 0, False, "="
    for item in items:
        depth += (item in _OPENING) - (item in _CLOSING)
        if depth == 0:
            if item in _ENDS or item[1:] in ("and", "or"):
                compound = False
            elif item in JOINS:
                compound = compound or before not in _ENDS
            elif item[0] == WORD or (item[0] == "\\" and item[-1] == " "):
                compound = True
        before = item
    return compound


def _parts_of_unit(fraction: str) -> list[str]:
    """The items of a unit that is written as a fraction; empty where it is none."""
    parts = _UNIT_FRACTION.fullmatch(fraction)
    if not parts or not unit(f"{parts[1]} / {parts[2]}"):
        return []
    return [parts[1], "/", parts[2], *filter(None, [parts[3]])]


def _may_belong_to_unit(items: list[str], number: int) -> bool:
    item = items[number]
    first = item[0]
    if first == WORD or first in _UNIT_SYMBOLS:
        return True
    if first == "^" or not item.isalpha():
        return first == "^"
    if len(item) == 1:  # a variable, except in km/h, g/cm^3 and m/s
        if number > 1 and items[number - 1] == "/":
            return _is_quotient(items[number - 2], item)
        return number + 2 < len(items) and items[number + 1] == "/" and _is_quotient(item, items[number + 2])
    return may_be_bare(item)


def _is_quotient(above: str, below: str) -> bool:
    """Whether these are units of which one is divided by the other: one has more than a letter, or both are m/s."""
    return (above == "m" and below == "s") or any(
        len(item) > 1 and item.strip(WORD).isalpha() for item in (above, below)
    )


def _is_letter(item: str) -> bool:
    return len(item) == 1 and item.isascii() and item.isalpha()


def _is_number(items: list[str]) -> bool:
    """Whether the last value of these items holds digits and no variables."""
    for item in reversed(items):
        if item in RELATIONS:
            break
        if item[0].isalpha():
            return False
    return items[-1][-1].isdigit() or _OF_DIGITS.fullmatch(items[-1]) is not None


def _is_word(item: str) -> bool:
    return item[0] == WORD or (len(item) > 1 and item.isalpha())


_OF_DIGITS = re.compile(r"\\frac\{[0-9]+\}\{[0-9]+\}|\^\{-?[0-9]+\}")
_OF_WORDS = "\\frac{" + WORD
_UNIT_FRACTION = re.compile(rf"\\frac\{{({WORD}[A-Za-z]+)\}}\{{({WORD}[A-Za-z]+)(\^\{{[0-9]\}})?\}}")
_BORDER = re.compile(rf"(?<=[A-Za-z.]){WORD}")
_UNIT_SYMBOLS = frozenset("°%$€£¥₹¢/·")
_OPENING, _CLOSING = frozenset("([⦃⟨⟦"), frozenset(")]⦄⟩⟧")
_ENDS = RELATIONS | frozenset(",;:")
