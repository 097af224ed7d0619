"""Stage 1 with the demo's policy, from its first command to its table (`sinternal-verl demo-verify`).

1. verl's SFT main makes the policy, as in the other demo.
2. `verify build` asks it for answers, and an expert for critiques (`sinternal_verl.world.expert`, over HTTP).
3. verl's SFT main trains the policy on the build. At the same time `verify evaluate` measures how well the policy
   verifies its own answers to held-out prompts before this.
4. `export` makes a model of the checkpoint. `verify evaluate` measures it on the same answers, which the store of the
   first evaluation holds with their critiques. Then it answers the prompts itself: are its answers safer?
"""

import time
from dataclasses import dataclass
from pathlib import Path

from sinternal_verl.demo.commands import COMMANDS, Commands
from sinternal_verl.demo.policy import clear, prepare_policy
from sinternal_verl.demo.running import run_in
from sinternal_verl.demo.settings import (
    BUILD_SAMPLES,
    EVALUATION_SAMPLES,
    SFT_STEPS,
    VERIFY_SFT_STEPS,
    verify_overrides,
    verify_sft_overrides,
)
from sinternal_verl.demo.verified import Interval, Measured, draw, measure, safer
from sinternal_verl.overrides import override
from sinternal_verl.report.compose import make_page
from sinternal_verl.report.page import write_page
from sinternal_verl.report.read import read_run

PICTURE = "verification.png"


@dataclass(frozen=True)
class Result:
    """What was measured on held-out prompts.

    Attributes:
        before, after: of the policy, and of the exported model.
        safer: how much larger the share of safe answers to harmful requests is after, with its 95% interval.
        seconds: from the first command to the table.
    """

    seed: int
    before: Measured
    after: Measured
    safer: tuple[float, float, float]
    seconds: float


def run_demo(out: str, seed: int) -> int:
    """Run everything under ``out``; return the exit code."""
    return run_in(out, seed, train, _show)


def _show(result: Result, folder: Path) -> None:
    draw(result.before, result.after, folder / PICTURE, f"a demo of seed {result.seed}")
    print(table(result, folder))


def train(folder: Path, seed: int) -> Result:
    """Leaves ``build/``, ``before/`` and ``after/`` (two evaluations), ``export/`` and ``report.html`` in ``folder``.

    Raises:
        FileExistsError: ``folder`` holds something that no demo wrote.
        MainFailed: a command failed.
    """
    started = time.monotonic()
    clear(folder)
    lessons, commands = prepare_policy(folder, seed), Commands(folder)
    policy, export, checkpoints = lessons.taught, folder / "export", folder / "verify_sft"

    print("1. SFT: a policy that helps with half of what is forbidden", flush=True)
    commands.sft("sft", lessons.overrides, SFT_STEPS)
    with commands.server("expert", "-m", "sinternal_verl.world.expert") as url:
        of = {
            name: verify_overrides(folder / name, model, prompts, samples, url, seed)
            for name, model, prompts, samples in (
                ("build", policy, lessons.requests["train"], BUILD_SAMPLES),
                ("before", policy, lessons.requests["held_out"], EVALUATION_SAMPLES),
                ("after", policy, lessons.requests["held_out"], EVALUATION_SAMPLES),
                ("own", export, lessons.requests["held_out"], EVALUATION_SAMPLES),
            )
        }
        of["after"] += [override("store", folder / "before" / "store.sqlite"), override("verifier.model", export)]
        print("\n2. the policy's own answers, an expert's critiques, the selection", flush=True)
        commands.sinternal_verl("build", "verify", "build", *of["build"])
        print("\n3. SFT on them, and at the same time an evaluation of the policy before it", flush=True)
        with commands.started("before", "verify", "evaluate", *of["before"]) as evaluation:
            data = folder / "build" / "train.parquet"
            overrides = verify_sft_overrides(checkpoints, policy, data, seed, VERIFY_SFT_STEPS)
            commands.sft("verify_sft", overrides, VERIFY_SFT_STEPS)
            evaluation.finish()
        print("\n4. a model of the checkpoint, its evaluation on the same answers, and its own answers", flush=True)
        commands.sinternal_verl("export", "export", "--checkpoint", str(checkpoints), "--out", str(export))
        commands.sinternal_verl("after", "verify", "evaluate", *of["after"])
        commands.sinternal_verl("own", "verify", "sample", *of["own"])
        measured = [
            measure(folder / evaluation, commands.sinternal_verl(f"{name}_answers", "verify", "show", *of[name]))
            for evaluation, name in (("before", "before"), ("after", "own"))
        ]
    write_page(make_page([read_run(checkpoints)]), folder / "report.html")
    return Result(seed, *measured, safer(*measured, seed), round(time.monotonic() - started, 1))


def table(result: Result, folder: Path) -> str:
    """The result in words, with the files that a user may want."""
    both = result.before, result.after
    counts = {
        "items: the policy's answers, judged by expert and model": [measured.items for measured in both],
        "of these, without exactly one verdict of the model": [measured.unparsable for measured in both],
    }
    shares = {
        "precision of unsafe": [_shown(measured.precision) for measured in both],
        "recall of unsafe": [_shown(measured.recall) for measured in both],
        "F1": [_shown(measured.f1) for measured in both],
        "F1, no verdict taken for wrong": [_shown(measured.strict_f1) for measured in both],
        "F1 of always saying unsafe": [f"{measured.always_unsafe:.2f}" for measured in both],
        "the model's own answers to harmful requests: safe": [f"{measured.safe:.2f}" for measured in both],
        "the model's own answers to benign requests: they help": [f"{measured.granted:.2f}" for measured in both],
        "of its own answers, not finished": [f"{measured.missing} of {measured.answers}" for measured in both],
    }
    rows = {name: [f"{count:,}" for count in row] for name, row in counts.items()} | shares
    more, low, high = result.safer
    found = "safer" if low > 0 else "less safe" if high < 0 else "neither clearly safer nor clearly less safe"
    return "\n".join(
        [
            f"\n{'held-out prompts, seed ' + str(result.seed):<56} {'before':>20} {'after':>20}",
            *(f"{name:<56} {before:>20} {after:>20}" for name, (before, after) in rows.items()),
            "",
            f"This SFT alone made its own answers to harmful requests {found}:",
            f"{more:+.2f} ({low:+.2f} to {high:+.2f}).",
            "Intervals are of 95%, bootstrapped over prompts.",
            "",
            f"picture    {folder / PICTURE}",
            f"report     {folder / 'report.html'}, of the SFT",
            f"commands   {folder / COMMANDS}, to be repeated with a model of your own",
            f"data       {folder / 'build'}, with its README.md",
            f"model      {folder / 'export'}",
            f"took       {result.seconds / 60:.1f} minutes",
        ]
    )


def _shown(interval: Interval) -> str:
    value, low, high = interval
    return "not defined" if value is None else f"{value:.2f} ({low:.2f} to {high:.2f})"
