"""The short of a page as text: how each run stands, what went wrong, and several runs side by side."""

from collections.abc import Iterator

import numpy as np

from sinternal_verl.report.facts import Facts
from sinternal_verl.report.view import Page, Tile, View
from sinternal_verl.report.words import change, duration, figure

MAX_SKIPPED = 3
"""How many of the lines and files that were left out the text names."""


def as_text(page: Page) -> str:
    """The text, without its last line end. What a run wrote is shown without control characters."""
    blocks = ["\n".join(_of_run(view, tiles=not page.summaries)) for view in page.views]
    if page.summaries:
        blocks.append("\n".join(_of_several(page)))
    return "\n\n".join(blocks)


def printable(text: str) -> str:
    """A terminal obeys some characters that are no text.

    >>> printable("a\\x1b[2Jb")
    'a?[2Jb'
    """
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _of_run(view: View, tiles: bool) -> Iterator[str]:
    yield printable(f"{view.run.name}: {', '.join(_state(view))}")
    sources: dict[str, list[Tile]] = {}
    for tile in view.tiles if tiles else ():
        sources.setdefault(tile.source, []).append(tile)
    for source, found in sources.items():
        figures = ", ".join(f"{tile.label} {_cell(tile)}" for tile in found)
        yield printable(f"  {source or 'all rows'}: {figures}")
    for alert in view.alerts:
        since = "" if alert.step is None else f" (from step {alert.step})"
        yield printable(f"  {alert.level}: {alert.text}{since}" + ("" if alert.level == "good" else f" [{alert.name}]"))
    for lack in view.run.lacks:
        yield printable(f"  not there: {lack}")
    for what in view.run.skipped[:MAX_SKIPPED]:
        yield printable(f"  left out: {what}")
    if (more := len(view.run.skipped) - MAX_SKIPPED) > 0:
        yield f"  left out: {more} more, which the page names"


def _state(view: View) -> Iterator[str]:
    run, seconds = view.run, Facts(view.run).seconds
    yield {"grpo": "GRPO", "sft": "SFT"}.get(run.kind, run.kind)
    last = int(run.steps.numbers[-1]) if len(run.steps.numbers) else 0
    goal = run.record.get("last_step")
    yield f"step {last}{f' of {goal}' if isinstance(goal, int) else ''}"
    if run.finished:
        yield "finished"
    elif isinstance(goal, int) and len(seconds):
        yield f"about {duration((goal - last) * float(np.median(seconds.values)))} to go"
    resumes = sum(start.resumed for start in run.starts)
    if resumes:
        yield f"resumed {resumes} time{'s' if resumes > 1 else ''}"


def _cell(tile: Tile) -> str:
    moved = change(tile.trend, tile.unit)
    return figure(tile.value, tile.unit) + (f" ({moved})" if moved else "")


def _of_several(page: Page) -> Iterator[str]:
    names = [view.run.name for view in page.views]
    groups = list(dict.fromkeys(name for summary in page.summaries for name in summary.over))
    rows = [["", *names, *groups]]
    for summary in page.summaries:
        values = [figure(summary.values.get(name), summary.unit) for name in names]
        over = [_interval(summary.over.get(group), summary.unit) for group in groups]
        rows.append([summary.label, *values, *over])
    widths = [max(len(printable(row[place])) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(f"{printable(cell):<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
    if groups:
        yield "mean and 95% interval (Student's t) over the runs that differ in their seed alone"
    yield from map(printable, page.cautions)


def _interval(over: tuple[float, float | None, float | None] | None, unit: str) -> str:
    if over is None:
        return "-"
    mean, low, high = over
    if low is None or high is None:
        return figure(mean, unit)
    return f"{figure(mean, unit)} [{figure(low, unit)}, {figure(high, unit)}]"
