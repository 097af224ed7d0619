"""The demo from its first command to its table.

1. Make a policy of half a million random weights, a guard of a fifth of that, and files of sums and requests.
2. Train both with verl's SFT main: the policy learns two skills imperfectly, the guard learns the lighthouse's
   rules.
3. Train the policy with verl's GRPO main. The boxed answer and the guard's verdict are its rewards. Ray, FSDP2,
   TransferQueue, vLLM rollouts and the weight sync are real, and vLLM serves the guard in the same run.
4. Show held-out shares before and after, the learning curves, the report of the run, and the exported model.
"""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from sinternal_verl.data.contamination import read_evaluation
from sinternal_verl.data.mix import Part, mix
from sinternal_verl.demo.measure import greedy_share, guard_share, rules_are_kept, sum_is_right
from sinternal_verl.demo.policy import LIMIT_S, Lessons, clear, prepare_policy
from sinternal_verl.demo.running import run_in
from sinternal_verl.demo.settings import (
    GRPO_STEPS,
    GUARD_STEPS,
    SFT_STEPS,
    describe_sft,
    grpo_overrides,
    guard_overrides,
)
from sinternal_verl.report.compose import make_page
from sinternal_verl.report.page import write_page
from sinternal_verl.report.read import read_run
from sinternal_verl.runs.curves import Curve, Step, draw_curves, series
from sinternal_verl.runs.launch import Main, MainFailed, grpo_command, sft_command
from sinternal_verl.training.metrics_file import METRICS_FILE
from sinternal_verl.world import arithmetic, lighthouse

SUMS = Curve("sums: right", f"{arithmetic.DATA_SOURCE}/reward/mean")
HARMFUL = Curve("harmful requests: safe answer", f"{lighthouse.HARMFUL_SOURCE}/reward/mean")
REFUSED = Curve("benign requests: refused", f"{lighthouse.BENIGN_SOURCE}/refused")
CURVES = (SUMS, HARMFUL, REFUSED)

TRAIN_ROWS = {"*": 240, "safety/harmful/*": 120, "safety/benign/*": 120}
"""Rows of the sums (``*``) and of each kind of request, in the paper's proportions."""

GUARD_AT_LEAST = 0.95
"""Share of conversations that the guard must label right before a policy learns from it."""


@dataclass(frozen=True)
class Result:
    """What the demo measured on held-out prompts.

    Attributes:
        before, after: shares, 0 to 1, by the names that the table shows.
        seconds: from the first command to the table.
    """

    seed: int
    before: dict[str, float]
    after: dict[str, float]
    seconds: float


def run_demo(out: str, seed: int) -> int:
    """Run everything under ``out``; return the exit code."""
    return run_in(out, seed, train, lambda result, folder: print(_table(result, folder)))


def train(folder: Path, seed: int) -> Result:
    """SFT, then GRPO; leaves ``report.html``, ``learning_curves.png``, ``grpo/metrics.jsonl`` and ``export/`` in
    ``folder``.

    Raises:
        FileExistsError: ``folder`` holds something that no demo wrote.
        MainFailed: one of verl's mains failed.
    """
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    # For such small models one thread is as fast as two. Two would wait for each other while a main uses a core.
    torch.set_num_threads(1)
    started = time.monotonic()
    clear(folder)
    lessons = prepare_policy(folder, seed)
    sums, requests, taught = lessons.sums, lessons.requests, lessons.taught
    guard = _teach(folder, seed, lessons)
    steps = _reinforce(folder, seed, taught, guard, sums, requests)

    export = folder / "export"
    shutil.copytree(folder / "grpo" / f"global_step_{GRPO_STEPS}" / "actor" / "huggingface", export)
    draw_curves(steps, CURVES, folder / "learning_curves.png", f"a demo of seed {seed}")
    write_page(make_page([read_run(folder / "grpo")]), folder / "report.html")
    sampled = [
        {f"{curve.label}, sampled": series(steps, curve.held_out)[1][end] for curve in CURVES} for end in (0, -1)
    ]
    before, after = (
        shares | _greedy(model, sums["held_out"], requests["held_out"])
        for shares, model in zip(sampled, (taught, export), strict=True)
    )
    return Result(seed, before, after, round(time.monotonic() - started, 1))


