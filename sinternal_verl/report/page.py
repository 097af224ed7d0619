"""A page as one HTML file that needs no other: it opens offline, and nothing that a run or a model wrote can run in it.

1. What is said of a run stands in the file as plain HTML: it is read without a script, too.
2. Numbers and texts are packed blocks (`payload`), which the page's own script unpacks and draws.
3. The file's content security policy allows that one script and that one style sheet by their digests. It allows no
   request, and no HTML that a script makes of text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote

from markupsafe import Markup

from sinternal_verl.data.schema import write_whole
from sinternal_verl.report.drawing import StepColumns, drawings_that_fit
from sinternal_verl.report.inert import visible_all
from sinternal_verl.report.numbers import Numbers, numbers_that_fit
from sinternal_verl.report.payload import TextBlock, pack_json, pack_texts
from sinternal_verl.report.run import Rollouts
from sinternal_verl.report.step_pages import folder_of, write_step_pages
from sinternal_verl.report.template import joined, policy, script, style, template
from sinternal_verl.report.view import Page, Summary, Tile, View
from sinternal_verl.report.words import NO_CHANGE, change, figure, moment

MAX_BYTES = 10_000_000
"""A page is no larger: it fits an e-mail, and a browser opens it at once. Texts get what the rest leaves."""

MARGIN_BYTES = 100_000
"""Of these, for what is said of the texts once they are chosen."""

CURVES_SHARE = 0.4
"""The most of a page's bytes that the curves take: some 5,000 steps of 150 metrics."""

NUMBERS_SHARE = 0.8
"""The most of what curves leave that the numbers of rollouts take; the rest is for texts."""

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
        of: rollouts that the runs have.
        texts: rollouts whose texts it holds, too.
        groups: their whole groups.
        files: files of texts that were written beside it.
    """

    path: Path
    bytes: int
    rollouts: int
    of: int
    texts: int
    groups: int
    files: int


def write_page(
    page: Page,
    out: Path,
    *,
    reload_s: float | None = None,
    texts: Literal["sample", "all"] = "sample",
    max_bytes: int = MAX_BYTES,
) -> Written:
    """Write a page; the file is the old one or the new one at any time.

    Args:
        reload_s: seconds after which the page loads itself again; None for a page that stays as it is.
        texts: ``all`` writes those of all rollouts to files in a folder beside the page, which links to them.
        max_bytes: of the page, whatever number of rollouts the runs have.

    Raises:
        OSError: it cannot be written; the message names the file.
    """
    beside = [write_step_pages(view.run, n, out) for n, view in enumerate(page.views)] if texts == "all" else []
    drawn, steps = drawings_that_fit(page, int(max_bytes * CURVES_SHARE))
    heads, blocks = [], {}
    for number, view in enumerate(page.views):
        starts = [{"step": start.step, "time": start.time} for start in view.run.starts]
        folder = folder_of(out, number)
        heads.append(
            {
                "name": view.run.name,
                "steps": steps[number].steps,
                "starts": starts,
                "rollouts": None,
                "textFolder": quote(f"{folder.parent.name}/{folder.name}") if texts == "all" else None,
            }
        )
        blocks[f"steps-{number}"] = steps[number].packed()
    sparks = [_spark(tile) for view in page.views for tile in view.tiles]
    head = {"runs": heads, "drawings": drawn, "sparks": sparks, "reloadSeconds": reload_s}

    bare = _render(page, drawn, steps, head, blocks, [_Held() for _ in page.views])
    left = max(max_bytes - MARGIN_BYTES - len(bare.encode()), 0) // max(len(page.views), 1)
    held = [_hold(view.run.rollouts, left) for view in page.views]
    whole = _render(page, drawn, steps, head, blocks, held).encode()
    write_whole(out, whole)
    return Written(
        path=out,
        bytes=len(whole),
        rollouts=sum(len(each.numbers.rollouts) for each in held if each.numbers),
        of=sum(len(view.run.rollouts) for view in page.views if view.run.rollouts is not None),
        texts=sum(len(block.rollouts) for each in held for block in each.texts),
        groups=sum(block.groups for each in held for block in each.texts),
        files=sum(beside),
    )


@dataclass(frozen=True)
class _Held:
    """What a page holds of a run's rollouts; nothing of a run that left none."""

    numbers: Numbers | None = None
    texts: tuple[TextBlock, ...] = ()


def _hold(rollouts: Rollouts | None, limit: int) -> _Held:
    """Numbers and texts that ``limit`` bytes hold."""
    if rollouts is None:
        return _Held()
    numbers = numbers_that_fit(rollouts, int(limit * NUMBERS_SHARE))
    return _Held(numbers, tuple(pack_texts(numbers.rollouts, limit - numbers.bytes)))


