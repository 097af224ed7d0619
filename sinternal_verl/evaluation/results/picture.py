"""The pictures of a table, of a comparison, and of judges: each share with its interval."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from sinternal_verl.evaluation.results.forest import Point, draw, short
from sinternal_verl.evaluation.results.pairs import Pairs, Scored
from sinternal_verl.evaluation.results.published import Published, published
from sinternal_verl.evaluation.results.statistics import Estimate, Interval
from sinternal_verl.evaluation.results.summary import Result

PAPER_MARKS = {"base": "o", "STAR-1 + GRPO": "s", "SInternal SFT": "D", "SInternal + GRPO": "^"}
"""The published rows that are drawn, and their marks; all seven would hide one another."""

BARS = "bars: intervals of 95%; dotted: if all unscored were 0 to 1"


def draw_table(figures: Sequence[Result], found: Sequence[Published | None], path: Path) -> None:
    """Draw the figures of a run, and the paper's beside them. Figures that are no shares, or have no value, are named
    without a mark."""
    points = [
        Point(
            line=f"{figure.log.set}\n{figure.name}",
            series=figure.log.model,
            bounds=_percent(figure.bounds),
            others={f"paper: {name}": known.values[name] for name in PAPER_MARKS if known and name in known.values},
            **_value(figure.estimate, figure.share, sum(figure.unscored.values())),
        )
        for figure, known in zip(figures, found, strict=True)
    ]
    marks = {f"paper: {name}": mark for name, mark in PAPER_MARKS.items()}
    beside = any(point.others for point in points)
    title = f"grey: {published()['source']}, {published()['model']}" if beside else ""
    draw(points, path, f"percent; {BARS}", limits=(0, 100), title=title, marks=marks)


def draw_differences(lines: Sequence[tuple[str, str, Pairs]], runs: Mapping[str, str], path: Path) -> None:
    """Draw how far each figure changed from the first run to another.

    Args:
        lines: what each is about, and from which run to which.
        runs: what each run is, by its letter.
    """
    points = []
    for name, change, pairs in lines:
        told = _value(pairs.difference, pairs.share, sum(pairs.unscored.values()))
        changed = f", {len(pairs.up):,} up, {len(pairs.down):,} down"
        points.append(
            Point(
                line=name,
                series=change,
                bounds=_percent(pairs.bounds),
                **told | {"note": f"{told['note']}{changed}"},
            )
        )
    far = max((abs(end) for point in points for end in _ends(point)), default=0)
    # In steps of 20 points, so that small differences can be seen.
    limit = min(100, 20 * max(1, math.ceil(far / 20)))
    axis = f"percentage points; {BARS}"
    draw(
        points,
        path,
        axis,
        limits=(-limit, limit),
        title="\n".join(f"{called}: {short(run)}" for called, run in runs.items()),
    )


def draw_judges(judged: Sequence[tuple[str, Mapping[str, Scored]]], runs: Mapping[str, str], path: Path) -> None:
    """Draw what each judge gives of the same answers.

    Args:
        judged: what each is about, and what is scored by the judge's name.
        runs: what each run is, by its letter.
    """
    points = [
        Point(
            line=line,
            series=name,
            **_value(scored.estimate(), scored.share, scored.unscored),
        )
        for line, judges in judged
        for name, scored in judges.items()
    ]
    draw(points, path, "percent; bars: intervals of 95%", limits=(0, 100), title=_titled(runs))


def _titled(runs: Mapping[str, str]) -> str:
    return "\n".join(f"{called}: {short(run)}" for called, run in runs.items())


def _value(known: Estimate, share: bool, unscored: int) -> dict:
    """A share as a point in percent."""
    nothing, no_share = math.isnan(known.value), not share
    return {
        "value": math.nan if nothing or no_share else 100 * known.value,
        "interval": _percent((known.low, known.high)),
        "instead": "nothing scored" if nothing else f"no share: {known.value:.4g}" if no_share else "",
        "note": f"n={known.items:,}" + (f", {unscored:,} unscored" if unscored else ""),
    }


def _percent(interval: Interval) -> Interval:
    return 100 * interval[0], 100 * interval[1]


def _ends(point: Point) -> list[float]:
    return [end for end in (point.value, *point.interval, *point.bounds) if not math.isnan(end)]
