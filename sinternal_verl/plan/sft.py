"""A step of SFT, as verl's SFT main takes it under torchrun, and what a run of such steps costs."""

import math
from collections.abc import Iterator

import numpy as np

from sinternal_verl.config import get
from sinternal_verl.plan.factors import Factors
from sinternal_verl.plan.figures import Line, rounded
from sinternal_verl.plan.generation import lengths_of
from sinternal_verl.plan.grpo_lines import DISK, GB, HOUR, RUN, STEP, TERA
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


def _run(setup: Setup, factors: Factors) -> Iterator[Line]:
    config = setup.config
    rows = setup.asked.prompts or setup.train.count or PAPER_SAMPLES
    epoch = rows // max(int(get(config, "data.train_batch_size", 1)), 1)
    epochs = int(get(config, "trainer.total_epochs", 1))
    steps = get(config, "trainer.total_training_steps") or epoch * epochs
    every = get(config, "trainer.save_freq", -1)
    every = epoch if every == "after_each_epoch" else every
    saves = math.ceil(steps / every) if isinstance(every, int) and every > 0 else 0
    one, together = saved_bytes(config, setup.size, setup.training), kept(config, saves)
    yield Line(
        DISK, "checkpoint", one / GB, "GB", f"{rounded(setup.size.total)} weights, moments as save_contents says"
    )
    yield Line(DISK, "checkpoints", together * one / GB, "GB", f"{together} are kept together")
    step, save = sft_update(setup, factors).seconds, one / (factors["disk"] * setup.nodes)
    seconds = factors["start_s"] + steps * step + saves * save
    yield Line(RUN, "steps of an epoch", epoch, "", f"{rows:,} rows / data.train_batch_size")
    yield Line(RUN, "steps", steps, "", "epochs x steps of an epoch, or trainer.total_training_steps")
    yield Line(RUN, "saving", saves * save / HOUR, "hours", f"{saves} x a checkpoint / disk / nodes")
    yield Line(RUN, "epoch", epoch * step / HOUR, "hours", "steps of an epoch x step")
    yield Line(RUN, "run", seconds / HOUR, "hours", "start + steps x step + saving")
    yield Line(
        RUN, "cost", seconds / HOUR * setup.cards, "GPU hours", f"run x {setup.cards} cards of {setup.nodes} nodes"
    )
