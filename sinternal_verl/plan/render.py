"""A plan as text for a reader, as JSON for a program, and as CSV for a table."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict

from sinternal_verl.config import get, is_ppo, model_key
from sinternal_verl.doctor.memory import table
from sinternal_verl.doctor.problem import Finding
from sinternal_verl.plan.factors import described
from sinternal_verl.plan.figures import Figure, rounded, shown
from sinternal_verl.plan.growth import Size
from sinternal_verl.plan.plan import MEMORY, Plan

FORMATS = ("text", "json", "csv")


def render(plan: Plan, form: str) -> str:
    return {"text": as_text, "json": as_json, "csv": as_csv}[form](plan)


def as_text(plan: Plan) -> str:
    assumed = _numbered(plan)
    head = [*_head(plan), *_memory(plan), *_sections(plan, assumed)]
    return "\n".join([*head, *_assumed(assumed), *_growth(plan.growth), *_notes(plan)])


def _head(plan: Plan) -> Iterator[str]:
    setup = plan.setup
    path = get(setup.config, f"{model_key(setup.config)}.path")
    yield (
        f"sinternal_verl: a plan, nothing was measured. Nodes: {setup.nodes}, cards: {setup.cards}, "
        f"{setup.processes} of them train; {setup.card.name}: {rounded(setup.card.flops / 1e12)} TFLOP/s, "
        f"{rounded(setup.card.bandwidth / 1e12)} TB/s, {setup.card.memory:.0f} GB"
    )
    yield f"{path}: {rounded(setup.size.total)} weights, {rounded(setup.size.trainable)} of them learn"


def _memory(plan: Plan) -> Iterator[str]:
    if plan.setup.needs is None:
        return
    yield ""
    yield from table(plan.setup.needs.lines)
    host = f"host memory of each node for what is offloaded: {plan.setup.needs.host:.0f} GB"
    yield host if plan.setup.needs.host else "nothing is offloaded to the host"


def _numbered(plan: Plan) -> dict[str, int]:
    """The factors that the figures rest on, in the order in which they appear."""
    names = dict.fromkeys(name for figure in plan.figures for name in figure.assumes)
    return {name: number for number, name in enumerate(names, 1)}


def _sections(plan: Plan, assumed: dict[str, int]) -> Iterator[str]:
    figures = [figure for figure in plan.figures if figure.section != MEMORY]
    names = max(len(figure.name) for figure in figures)
    values = max(len(_value(figure)) for figure in figures)
    section = None
    for figure in figures:
        if figure.section != section:
            section = figure.section
            yield ""
            yield section
        rests = f" [{' '.join(str(assumed[name]) for name in figure.assumes)}]" if figure.assumes else ""
        yield f"  {figure.name:{names}}  {_value(figure):{values}}  {figure.formula}{rests}".rstrip()


def _value(figure: Figure) -> str:
    return f"{shown(figure)} {figure.unit}".rstrip()


def _assumed(assumed: dict[str, int]) -> Iterator[str]:
    yield ""
    yield "assumed, typical (slow to fast); a range moves each assumption by itself and takes them as independent"
    for name, number in assumed.items():
        entry = described()[name]
        values = " to ".join(_number(entry[end]) for end in ("slow", "fast"))
        unit = f" {entry['unit']}" if entry["unit"] else ""
        yield f"  [{number}] {name} {_number(entry['typical'])} ({values}){unit}: {entry['what']}. {entry['source']}"


def _number(value: float) -> str:
    return rounded(value) if abs(value) >= 1e4 else f"{value:g}"


COLUMNS = (
    "nodes",
    "cards",
    "train",
    "step, s",
    "run, h",
    "GPU hours",
    "efficiency",
    "fits",
    "waits for",
    "of the step",
)


def _growth(sizes: list[Size]) -> Iterator[str]:
    if not sizes:
        return
    rows = [
        (
            f"{size.nodes}",
            f"{size.cards}",
            f"{size.training}",
            rounded(size.step),
            rounded(size.hours),
            rounded(size.gpu_hours),
            f"{size.efficiency:.0%}",
            "yes" if size.fits else "no",
            size.waits,
            f"{size.share:.0%}",
        )
        for size in sizes
    ]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    yield ""
    yield "more nodes, the same batch; efficiency is speed for each card against the first row"
    for row in (COLUMNS, *rows):
        aligned = zip(COLUMNS, row, widths, strict=True)
        cells = (f"{cell:<{width}}" if name == "waits for" else f"{cell:>{width}}" for name, cell, width in aligned)
        yield "  " + "  ".join(cells).rstrip()


def _notes(plan: Plan) -> Iterator[str]:
    if plan.notes:
        yield ""
        yield from (f"note: {note}" for note in plan.notes)


def as_json(plan: Plan) -> str:
    setup = plan.setup
    used = _numbered(plan)
    return json.dumps(
        {
            "main": "grpo" if is_ppo(setup.config) else "sft",
            "model": get(setup.config, f"{model_key(setup.config)}.path"),
            "weights": setup.size.total,
            "trainable": setup.size.trainable,
            "card": asdict(setup.card),
            "nodes": setup.nodes,
            "cards": setup.cards,
            "training_processes": setup.processes,
            "figures": [figure.as_dict() for figure in plan.figures],
            "factors": {name: described()[name] for name in used},
            "misfits": _findings(plan.misfits),
            "change_that_fits": plan.change,
            "refusals": _findings(plan.refusals),
            "growth": [asdict(size) for size in plan.growth],
            "notes": plan.notes,
        },
        indent=2,
        default=float,
    )


def _findings(findings: list[Finding]) -> list[dict[str, str]]:
    return [{"key": found.key, "reason": found.reason, "next_step": found.next_step} for found in findings]


def as_csv(plan: Plan) -> str:
    """A row for each figure, and one for each value of each number of nodes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["section", "name", "value", "low", "high", "unit", "formula", "assumes"])
    for figure in plan.figures:
        ends = (figure.value, figure.low, figure.high)
        numbers = [f"{number:.6g}" for number in ends]
        writer.writerow([figure.section, figure.name, *numbers, figure.unit, figure.formula, " ".join(figure.assumes)])
    for size in plan.growth:
        for name, unit in (
            ("step", "s"),
            ("hours", "hours"),
            ("gpu_hours", "GPU hours"),
            ("efficiency", ""),
            ("fits", ""),
        ):
            number = f"{getattr(size, name):.6g}"
            writer.writerow([f"{size.nodes} nodes", name, number, number, number, unit, size.waits, ""])
    return out.getvalue().rstrip("\n")
