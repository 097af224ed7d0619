"""Which metric stands on which chart. Every metric of a run stands on one, except for verl's that never change.

A chart's id depends on nothing but what it shows, so that the charts of several runs lie over one another.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from hashlib import blake2b

import numpy as np

from sinternal_verl.report.derived import phases_of
from sinternal_verl.report.facts import HELD_OUT, TRAIN, Facts, metric
from sinternal_verl.report.known_metrics import GRPO, OF_A_SOURCE, OF_GROUPS, SFT, VERLS_OTHER
from sinternal_verl.report.view import Chart, Line
from sinternal_verl.scoring.score import UNSCORED

MAX_LINES = 12
"""Lines on a chart; more cannot be told apart, and stand on a second one."""

OWN, VALIDATION, OTHERS, VERLS = "Scorers' own numbers", "Validation", "Other metrics", "More of verl's metrics"

SECTIONS = (
    *("Reward", "Loss", "Safety", "Length", "Failures", "Groups", "Policy", "Time", "Guard"),
    *(OWN, OTHERS, "Memory", VALIDATION, VERLS),
)
"""Headings, in the order of the page."""

ALL_ROWS = {
    "reward/mean": ("critic/score/mean", "val-core/score/mean"),
    "response_length/mean": ("response_length/mean",),
    "truncated": ("report/truncated",),
}
"""A source's figure -> the same of all rows, in training and where it is there in validations."""

_AGGREGATE = re.compile(r"(/(best|worst|maj|mean|std)@\d+)?(/(mean|max|min|std|sum|median|p\d+))?$")
"""Ends of the names that are the same figure, such as verl's ``reward/best@4/mean``."""


def make_charts(facts: Facts) -> tuple[Chart, ...]:
    """The charts of a run, in the order of the page."""
    charts = [*_sources_together(facts), *_groups(facts), *_each_source(facts), *_failures(facts), *_whole_run(facts)]
    charts += [*_phases(facts), *_guard_outcomes(facts), *_verls_validation(facts)]
    charts += _own_numbers(facts, _drawn(charts))
    charts += _others(facts, _drawn(charts))
    charts = [part for chart in charts for part in _cut(chart)]
    return tuple(sorted(charts, key=lambda chart: SECTIONS.index(chart.section)))


def chart_id(kind: str, name: str = "") -> str:
    """The id of a chart of a kind, of a source or metric where it is one's own: lower letters, digits and hyphens.

    >>> chart_id("entropy"), chart_id("reward", "a/b") == chart_id("reward", "a b")
    ('entropy', False)
    """
    if not name:
        return _slug(kind)
    # Two names may differ in nothing but a sign.
    digest = blake2b(name.encode(errors="surrogatepass"), digest_size=3).hexdigest()
    return f"{_slug(kind)}-{_slug(name)}-{digest}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "x"


def _line(facts: Facts, label: str, source: str, name: str) -> Line | None:
    """A source's figure: a curve of training, points of validations, or both."""
    ours = name.removeprefix("report/")
    begin = "report/" if ours != name else ""
    there = [f"{begin}{metric(prefix, source, ours)}" for prefix in (TRAIN, HELD_OUT)]
    there = [each if facts.has(each) else "" for each in there]
    if name == "reward/mean" and not there[1]:
        there[1] = facts.verls_validation(source) or ""
    return Line(label, *there, {"source": source}) if any(there) else None


def _lines(facts: Facts, lines: Iterable[tuple[str, ...]]) -> tuple[Line, ...]:
    """Lines of label, metric and metric of validations, of those metrics that are there."""
    return tuple(
        Line(label, name, next((each for each in held_out if facts.has(each)), ""))
        for label, name, *held_out in lines
        if facts.has(name)
    )


def _below(facts: Facts, prefix: str) -> list[str]:
    """The metrics that begin with a prefix."""
    return sorted(name for name in facts.values if name.startswith(prefix) and facts.has(name))


def _sources_together(facts: Facts) -> Iterator[Chart]:
    for known in OF_A_SOURCE:
        lines = [line for source in facts.sources if (line := _line(facts, source, source, known.name))]
        lines = [*_lines(facts, [("all rows", *ALL_ROWS.get(known.name, ("",)))]), *lines]
        yield Chart(chart_id(known.kind), known.section, known.title, known.unit, tuple(lines), {}, note=known.note)


def _groups(facts: Facts) -> Iterator[Chart]:
    for known in OF_GROUPS:
        prefix = f"report/{known.kind}/"
        sources = [(name, name.removeprefix(prefix)) for name in _below(facts, prefix)]
        lines = tuple(Line(source, name, filter={"source": source}) for name, source in sources)
        yield Chart(chart_id(known.kind), known.section, known.title, known.unit, lines, {}, note=known.note)


def _each_source(facts: Facts) -> Iterator[Chart]:
    for source in facts.sources:
        for kind, section, title, unit, figures in (
            ("reward", "Reward", "Reward", "reward", {"reward": "reward/mean", "accuracy": "accuracy"}),
            (
                *("verdicts", "Safety", "Verdicts", "share"),
                {"unsafe (attack success)": "asr", "refused": "refused", "safe and no refusal": "compliance"},
            ),
        ):
            lines = [line for label, name in figures.items() if (line := _line(facts, label, source, name))]
            title = f"{title} of {source}"
            yield Chart(chart_id(kind, source), section, title, unit, tuple(lines), {"source": source})
        prefix = metric(TRAIN, source, "outcome/")
        outcomes = [(name, name.removeprefix(prefix)) for name in _below(facts, prefix)]
        lines = tuple(Line(outcome, name, filter={"outcome": outcome}) for name, outcome in outcomes)
        title = f"Outcomes of {source}"
        yield Chart(chart_id("outcomes", source), "Reward", title, "responses", lines, {"source": source}, stacked=True)

        prefix = metric(HELD_OUT, source, "outcome/")
        lines = tuple(Line(name.removeprefix(prefix), "", name) for name in _below(facts, prefix))
        title = f"Outcomes of validations of {source}"
        yield Chart(chart_id("held_out_outcomes", source), VALIDATION, title, "responses", lines, {"source": source})


