"""A step of SFT, as verl's SFT main takes it under torchrun, and what a run of such steps costs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sinternal_verl.config import get
from sinternal_verl.plan.factors import Factors
from sinternal_verl.plan.figures import Line, rounded
from sinternal_verl.plan.generation import lengths_of
from sinternal_verl.plan.grpo_lines import DISK, GB, HOUR, RUN, STEP, STEPS, TERA
from sinternal_verl.plan.setup import Setup
from sinternal_verl.plan.storage import kept, saved_bytes
from sinternal_verl.plan.training import Batch, Pass
from sinternal_verl.plan.work import PAPER_SAMPLES

ROWS = "rows of a step"


def sft_batch(setup: Setup, factors: Factors) -> Batch:
    """The rows of a step; those that are longer than ``data.max_length`` count as so long."""
    config, asked = setup.config, setup.asked
    rows = int(get(config, "data.train_batch_size", 1))
    limit = int(get(config, "data.max_length", 8192))
    mean = asked.response_tokens
    if mean is None:
        mean = setup.train.characters / factors["characters"] if setup.train.characters else factors["sft_tokens"]
    return Batch(lengths_of(min(mean, limit), factors["spread"] / 2, limit, rows))


def sft_update(setup: Setup, factors: Factors) -> Pass:
    return setup.trainer(factors).update(sft_batch(setup, factors))


def sft_lines(setup: Setup, factors: Factors) -> list[Line]:
    return [*_step(setup, factors), *_run(setup, factors)]


def _step(setup: Setup, factors: Factors) -> Iterator[Line]:
    batch, done = sft_batch(setup, factors), sft_update(setup, factors)
    size, cards = setup.size, setup.processes
    passes = 1 + setup.training.checkpointing + (2 if size.trainable == size.total else 1)
    yield Line(ROWS, "rows", len(batch.lengths), "", "data.train_batch_size")
    yield Line(ROWS, "mean row", float(np.mean(batch.lengths)), "tokens", "cut at data.max_length")
    yield Line(ROWS, "tokens", batch.tokens, "", "rows x mean row")
    formula = f"{passes} x (2 x {rounded(size.multiplied)} weights x tokens + attention), over {cards} x "
    formula += f"{rounded(setup.card.flops / TERA)} TFLOP/s; waits for {done.bound}"
    yield Line(STEP, "step", done.seconds, "s", formula)
    yield Line(STEP, "throughput", batch.tokens / done.seconds / cards, "tokens/s", f"tokens / step / {cards} cards")


@dataclass(frozen=True)
class SftRun:
    """What a run costs.

    Attributes:
        steps: of the run; ``epoch`` of an epoch.
        saves: how many checkpoints it writes; ``save`` are the seconds of one.
        seconds: of the whole run, the start included.
    """

    epoch: int
    steps: int
    saves: int
    save: float
    seconds: float


def sft_run(setup: Setup, factors: Factors, step: Pass) -> SftRun:
    config = setup.config
    epoch, steps = setup.steps(PAPER_SAMPLES)
    every = get(config, "trainer.save_freq", -1)
    every = epoch if every == "after_each_epoch" else every
    # The last step is saved however often that is. (verl 0.9.1)
    saves = math.ceil(steps / every) if isinstance(every, int) and every > 0 else min(steps, 1)
    save = saved_bytes(config, setup.size, setup.training) / (factors["disk"] * setup.nodes)
    return SftRun(epoch, steps, saves, save, factors["start_s"] + steps * step.seconds + saves * save)


def _run(setup: Setup, factors: Factors) -> Iterator[Line]:
    config, step = setup.config, sft_update(setup, factors)
    run, rows = sft_run(setup, factors, step), setup.rows(PAPER_SAMPLES)
    one, together = saved_bytes(config, setup.size, setup.training), kept(config, run.saves)
    yield Line(
        DISK, "checkpoint", one / GB, "GB", f"{rounded(setup.size.total)} weights, moments as save_contents says"
    )
    yield Line(DISK, "checkpoints", together * one / GB, "GB", f"{together} are kept together")
    yield Line(RUN, "steps of an epoch", run.epoch, "", f"{rows:,} rows / data.train_batch_size")
    yield Line(RUN, "steps", run.steps, "", STEPS)
    yield Line(RUN, "saving", run.saves * run.save / HOUR, "hours", f"{run.saves} x a checkpoint / disk / nodes")
    yield Line(RUN, "epoch", run.epoch * step.seconds / HOUR, "hours", "steps of an epoch x step")
    yield Line(RUN, "run", run.seconds / HOUR, "hours", "start + steps x step + saving")
    cost = run.seconds / HOUR * setup.cards
    yield Line(RUN, "cost", cost, "GPU hours", f"run x {setup.cards} cards of {setup.nodes} nodes")
