"""A picture of values with their intervals, line by line, as a PNG."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sinternal_verl.data.schema import write_whole
from sinternal_verl.evaluation.results.statistics import UNKNOWN, Interval

MAX_NAME = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One value.

    Attributes:
        line: what it is about; the points of one line stand together.
        series: what has a colour of its own, and a line in the legend.
        value: in the units of the axis; NaN where there is none, and then ``instead`` is written.
        interval, bounds: a bar, and a dotted line; NaN for none.
        note: what stands at the right.
        instead: what is written in place of a mark.
        others: values beside it, by the name of their mark.
    """

    line: str
    series: str
    value: float
    interval: Interval = UNKNOWN
    bounds: Interval = UNKNOWN
    note: str = ""
    instead: str = ""
    others: Mapping[str, float] = field(default_factory=dict)


def draw(
    points: Sequence[Point],
    path: Path,
    axis: str,
    *,
    limits: Interval,
    title: str = "",
    marks: Mapping[str, str] | None = None,
) -> None:
    """Draw the points.

    Args:
        axis: what stands below the axis.
        limits: its ends.
        marks: by the names of ``Point.others``: how matplotlib calls the mark. It is explained where it occurs.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    marks, (low, high) = marks or {}, limits
    lines = list(dict.fromkeys(point.line for point in points))
    series = list(dict.fromkeys(point.series for point in points))
    height = 1.6 + 0.28 * max(len(points), len(lines)) + 0.2 * len(lines) + 0.2 * len(series)
    canvas, axes = plt.subplots(figsize=(9, height), layout="constrained")
    for place, line in enumerate(lines):
        here = [point for point in points if point.line == line]
        for number, point in enumerate(here):
            y = place + (number - (len(here) - 1) / 2) * 0.7 / len(here)
            _mark(axes, point, y, max(low, min(0, high)), f"C{series.index(point.series)}")
            for name, value in point.others.items():
                below = y + 0.25 / len(here)
                axes.plot(value, below, marks[name], color="grey", fillstyle="none", markersize=5)
    margin = 0.03 * (high - low)
    axes.set_yticks(range(len(lines)), lines)
    axes.set(xlim=(low - margin, high + margin), ylim=(len(lines) - 0.5, -0.5), xlabel=axis)
    axes.grid(axis="x", alpha=0.3)
    if low < 0 < high:
        axes.axvline(0, color="grey", linewidth=1, zorder=1)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    entries = [Line2D([], [], marker="o", color=f"C{place}", label=short(name)) for place, name in enumerate(series)]
    entries += [
        Line2D([], [], linestyle="", marker=mark, color="grey", fillstyle="none", label=name)
        for name, mark in marks.items()
        if any(name in point.others for point in points)
    ]
    canvas.legend(handles=entries, loc="outside lower center", ncols=1 if len(entries) < 3 else 2, frameon=False)
    if title:
        axes.set_title(title, fontsize=9, loc="left")
    # The file holds no date and no version, so the same logs give the same picture.
    content = io.BytesIO()
    canvas.savefig(content, dpi=130, format="png", metadata={"Software": None})
    plt.close(canvas)
    write_whole(path, content.getvalue())


def _mark(axes, point: Point, y: float, start: float, colour: str) -> None:
    axes.annotate(point.note, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=8, color="grey")
    if math.isnan(point.value):
        axes.annotate(point.instead, (start, y), color=colour, va="center", fontsize=9)
        return
    if not math.isnan(point.interval[0]):
        axes.plot(point.interval, [y, y], color=colour, linewidth=2.5, alpha=0.5, zorder=2)
    if not math.isnan(point.bounds[0]):
        axes.plot(point.bounds, [y, y], linestyle=":", color=colour, linewidth=1.2, zorder=2)
    axes.plot(point.value, y, "o", color=colour, markersize=7, zorder=3)


def short(name: str) -> str:
    """The name, or its end."""
    return name if len(name) <= MAX_NAME else "…" + name[1 - MAX_NAME :]
