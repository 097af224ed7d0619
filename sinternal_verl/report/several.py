"""Several runs on one page: where their configurations differ, and a table of their ends."""

import math
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import mpmath
import numpy as np

from sinternal_verl.report.run import Run
from sinternal_verl.report.setting import NOT_THERE, SEED, flatten, shown
from sinternal_verl.report.view import Difference, Summary, Tile, View
from sinternal_verl.runs.identity import FREE

CONFIDENCE = 0.95

BOUNDS = {"share": (0.0, 1.0), "seconds": (0.0, math.inf), "tokens": (0.0, math.inf)}
"""Ends beyond which no value of a unit lies."""

_SEED_IN_PATH = re.compile(r"(seed[_-]?)\d+", re.IGNORECASE)


def differences(runs: Sequence[Run]) -> tuple[Difference, ...]:
    """The keys in which the runs' configurations differ, each with a value for each run. Keys that differ in the same
    way, such as a seed and what takes its value from it, share a row."""
    flats = [flatten(run.config or {}) for run in runs]
    keys = list(dict.fromkeys(key for flat in flats for key in flat))
    alike: dict[tuple[str, ...], list[str]] = {}
    for key in keys:
        values = tuple(shown(flat[key]) if key in flat else NOT_THERE for flat in flats)
        if len(set(values)) > 1:
            alike.setdefault(values, []).append(key)
    return tuple(Difference(", ".join(sorted(found, key=len)), values) for values, found in alike.items())


def groups(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs by name of their group; those of a group differ in their seed alone.

    Names, folders, logs and machines do not count (`sinternal_verl.runs.identity.FREE`), and neither does a seed within
    a path, as in ``data/seed_1/train.parquet``. A run without a configuration is a group of its own.
    """
    by_setting: dict[Any, list[Run]] = {}
    for run in runs:
        by_setting.setdefault(_setting(run) if run.config else run.name, []).append(run)
    settings = list(by_setting)
    return {_group_name(setting, settings, found): found for setting, found in by_setting.items()}


def _setting(run: Run) -> tuple[tuple[str, str], ...]:
    flat = flatten(run.config or {})
    counted = {key: value for key, value in flat.items() if not _is_free(key)}
    return tuple(sorted((key, _SEED_IN_PATH.sub(r"\1*", shown(value))) for key, value in counted.items()))


def _is_free(key: str) -> bool:
    last = key.rpartition(".")[2]
    return last.endswith(SEED) or any(fnmatchcase(key, free) for free in FREE)


def _group_name(setting: Any, settings: Sequence[Any], runs: Sequence[Run]) -> str:
    """What sets a group apart from the others, short; the names of its runs where that is long or not known."""
    if len(settings) == 1 and len(runs) > 1:
        return "all runs"
    if isinstance(setting, tuple) and all(isinstance(each, tuple) for each in settings):
        same = set.intersection(*map(set, settings))
        apart = [f"{key.rpartition('.')[2]}={value}" for key, value in setting if (key, value) not in same]
        name = ", ".join(apart)
        if apart and len(name) <= 60:
            return name
    return ", ".join(_names(runs))


def summaries(views: Sequence[View]) -> tuple[Summary, ...]:
    """The last values of the runs' tiles, with the interval over each group of runs."""
    by_run = {view.run.name: {_row(tile): tile for tile in view.tiles} for view in views}
    rows = list(dict.fromkeys(row for tiles in by_run.values() for row in tiles))
    # A single run that its group is named by has its column already.
    grouped = {name: runs for name, runs in groups([view.run for view in views]).items() if [name] != _names(runs)}
    table = []
    for row in rows:
        found = [tiles[row] for tiles in by_run.values() if row in tiles]
        unit, direction = found[0].unit, next((tile.direction for tile in found if tile.direction), "")
        values = {name: tiles[row].value if row in tiles else None for name, tiles in by_run.items()}
        over = {name: _over([values[run.name] for run in runs], unit) for name, runs in grouped.items()}
        known = {name: estimate for name, estimate in over.items() if estimate is not None}
        table.append(Summary(row, unit, direction, values, known))
    return tuple(table)


def cautions(views: Sequence[View]) -> tuple[str, ...]:
    """What the mean and the interval of a group of runs hide, a sentence each: runs that stand at different steps, as
    where one of them is still under way, and values that not all of them have."""
    found, tiles = [], {view.run.name: {_row(tile) for tile in view.tiles if tile.value is not None} for view in views}
    for name, group in groups([view.run for view in views]).items():
        last = {run.name: int(run.steps.numbers[-1]) for run in group if len(run.steps.numbers)}
        if len(set(last.values())) > 1:
            least, most = (choose(last, key=last.__getitem__) for choose in (min, max))
            found.append(
                f"{name}: the runs stand at different steps, from {last[least]} ({least}) to {last[most]} ({most}), so "
                "that their mean and interval are not those of seeds alone."
            )
        without: dict[str, list[str]] = {}
        for row in sorted(set().union(*(tiles[run.name] for run in group))):
            if missing := ", ".join(run.name for run in group if row not in tiles[run.name]):
                without.setdefault(missing, []).append(row)
        found += [f"{name}: the mean of {', '.join(rows)} leaves out {runs}." for runs, rows in without.items()]
    return tuple(found)


def _names(runs: Sequence[Run]) -> list[str]:
    return [run.name for run in runs]


def _row(tile: Tile) -> str:
    return f"{tile.source}: {tile.label}" if tile.source else tile.label


def _over(values: Sequence[float | None], unit: str) -> tuple[float, float | None, float | None] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    mean, low, high = interval(known)
    least, most = BOUNDS.get(unit, (-math.inf, math.inf))
    return mean, None if low is None else max(low, least), None if high is None else min(high, most)


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """The mean, and the 95% interval of Student's t; without ends for a single value.

    >>> interval([1.0, 2.0, 3.0])
    (2.0, -0.484..., 4.484...)
    >>> interval([0.5])
    (0.5, None, None)
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None, None
    reach = student_t(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return mean, mean - reach, mean + reach


def student_t(freedom: int, confidence: float = CONFIDENCE) -> float:
    """The quantile of Student's t for a two-sided interval.

    P(|T| > t) is the regularized incomplete beta function of f / (f + t^2) with parameters f/2 and 1/2 (Abramowitz &
    Stegun 26.7.1), which falls with t.

    >>> round(student_t(1), 3), round(student_t(4), 3), round(student_t(30), 3)
    (12.706, 2.776, 2.042)
    """

    def outside(t: float) -> float:
        share = mpmath.betainc(freedom / 2, 0.5, 0, freedom / (freedom + t * t), regularized=True)
        return float(share) - (1 - confidence)

    high = 1.0
    while outside(high) > 0:
        high *= 2
    return float(mpmath.findroot(outside, (high / 2 if high > 1 else 0.0, high), solver="anderson"))
