"""The texts of all rollouts, in files beside the page: one for each step, without a script, streamed as it is read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from sinternal_verl.data.schema import whole_file
from sinternal_verl.report.rollouts import read_texts
from sinternal_verl.report.run import Rollouts, Run
from sinternal_verl.report.template import policy, style, template

STYLES = ("step.css",)


def folder_of(out: Path, number: int) -> Path:
    """Where the texts of a page's run are."""
    return out.with_name(f"{out.stem}_texts") / f"run_{number + 1}"


def file_name(held_out: bool, step: int) -> str:
    return f"{'held_out' if held_out else 'training'}_{step}.html"


def write_step_pages(run: Run, number: int, out: Path) -> int:
    """Write the texts of each step of a run, and return how many files were written. A file that is newer than the dump
    of its step is left as it is.

    Raises:
        OSError: a file cannot be written; the message names it.
    """
    if run.rollouts is None:
        return 0
    folder = folder_of(out, number)
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for (held_out, step), dump in zip(_steps(run.rollouts), run.rollouts.files, strict=True):
        target = folder / file_name(held_out, step)
        if target.exists() and target.stat().st_mtime > dump.stat().st_mtime:
            continue
        rendered = template("step.html").generate(
            title=f"{run.name}: texts of step {step}, {'held out' if held_out else 'training'}",
            back=quote(f"../../{out.name}"),
            rows=_rows(run, held_out, step),
            style=style(STYLES),
            policy=policy(styles=STYLES),
        )
        with whole_file(target) as file:
            file.writelines(rendered)
        written += 1
    return written


def _steps(rollouts: Rollouts) -> list[tuple[bool, int]]:
    """The steps that have rollouts, in the order of their files."""
    return list(dict.fromkeys(zip(rollouts.held_out.tolist(), rollouts.step.tolist(), strict=True)))


def _rows(run: Run, held_out: bool, step: int) -> Iterator[dict[str, Any]]:
    rollouts = run.rollouts
    first = int(np.flatnonzero((rollouts.step == step) & (rollouts.held_out == held_out))[0])
    kind = "held_out" if held_out else "training"
    for number, texts in read_texts(run, held_out=held_out, step=step):
        named = {name: _name(rollouts, name, number) for name in ("source", "outcome", "reason")}
        yield {
            "place": number - first,
            "address": quote(f"{kind}~{step}~{number - first}"),
            "facts": [named["source"], f"response {rollouts.place[number] + 1}", named["outcome"]],
            "score": float(rollouts.score[number]),
            "reason": named["reason"],
            "texts": [
                *(("Prompt", texts.prompt), ("Thought", texts.thought), ("Answer", texts.answer)),
                *(("Truth", texts.truth), *texts.extra.items()),
            ],
        }


def _name(rollouts: Rollouts, column: str, number: int) -> str:
    place = int(getattr(rollouts, column)[number])
    return rollouts.names[column][place] if place >= 0 else ""