def _failures(facts: Facts) -> Iterator[Chart]:
    """A chart for each outcome that is no verdict, where there was one."""
    for name in sorted(outcome.name.lower() for outcome in UNSCORED):
        lines = [line for source in facts.sources if (line := _line(facts, source, source, f"outcome/{name}"))]
        lines = [line for line in lines if _sum(facts, line.metric) + _sum(facts, line.held_out) > 0]
        title = f"Without a score: {name}"
        yield Chart(chart_id("failure", name), "Failures", title, "responses", tuple(lines), {"outcome": name})


def _sum(facts: Facts, name: str) -> float:
    return float(np.nansum(facts.values[name])) if name else 0.0


def _whole_run(facts: Facts) -> Iterator[Chart]:
    for known in SFT if facts.run.kind == "sft" else GRPO:
        lines = _lines(facts, known.lines)
        yield Chart(chart_id(known.kind), known.section, known.title, known.unit, lines, note=known.note)


def _phases(facts: Facts) -> Iterator[Chart]:
    names = [*phases_of(facts.values), *(name for name in ("report/seconds/other",) if facts.has(name))]
    # Colours of more phases cannot be told apart; the shortest come last.
    lines = tuple(Line(name.rpartition("/")[2].replace("_", " "), name) for name in names[:MAX_LINES])
    note = "verl's names of the phases. Validation (testing) comes after the step in verl's sync trainer."
    yield Chart(chart_id("phases"), "Time", "Step by phase", "seconds", lines, stacked=True, note=note)
    whole = _lines(facts, [("step", "timing_s/step"), ("step", "perf/time_per_step")])[:1]
    yield Chart(chart_id("step_seconds"), "Time", "Time of a step", "seconds", whole)


def _guard_outcomes(facts: Facts) -> Iterator[Chart]:
    prefix = "guard/outcome/"
    lines = tuple(Line(name.removeprefix(prefix), name) for name in _below(facts, prefix))
    yield Chart(chart_id("guard_outcomes"), "Guard", "Outcomes at the guard", "samples", lines, stacked=True)


def _own_numbers(facts: Facts, drawn: set[str]) -> list[Chart]:
    """Numbers that a scorer returned besides, a chart for each name."""
    lines: dict[str, list[Line]] = {}
    for name in sorted(set(facts.values) - drawn):
        source = facts.source_of(name)
        if source is None:
            continue
        suffix = name.partition(f"/{source}/")[2]
        line = _line(facts, source, source, suffix)
        if line and line not in lines.setdefault(suffix, []):
            lines[suffix].append(line)
    return [
        Chart(chart_id("own", suffix), OWN, suffix.removesuffix("/mean"), "", tuple(found), {})
        for suffix, found in lines.items()
        if not suffix.startswith("outcome/")
    ]


def _verls_validation(facts: Facts) -> Iterator[Chart]:
    """verl's mean@N and best@N of each source."""
    for source in facts.sources:
        prefix = f"val-core/{source}/"
        names = [name for name in _below(facts, prefix) if "/std" not in name]
        lines = tuple(Line(name.removeprefix(prefix), "", name) for name in names)
        yield Chart(
            chart_id("val-core", source), VALIDATION, f"verl's figures of {source}", "", lines, {"source": source}
        )


def _others(facts: Facts, drawn: set[str]) -> list[Chart]:
    """Charts of the metrics that no other chart shows; a name's mean, maximum and minimum share one."""
    names: dict[tuple[str, str], list[str]] = {}
    for name in sorted(set(facts.values) - drawn):
        values = facts.curve(name).values
        of_verl = any(fnmatchcase(name, known) for known in VERLS_OTHER)
        constant = of_verl and len(values) and (values == values[0]).all()
        if name.startswith("report/") or facts.source_of(name) or not len(values) or constant:
            continue
        names.setdefault((VERLS if of_verl else OTHERS, _AGGREGATE.sub("", name)), []).append(name)
    return [
        Chart(chart_id("other", title), section, title, "", tuple(Line(_label(name, title), name) for name in found))
        for (section, title), found in names.items()
    ]


def _drawn(charts: Iterable[Chart]) -> set[str]:
    return {name for chart in charts for line in chart.lines for name in (line.metric, line.held_out)}


def _label(name: str, title: str) -> str:
    return name.removeprefix(f"{title}/") if name != title else name.rpartition("/")[2]


def _cut(chart: Chart) -> Iterator[Chart]:
    """The chart in parts of `MAX_LINES` lines; none where it has no line."""
    for number, begin in enumerate(range(0, len(chart.lines), MAX_LINES), 1):
        lines = chart.lines[begin : begin + MAX_LINES]
        if number == 1:
            yield replace(chart, lines=lines)
        else:
            yield replace(chart, id=f"{chart.id}-{number}", title=f"{chart.title} ({number})", lines=lines)
