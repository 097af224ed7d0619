"""The charts of one or several runs as drawings: what the page's script draws, in which colour and over which runs."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from sinternal_verl.report.metrics import VALIDATION
from sinternal_verl.report.payload import Columns
from sinternal_verl.report.run import Rollouts, Steps
from sinternal_verl.report.view import Chart, Page, View

MAX_TOGETHER = 6
"""Curves of several runs in one drawing."""

NO_SUCH = -2
"""In a filter: a name that no rollout has. `sinternal_verl.report.run.UNKNOWN` is what some have."""


MARGIN = 0.97
"""How much of what should fit is tried: the size of curves is not known before they are packed."""


def drawings_that_fit(page: Page, limit: int) -> "tuple[list[dict[str, Any]], list[StepColumns]]":
    """The drawings of a page, and the metrics that they draw: of all steps where ``limit`` bytes hold them, else of as
    many steps of each run as they hold, spread evenly (`spread_steps`)."""
    share = 1.0
    while True:
        kept = [spread_steps(view.run.steps, int(share * len(view.run.steps.numbers))) for view in page.views]
        steps = [StepColumns(view, places) for view, places in zip(page.views, kept, strict=True)]
        drawn = drawings(page, steps)
        size = sum(len(each.packed()) for each in steps)
        if size <= limit or not any(map(len, kept)):
            return drawn, steps
        share *= MARGIN * max(limit, 0) / size


def spread_steps(steps: Steps, most: int) -> np.ndarray:
    """The places of at most so many steps, spread evenly; those of a validation come before others."""
    count = len(steps.numbers)
    if most >= count:
        return np.arange(count)
    validated = np.zeros(count, dtype=bool)
    for name, values in steps.values.items():
        if name.startswith(VALIDATION):
            validated |= np.isfinite(values)
    first, others = np.flatnonzero(validated), np.flatnonzero(~validated)
    first = _spread(first, most)
    return np.sort(np.concatenate([first, _spread(others, most - len(first))]))


def _spread(places: np.ndarray, most: int) -> np.ndarray:
    return places[np.linspace(0, len(places) - 1, min(most, len(places))).astype(np.int64)]


def drawings(page: Page, steps: "list[StepColumns]") -> list[dict[str, Any]]:
    """The drawings of a page, section by section, in the order in which the charts come first.

    Charts of several runs with the same id are drawn over one another: a colour for each run, a dash for each line.
    Where these would be too many curves, each line has a drawing of its own. Stacked charts stand side by side: the
    parts of two wholes cannot be told apart in one picture.
    """
    found: dict[str, list[tuple[int, Chart]]] = {}
    for number, view in enumerate(page.views):
        for chart in view.charts:
            found.setdefault(chart.id, []).append((number, chart))
    sections = list(dict.fromkeys(of[0][1].section for of in found.values()))
    drawn = [
        drawing
        for each in sections
        for of in found.values()
        if of[0][1].section == each
        for drawing in _drawings(of, page.views, steps)
    ]
    return [drawing | {"number": number} for number, drawing in enumerate(drawn)]


class StepColumns:
    """The metrics of a run that are drawn, each packed once.

    Args:
        kept: the places of the steps that are drawn.
    """

    def __init__(self, view: View, kept: np.ndarray) -> None:
        self._values, self._kept = view.run.steps.values, kept
        self._columns = Columns()
        self._places: dict[str, list] = {}
        self.steps = self._columns.add(view.run.steps.numbers[kept])

    def __len__(self) -> int:
        return len(self._kept)

    def place(self, metric: str) -> list | None:
        """Where a metric's values are; None where the run has none."""
        if metric not in self._values:
            return None
        if metric not in self._places:
            self._places[metric] = self._columns.add(self._values[metric][self._kept])
        return self._places[metric]

    @property
    def drawn(self) -> set[str]:
        return set(self._places)

    def packed(self) -> str:
        return self._columns.packed()


def _drawings(of: list[tuple[int, Chart]], views: tuple[View, ...], steps: list[StepColumns]) -> Iterator[dict]:
    labels = list(dict.fromkeys(line.label for _, chart in of for line in chart.lines))
    if len(of) == 1:
        yield _drawing(of, labels, views, steps)
    elif of[0][1].stacked:
        for number, chart in of:
            yield _drawing([(number, chart)], labels, views, steps, views[number].run.name)
    elif len(labels) > 1 and len(labels) * len(of) > MAX_TOGETHER:
        for label in labels:
            lines = [(n, replace(chart, lines=tuple(x for x in chart.lines if x.label == label))) for n, chart in of]
            yield _drawing([each for each in lines if each[1].lines], [label], views, steps, label)
    else:
        yield _drawing(of, labels, views, steps)


def _drawing(
    of: list[tuple[int, Chart]], labels: list[str], views: tuple[View, ...], steps: list[StepColumns], part: str = ""
) -> dict[str, Any]:
    """A chart of one or several runs, or a part of it that has a name."""
    first = of[0][1]
    several = len(views) > 1 and not first.stacked
    return {
        "id": f"{first.id} {part}".strip(),
        "chart": first.id,
        "section": first.section,
        "title": f"{first.title}, {part}" if part else first.title,
        "unit": first.unit,
        "note": first.note,
        "stacked": first.stacked,
        "lines": [
            {
                "run": number,
                "label": line.label,
                "values": steps[number].place(line.metric),
                "held_out": steps[number].place(line.held_out) if line.held_out else None,
                "colour": number if several else labels.index(line.label),
                "dash": labels.index(line.label) if several else 0,
                "filter": _filter(chart.filter, line.filter, views[number].run.rollouts),
            }
            for number, chart in of
            for line in chart.lines
        ],
    }


def _filter(
    of_chart: dict[str, str] | None, of_line: dict[str, str] | None, rollouts: Rollouts | None
) -> dict[str, int] | None:
    """A line's filter with the names' numbers, `NO_SUCH` where the run has no such name."""
    if of_chart is None or rollouts is None:
        return None
    kept = of_chart | (of_line or {})
    names = {column: rollouts.names.get(column, []) for column in kept}
    return {column: names[column].index(name) if name in names[column] else NO_SUCH for column, name in kept.items()}
