"""The figures of a plan: each a value with its range, and the one line that says how it was calculated."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from sinternal_verl.plan.factors import ENDS, Factors


@dataclass(frozen=True)
class Line:
    """One number at given factors.

    Attributes:
        section, name: where it stands, and what it is called there.
        unit: its unit, as it is shown.
        formula: how it follows from other numbers, in one line.
    """

    section: str
    name: str
    value: float
    unit: str
    formula: str = ""


@dataclass(frozen=True)
class Figure:
    """A line with its range.

    Attributes:
        value: with typical factors.
        low, high: the ends between which it is expected.
        assumes: names of the factors that change it, the one that changes it most first.
    """

    section: str
    name: str
    value: float
    low: float
    high: float
    unit: str
    formula: str
    assumes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"assumes": list(self.assumes)}


def figures_of(lines_at: Callable[[Factors], list[Line]]) -> list[Figure]:
    """The lines with typical factors, and how far each factor by itself moves them.

    A factor at its slow or fast end moves a value up or down. As if the factors were independent, the squares of these
    moves, in logarithms, are added up for each direction.
    """
    read: set[str] = set()
    typical = lines_at(Factors.at("typical", read))
    ends = {name: [lines_at(Factors.at("typical").at_end(name, end)) for end in ENDS] for name in sorted(read)}
    return [
        _figure(line, {name: [at[place] for at in both] for name, both in ends.items()})
        for place, line in enumerate(typical)
    ]


def _figure(line: Line, ends: dict[str, list[Line]]) -> Figure:
    moves = {name: [_log_ratio(at.value, line.value) for at in both] for name, both in ends.items()}
    up = math.sqrt(sum(max(*both, 0.0) ** 2 for both in moves.values()))
    down = math.sqrt(sum(min(*both, 0.0) ** 2 for both in moves.values()))
    size = {name: max(map(abs, both)) for name, both in moves.items()}
    assumes = sorted((name for name, much in size.items() if much > LEAST_MOVE), key=size.__getitem__, reverse=True)
    low, high = line.value * math.exp(-down), line.value * math.exp(up)
    return Figure(line.section, line.name, line.value, low, high, line.unit, line.formula, tuple(assumes))


LEAST_MOVE = 0.02
"""A factor that moves a value by less, in logarithms, is not named with it."""


def _log_ratio(value: float, typical: float) -> float:
    return math.log(value / typical) if value > 0 and typical > 0 else 0.0


def rounded(value: float) -> str:
    """Two digits: a plan knows no more.

    >>> [rounded(value) for value in (1234, 0.0567, 31.6, 0, 2_345_678, 1.0)]
    ['1,200', '0.057', '32', '0', '2.3 million', '1.0']
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    value = float(f"{value:.2g}")
    for size, word in ((1e12, " trillion"), (1e9, " billion"), (1e6, " million")):
        if abs(value) >= size:
            return f"{value / size:.{0 if value / size >= 10 else 1}f}{word}"
    if abs(value) >= 10:
        return f"{value:,.0f}"
    return f"{value:.{max(1 - math.floor(math.log10(abs(value))), 0)}f}"


def shown(figure: Figure) -> str:
    """The value with its range; a number that no factor changes stands alone, and a whole one is not rounded.

    >>> shown(Figure("", "", 31.4, 22.2, 51, "s", "", ("disk",)))
    '31 (22 to 51)'
    >>> shown(Figure("", "", 512, 512, 512, "", "", ()))
    '512'
    """
    if not figure.assumes:
        whole = float(figure.value).is_integer() and figure.value < 1e6
        return f"{figure.value:,.0f}" if whole else rounded(figure.value)
    typical, low, high = map(rounded, (figure.value, figure.low, figure.high))
    return typical if low == high else f"{typical} ({low} to {high})"