def _render(
    page: Page,
    drawn: list[dict[str, Any]],
    steps: list[StepColumns],
    head: dict[str, Any],
    packed: dict[str, str],
    held: list[_Held],
) -> str:
    runs = [
        run | {"rollouts": each.numbers and each.numbers.head, "texts": [block.rollouts for block in each.texts]}
        for run, each in zip(head["runs"], held, strict=True)
    ]
    blocks = {"head": pack_json(visible_all(head | {"runs": runs}))} | packed
    blocks |= {f"rollouts-{run}": each.numbers.packed for run, each in enumerate(held) if each.numbers}
    blocks |= {f"texts-{run}-{n}": block.packed for run, each in enumerate(held) for n, block in enumerate(each.texts)}
    sparks = iter(range(len(head["sparks"])))
    folders = [run["textFolder"] for run in head["runs"]]
    return template("page.html").render(
        page=page,
        runs=[
            {"view": view, "rows": list(_rows(n, view, drawn, sparks)), "alerts": list(_alerts(n, view, drawn))}
            for n, view in enumerate(page.views)
        ],
        sections=_sections(page, drawn),
        summaries=[_summary_row(page, summary) for summary in page.summaries],
        groups=list(dict.fromkeys(group for summary in page.summaries for group in summary.over)),
        holds=[_holds(*each) for each in zip(page.views, held, steps, folders, strict=True)],
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
        {"name": name, "drawings": each, "open": len(each) <= MAX_OPEN or any(one["chart"] in led for one in each)}
        for name, each in sections.items()
    ]


def _rows(number: int, view: View, drawn: list[dict[str, Any]], sparks: Iterator[int]) -> Iterator[dict[str, Any]]:
    """The tiles of each source."""
    tiles = [{"tile": tile, "spark": next(sparks), "chart": _chart(number, drawn, tile.chart)} for tile in view.tiles]
    for source in dict.fromkeys(tile.source for tile in view.tiles):
        yield {
            "source": source,
            "tiles": [tile | {"sense": _sense(tile["tile"])} for tile in tiles if tile["tile"].source == source],
        }


def _sense(tile: Tile) -> str:
    """Whether a trend is for the better or for the worse."""
    if tile.trend is None or not tile.direction or change(tile.trend, tile.unit) == NO_CHANGE:
        return ""
    return "better" if (tile.trend > 0) == (tile.direction == "higher") else "worse"


def _spark(tile: Tile) -> list[float | None]:
    return [value if value == value and abs(value) != float("inf") else None for value in map(float, tile.spark)]


def _alerts(number: int, view: View, drawn: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for level in LEVELS:
        for alert in view.alerts:
            if alert.level == level:
                yield {"alert": alert, "level": LEVELS[level], "chart": _chart(number, drawn, alert.chart)}


def _chart(number: int, drawn: list[dict[str, Any]], chart: str) -> int | None:
    """The first drawing of a run's chart."""
    of_chart = (each for each in drawn if each["chart"] == chart)
    return next((each["number"] for each in of_chart if any(line["run"] == number for line in each["lines"])), None)


def _summary_row(page: Page, summary: Summary) -> dict[str, Any]:
    values = [summary.values.get(view.run.name) for view in page.views]
    words = [figure(value, summary.unit) for value in values]
    known = [value for value in values if value is not None]
    pick = {"higher": max, "lower": min}.get(summary.direction)
    best = values.index(pick(known)) if pick and known else None
    # The best of one run, or of runs that read the same, says nothing.
    unique = best is not None and len(known) > 1 and words.count(words[best]) == 1
    return {"summary": summary, "values": words, "best": best if unique else None}


def interval(over: tuple[float, float | None, float | None] | None, unit: str) -> str:
    """A mean with its interval.

    >>> interval((0.5, 0.4, 0.6), "share"), interval((0.5, None, None), "reward"), interval(None, "")
    ('50.0% (40.0% to 60.0%)', '0.5', '-')
    """
    if over is None:
        return figure(None, unit)
    mean, low, high = over
    return figure(mean, unit) + (f" ({figure(low, unit)} to {figure(high, unit)})" if low is not None else "")


def _holds(view: View, held: _Held, steps: StepColumns, folder: str | None) -> list[str]:
    """What the page holds of a run and what it leaves out."""
    run = view.run
    rest = len(run.steps.values) - len(steps.drawn)
    said = [f"{len(steps.drawn)} of the {len(run.steps.values)} metrics of {len(run.steps.numbers)} steps are drawn."]
    if len(steps) < len(run.steps.numbers):
        said += [
            f"All steps would make the page too large: {len(steps):,} are drawn, validations first, spread evenly."
        ]
        said += ["What is said at the top is of all steps."]
    said += [f"The other {rest} stand in the run's metrics file."] if rest else []
    if run.rollouts is None or held.numbers is None:
        return [*said, "The run left no rollouts."]
    here, all_of = held.numbers.rollouts, len(run.rollouts)
    held_out = int(here.held_out.sum())
    which = f"all {all_of:,}" if len(here) == all_of else f"{len(here):,} of the {all_of:,}"
    said += [f"The numbers of {which} rollouts are here: {len(here) - held_out:,} of training, {held_out:,} held out."]
    if len(here) < all_of:
        said += ["All would make the page too large, so these are whole groups, spread over steps and sources."]
        failed, all_failed = held.numbers.failed_groups, held.numbers.all_failed_groups
        said += [f"{failed:,} of the {all_failed:,} groups with a failure are here; the others are drawn by a seed."]
    count, groups = sum(len(block.rollouts) for block in held.texts), sum(block.groups for block in held.texts)
    if count == all_of:
        said += ["So are their texts."]
    else:
        said += [f"The texts of {count:,} of them are here, in {groups:,} whole groups."]
        said += ["Groups with a failure come first; the others are drawn by a seed."]
    if folder:
        return [*said, f"All texts stand in files in {unquote(folder)}."]
    return said if count == all_of else [*said, f"The other {all_of - count:,} texts are not here."]
