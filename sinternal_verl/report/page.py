"""A page as one HTML file that needs no other: it opens offline, and nothing that a run or a model wrote can run in it.

1. What is said of a run stands in the file as plain HTML: it is read without a script, too.
2. Numbers and texts are packed blocks (`payload`), which the page's own script unpacks and draws.
3. The file's content security policy allows that one script and that one style sheet by their digests. It allows no
   request, and no HTML that a script makes of text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote

from markupsafe import Markup

from sinternal_verl.data.schema import write_whole
from sinternal_verl.report.drawing import StepColumns, drawings
from sinternal_verl.report.inert import visible_all
from sinternal_verl.report.payload import TextBlock, pack_json, pack_rollouts, pack_texts
from sinternal_verl.report.step_pages import folder_of, write_step_pages
from sinternal_verl.report.template import joined, policy, script, style, template
from sinternal_verl.report.view import Page, Summary, Tile, View
from sinternal_verl.report.words import change, figure

MAX_BYTES = 10_000_000
"""A page is no larger: it fits an e-mail, and a browser opens it at once. Texts get what the numbers leave."""

MARGIN_BYTES = 100_000
"""Of these, for what is said of the texts once they are chosen."""

MAX_OPEN = 6
"""Charts of a section that is open though nothing leads to it."""

STYLES = ("vendor/uPlot.min.css", "page.css")
SCRIPTS = (
    *(
        "vendor/uPlot.iife.min.js",
        "text.js",
        "payload.js",
        "format.js",
        "state.js",
        "theme.js",
        "marks.js",
        "series.js",
    ),
    *("chart.js", "charts.js", "rollouts.js", "columns.js", "table.js", "reader.js", "explorer.js", "main.js"),
)
LICENCES = ("vendor/uPlot.LICENSE",)

LEVELS = {"bad": "wrong", "watch": "look at this", "good": "good"}


@dataclass(frozen=True)
class Written:
    """A page that was written.

    Attributes:
        bytes: its size.
        rollouts: whose numbers it holds.
        texts: rollouts whose texts it holds, too.
        groups: their whole groups.
        files: files of texts that were written beside it.
    """

    path: Path
    bytes: int
    rollouts: int
    texts: int
    groups: int
    files: int


def write_page(
    page: Page, out: Path, *, reload_s: float | None = None, texts: Literal["sample", "all"] = "sample"
) -> Written:
    """Write a page; the file is the old one or the new one at any time.

    Args:
        reload_s: seconds after which the page loads itself again; None for a page that stays as it is.
        texts: ``all`` writes those of all rollouts to files in a folder beside the page, which links to them.

    Raises:
        OSError: it cannot be written; the message names the file.
    """
    beside = [write_step_pages(view.run, n, out) for n, view in enumerate(page.views)] if texts == "all" else []
    steps = [StepColumns(view) for view in page.views]
    drawn = drawings(page, steps)
    heads, blocks = [], {}
    for number, view in enumerate(page.views):
        rollouts = None
        if view.run.rollouts is not None:
            rollouts, blocks[f"rollouts-{number}"] = pack_rollouts(view.run.rollouts)
        starts = [{"step": start.step, "time": start.time} for start in view.run.starts]
        folder = folder_of(out, number)
        heads.append(
            {
                "name": view.run.name,
                "steps": steps[number].steps,
                "starts": starts,
                "rollouts": rollouts,
                "textFolder": quote(f"{folder.parent.name}/{folder.name}") if texts == "all" else None,
            }
        )
        blocks[f"steps-{number}"] = steps[number].packed()
    sparks = [_spark(tile) for view in page.views for tile in view.tiles]
    head = {"runs": heads, "drawings": drawn, "sparks": sparks, "reloadSeconds": reload_s}

    bare = _render(page, drawn, steps, head, blocks, [[] for _ in page.views])
    left = max(MAX_BYTES - MARGIN_BYTES - len(bare.encode()), 0) // max(len(page.views), 1)
    chosen = [_texts(view, left) for view in page.views]
    whole = _render(page, drawn, steps, head, blocks, chosen).encode()
    write_whole(out, whole)
    return Written(
        path=out,
        bytes=len(whole),
        rollouts=sum(len(view.run.rollouts) for view in page.views if view.run.rollouts is not None),
        texts=sum(len(block.rollouts) for each in chosen for block in each),
        groups=sum(block.groups for each in chosen for block in each),
        files=sum(beside),
    )


def _texts(view: View, limit: int) -> list[TextBlock]:
    rollouts = view.run.rollouts
    return [] if rollouts is None else list(pack_texts(rollouts, limit))


def _render(
    page: Page,
    drawn: list[dict[str, Any]],
    steps: list[StepColumns],
    head: dict[str, Any],
    numbers: dict[str, str],
    texts: list[list[TextBlock]],
) -> str:
    held = [{"texts": [block.rollouts for block in each]} for each in texts]
    runs = [run | with_texts for run, with_texts in zip(head["runs"], held, strict=True)]
    blocks = {"head": pack_json(visible_all(head | {"runs": runs}))} | numbers
    blocks |= {f"texts-{run}-{n}": block.packed for run, each in enumerate(texts) for n, block in enumerate(each)}
    sparks = iter(range(len(head["sparks"])))
    folders = [run["textFolder"] for run in head["runs"]]
    return template("page.html").render(
        page=page,
        runs=[
            {"view": view, "rows": list(_rows(view, drawn, sparks)), "alerts": list(_alerts(view, drawn))}
            for view in page.views
        ],
        sections=_sections(page, drawn),
        summaries=[_summary_row(page, summary) for summary in page.summaries],
        groups=list(dict.fromkeys(group for summary in page.summaries for group in summary.over)),
        holds=[_holds(*each) for each in zip(page.views, texts, steps, folders, strict=True)],
        has_rollouts=any(view.run.rollouts is not None for view in page.views),
        blocks={name: Markup(content) for name, content in blocks.items()},
        figure=figure,
        change=change,
        interval=interval,
        moment=moment,
        style=style(STYLES),
        script=script(SCRIPTS),
        policy=policy(scripts=SCRIPTS, styles=STYLES),
        licences=joined(LICENCES),
    )


def _sections(page: Page, drawn: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The headings of the curves. One with many charts, none of which a tile or an alert leads to, is folded."""
    led = {chart for view in page.views for chart in (each.chart for each in (*view.tiles, *view.alerts))}
    sections: dict[str, list[dict[str, Any]]] = {}
    for drawing in drawn:
        sections.setdefault(drawing["section"], []).append(drawing)
    return [
        {"name": name, "drawings": each, "open": len(each) <= MAX_OPEN or any(one["id"] in led for one in each)}
        for name, each in sections.items()
    ]