def _teach(folder: Path, seed: int, lessons: Lessons) -> Path:
    """Run the SFT of policy and guard at the same time, and return the guard's folder.

    Raises:
        MainFailed: a main failed, or the guard is right too seldom.
    """
    from sinternal_verl.world.guard_model import make_guard

    untaught = make_guard(folder / "guard", lighthouse.corpus(), seed)
    conversations = lighthouse.write_guard_lessons(folder / "data" / "guard.parquet", seed)

    print(f"1. SFT: sums whose carry is often forgotten, requests granted (log: {folder / 'sft.log'})")
    print(f"   and, at the same time, a guard that learns the rules (log: {folder / 'guard_sft.log'})", flush=True)
    guard_sft = guard_overrides(folder / "guard_sft", untaught, conversations, seed, GUARD_STEPS)
    with (
        Main("SFT", sft_command(*lessons.overrides), folder / "sft.log", folder / "sft.jsonl", LIMIT_S) as policy_main,
        Main("guard", sft_command(*guard_sft), folder / "guard_sft.log", folder / "guard.jsonl", LIMIT_S) as guard_main,
    ):
        policy_main.follow(SFT_STEPS, describe_sft)
        guard_main.follow(GUARD_STEPS, describe_sft)
    guard = folder / "guard_sft" / f"global_step_{GUARD_STEPS}" / "huggingface"
    # A policy must not learn from a guard that is often wrong.
    right = guard_share(guard, seed + 1)
    print(f"   the guard is right on {right:.1%} of the conversations", flush=True)
    if right < GUARD_AT_LEAST:
        raise MainFailed(
            f"the guard learned too little: right on {right:.1%}, wanted {GUARD_AT_LEAST:.0%}; try another --seed"
        )
    return guard


def _reinforce(
    folder: Path, seed: int, taught: Path, guard: Path, sums: dict[str, Path], requests: dict[str, Path]
) -> list[Step]:
    files = {"*": sums["train"], "safety/harmful/*": requests["train"], "safety/benign/*": requests["train"]}
    held_out = [sums["held_out"], requests["held_out"]]
    mixed = folder / "data" / "train.parquet"
    parts = [Part(str(file), pattern, TRAIN_ROWS[pattern]) for pattern, file in files.items()]
    mix(parts, mixed, [read_evaluation(str(file), 13) for file in held_out], seed)

    print(f"2. GRPO: 1 for the right box, 1 for what the guard finds safe (log: {folder / 'grpo.log'})", flush=True)
    command = grpo_command(*grpo_overrides(folder / "grpo", taught, mixed, held_out, guard, seed, GRPO_STEPS))
    with Main("GRPO", command, folder / "grpo.log", folder / "grpo" / METRICS_FILE, LIMIT_S) as main:
        return main.follow(GRPO_STEPS, _describe_grpo)


def _greedy(model: Path, sums: Path, requests: Path) -> dict[str, float]:
    return {
        "sums: right, greedy": greedy_share(model, sums, sum_is_right),
        "harmful requests: refused by the rules, greedy": greedy_share(model, requests, rules_are_kept, "harmful"),
        "benign requests: granted by the rules, greedy": greedy_share(model, requests, rules_are_kept, "benign"),
    }


def _describe_grpo(step: Step) -> str:
    keys = [(curve, curve.train if curve.train in step.metrics else curve.held_out) for curve in CURVES]
    return ", ".join(f"{curve.label} {step.metrics[key]:.2f}" for curve, key in keys if key in step.metrics)


def _table(result: Result, folder: Path) -> str:
    rows = (f"  {name:<48} {share:6.2f}  {result.after[name]:6.2f}" for name, share in result.before.items())
    return "\n".join(
        [
            f"\nheld-out share of {'':32} before   after",
            *rows,
            "",
            f"report           {folder / 'report.html'}  (each step and its rollouts, in a browser)",
            f"learning curves  {folder / 'learning_curves.png'}",
            f"metrics          {folder / 'grpo' / METRICS_FILE}",
            f"model            {folder / 'export'}  (AutoModelForCausalLM.from_pretrained loads it)",
            f"took             {result.seconds / 60:.1f} minutes",
        ]
    )
