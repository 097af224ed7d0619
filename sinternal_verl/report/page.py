"""A page as one HTML file that needs no other: it opens offline, and nothing that a run or a model wrote can run in it.

1. What is said of a run stands in the file as plain HTML: it is read without a script, too.
2. Numbers and texts are packed blocks (`payload`), which the page's own script unpacks and draws.
3. The file's content security policy allows that one script and that one style sheet by their digests, no request at all,
   and no HTML that a script makes of text.
"""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jinja2
from markupsafe import Markup

from sinternal_verl.data.schema import write_whole
from sinternal_verl.report.drawing import StepColumns, drawings
from sinternal_verl.report.inert import visible, visible_all
from sinternal_verl.report.payload import TextBlock, pack_json, pack_rollouts, pack_texts
from sinternal_verl.report.view import Page, Summary, Tile, View
from sinternal_verl.report.words import change, figure

MAX_BYTES = 10_000_000
"""A page is no larger: it fits an e-mail, and a browser opens it at once. Texts get what the numbers leave."""

MARGIN_BYTES = 100_000
"""Of these, for what is said of the texts once they are chosen."""

WEB = Path(__file__).with_name("web")
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
    *("chart.js", "charts.js", "rollouts.js", "table.js", "reader.js", "main.js"),
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
    """

    path: Path
    bytes: int
    rollouts: int
    texts: int
    groups: int


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
    steps = [StepColumns(view) for view in page.views]
    drawn = drawings(page, steps)
    heads, blocks = [], {}
    for number, view in enumerate(page.views):
        rollouts = None
        if view.run.rollouts is not None:
            rollouts, blocks[f"rollouts-{number}"] = pack_rollouts(view.run.rollouts)
        starts = [{"step": start.step, "time": start.time} for start in view.run.starts]
        heads.append({"name": view.run.name, "steps": steps[number].steps, "starts": starts, "rollouts": rollouts})
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
    )


def _texts(view: View, limit: int) -> list[TextBlock]:
    rollouts = view.run.rollouts
    return [] if rollouts is None else list(pack_texts(rollouts.texts, rollouts.group, limit))


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
    return _template("page.html").render(
        page=page,
        runs=[
            {"view": view, "rows": list(_rows(view, drawn, sparks)), "alerts": list(_alerts(view, drawn))}
            for view in page.views
        ],
        sections=_sections(drawn),
        summaries=[_summary_row(page, summary) for summary in page.summaries],
        groups=list(dict.fromkeys(group for summary in page.summaries for group in summary.over)),
        holds=[_holds(*each) for each in zip(page.views, texts, steps, strict=True)],
        has_rollouts=any(view.run.rollouts is not None for view in page.views),
        blocks=blocks,
        style=_style(),
        script=_script(),
        policy=_policy(),
        licences=[(WEB / name).read_text(encoding="utf-8") for name in LICENCES],
    )


@cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(WEB),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.filters |= {"figure": figure, "change": change, "interval": interval}
    return environment.get_template(name)


@cache
def _style() -> Markup:
    return Markup(_joined(STYLES))


@cache
def _script() -> Markup:
    # One closure: the page's scripts see one another, and nothing else sees them.
    return Markup('(() => {\n"use strict";\n' + _joined(SCRIPTS) + "\n})();")


def _joined(names: tuple[str, ...]) -> str:
    return "\n".join((WEB / name).read_text(encoding="utf-8") for name in names)


@cache
def _policy() -> str:
    script, style = (
        "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
        for text in (_script(), _style())
    )
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _sections(drawn: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {
        name: [each for each in drawn if each["section"] == name] for name in dict.fromkeys(d["section"] for d in drawn)
    }


def _rows(view: View, drawn: list[dict[str, Any]], sparks: Iterator[int]) -> Iterator[dict[str, Any]]:
    """The tiles of each source."""
    tiles = [{"tile": tile, "spark": next(sparks), "chart": _chart(view, drawn, tile.chart)} for tile in view.tiles]
    for source in dict.fromkeys(tile.source for tile in view.tiles):
        yield {
            "source": source,
            "tiles": [tile | {"sense": _sense(tile["tile"])} for tile in tiles if tile["tile"].source == source],
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


def _holds(view: View, texts: list[TextBlock], steps: StepColumns) -> list[str]:
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
        return [*said, "So are their texts."]
    return [
        *said,
        f"The texts of {count:,} of them are here, in {groups:,} whole groups: groups with a failure first, the others drawn"
        f" at random. The texts of {all_of - count:,} are not shown.",
    ]