def _rows(view: View, drawn: list[dict[str, Any]], sparks: Iterator[int]) -> Iterator[dict[str, Any]]:
    """The tiles of each source."""
    tiles = [{"tile": tile, "spark": next(sparks), "chart": _chart(view, drawn, tile.chart)} for tile in view.tiles]
    for source in dict.fromkeys(tile.source for tile in view.tiles):
        yield {
            "source": source,
            "tiles": [
                tile | {"sense": _sense(tile["tile"]), "seen": _seen(tile["tile"])}
                for tile in tiles
                if tile["tile"].source == source
            ],
        }


def _sense(tile: Tile) -> str:
    """Whether a trend is for the better or for the worse."""
    if tile.trend is None or not tile.direction or not _seen(tile):
        return ""
    return "better" if (tile.trend > 0) == (tile.direction == "higher") else "worse"


def _seen(tile: Tile) -> bool:
    """Whether a trend is more than its own rounding."""
    return any(digit in change(tile.trend, tile.unit) for digit in "123456789")


def _spark(tile: Tile) -> list[float | None]:
    return [value if value == value and abs(value) != float("inf") else None for value in map(float, tile.spark)]


def _alerts(view: View, drawn: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for level in LEVELS:
        for alert in view.alerts:
            if alert.level == level:
                yield {"alert": alert, "level": LEVELS[level], "chart": _chart(view, drawn, alert.chart)}


def _chart(view: View, drawn: list[dict[str, Any]], chart: str) -> int | None:
    ids = (chart, f"{chart} {view.run.name}")
    return next((drawing["number"] for drawing in drawn if drawing["id"] in ids), None)


def _summary_row(page: Page, summary: Summary) -> dict[str, Any]:
    values = [summary.values.get(view.run.name) for view in page.views]
    known = [value for value in values if value is not None]
    best = {"higher": max, "lower": min}.get(summary.direction)
    return {
        "summary": summary,
        "values": [figure(value, summary.unit) for value in values],
        # The best of one run, or of runs that agree, says nothing.
        "best": values.index(best(known)) if best and len(set(known)) > 1 else None,
    }


def interval(over: tuple[float, float | None, float | None] | None, unit: str) -> str:
    """A mean with its interval.

    >>> interval((0.5, 0.4, 0.6), "share"), interval((0.5, None, None), "reward"), interval(None, "")
    ('50.0% (40.0% to 60.0%)', '0.5', '-')
    """
    if over is None:
        return figure(None, unit)
    mean, low, high = over
    return figure(mean, unit) + (f" ({figure(low, unit)} to {figure(high, unit)})" if low is not None else "")


def _holds(view: View, texts: list[TextBlock], steps: StepColumns, folder: str | None) -> list[str]:
    """What the page holds of a run and what it leaves out."""
    run = view.run
    rest = len(run.steps.values) - len(steps.drawn)
    said = [f"{len(steps.drawn)} of the {len(run.steps.values)} metrics of {len(run.steps.numbers)} steps are drawn."]
    said += [f"The other {rest} stand in the run's metrics file."] if rest else []
    if run.rollouts is None:
        return [*said, "The run left no rollouts."]
    held_out, all_of = int(run.rollouts.held_out.sum()), len(run.rollouts)
    said += [
        f"The numbers of all {all_of:,} rollouts are here: {all_of - held_out:,} of training, {held_out:,} held out."
    ]
    count, groups = sum(len(block.rollouts) for block in texts), sum(block.groups for block in texts)
    if count == all_of:
        said += ["So are their texts."]
    else:
        said += [f"The texts of {count:,} of them are here, in {groups:,} whole groups."]
        said += ["Groups with a failure come first; the others are drawn by a seed."]
    if folder:
        return [*said, f"All texts stand in files in {unquote(folder)}."]
    return said if count == all_of else [*said, f"The other {all_of - count:,} texts are not here."]


def moment(time: str) -> str:
    """
    >>> moment("2026-11-26T20:07:05+00:00"), moment("soon")
    ('2026-11-26 20:07 UTC', 'soon')
    """
    try:
        return (
            datetime.fromisoformat(time.replace("Z", "+00:00")).astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        )
    except ValueError:
        return time
