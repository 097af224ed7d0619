"""The numbers of a plan of GRPO, each with its formula."""

from collections.abc import Iterator

from sinternal_verl.config import get
from sinternal_verl.plan.factors import Factors
from sinternal_verl.plan.figures import Line, rounded
from sinternal_verl.plan.grpo import (
    GrpoRun,
    GrpoStep,
    answer_tokens,
    grpo_run,
    grpo_step,
    guard_of,
    synced_bytes,
    updates_of,
)
from sinternal_verl.plan.guarding import BUSY, GUARDS, guard_path, replicas_of
from sinternal_verl.plan.setup import Setup
from sinternal_verl.plan.storage import dumped_bytes, kept, saved_bytes

GB, TERA, HOUR = 1e9, 1e12, 3600.0
ROLLOUTS, STEP, GUARD, DISK, RUN = "rollouts of a step", "a step", "guard", "disk", "the run"
STEPS = "epochs x steps of an epoch, or trainer.total_training_steps where that is less"


def grpo_lines(setup: Setup, factors: Factors) -> list[Line]:
    step = grpo_step(setup, factors)
    run = grpo_run(setup, factors, step)
    return [
        *_rollouts(setup, step),
        *_phases(setup, factors, step),
        *_guards(setup, factors, step),
        *_disk(setup, factors, step, run),
        *_run(setup, step, run),
    ]


def _rollouts(setup: Setup, step: GrpoStep) -> Iterator[Line]:
    work = step.rollouts
    count = len(work.lengths)
    yield Line(ROLLOUTS, "responses", count, "", "data.train_batch_size x rollout.n")
    yield Line(ROLLOUTS, "judged by the guard", work.safety, "", "responses to prompts of safety/*")
    yield Line(ROLLOUTS, "mean response", float(work.lengths.mean()), "tokens", "lognormal, cut at max_response_length")
    yield Line(ROLLOUTS, "longest response", float(work.lengths.max()), "tokens", "of the same draw")
    yield Line(ROLLOUTS, "tokens", work.batch.tokens, "", "responses x (mean prompt + mean response)")


def _phases(setup: Setup, factors: Factors, step: GrpoStep) -> Iterator[Line]:
    size, cards, card = setup.size, setup.processes, setup.card
    engine, work = setup.engine(factors), step.rollouts
    weights, tera = rounded(size.multiplied), rounded(card.flops / TERA)
    each = len(work.lengths) / setup.engines
    cached = engine.weight * size.key_values * size.copies(setup.engine_cards) / setup.engine_cards
    passes = 1 + setup.training.checkpointing + (2 if size.trainable == size.total else 1)
    updates, epochs = updates_of(setup)
    formulas = {
        "gen": f"{setup.engines} engines x {rounded(each)} responses, simulated; a decoding step reads "
        f"{rounded(engine.weight * size.multiplied / GB / setup.engine_cards)} GB of weights and "
        f"{rounded(cached / 1e3)} kB a token of cache a card",
        "old_log_prob": f"2 x {weights} weights x tokens + attention, over {cards} x {tera} TFLOP/s; waits for "
        f"{step.log_probs.bound}",
        "ref": "as old_log_prob, with the frozen model",
        "update_actor": f"{epochs * passes} x (2 x {weights} weights x tokens + attention), over {cards} x {tera} "
        f"TFLOP/s, {epochs * updates} x AdamW; waits for {step.update.bound}",
        "update_weights": f"{rounded(synced_bytes(setup) / GB)} GB to vLLM, tensor by tensor; sleeping and waking",
        "other": "advantages, metrics, the driver",
    }
    for name, seconds in step.phases.items():
        yield Line(STEP, name, float(seconds), "s", formulas[name])
    yield Line(STEP, "step", float(step.seconds), "s", "the sum")
    tail = step.generated.tail / max(step.phases["gen"], 1e-9)
    yield Line(STEP, "tail of gen", 100 * tail, "%", "of gen, in which fewer than 10% of the responses run")
    speed = work.batch.tokens / step.seconds / setup.cards
    yield Line(STEP, "throughput", speed, "tokens/s", f"tokens / step / {setup.cards} cards, the guard's included")


def _guards(setup: Setup, factors: Factors, step: GrpoStep) -> Iterator[Line]:
    work, mine = step.rollouts, guard_path(setup.config)
    if not work.safety:
        return
    answer, share = answer_tokens(factors, work), 1.0
    for path in dict.fromkeys((*GUARDS, *([mine] if mine else []))):
        guard = guard_of(setup, factors, path, share)
        if guard is None:
            continue
        name = path.rpartition("/")[2]
        seconds = guard.judgement_s(work.prompt, answer)
        formula = f"2 x {rounded(guard.size.multiplied)} weights x {rounded(answer)} tokens of the answer, on one card"
        yield Line(GUARD, f"{name}: a judgement", 1e3 * seconds, "ms", formula)
        needed = guard.replicas(work.safety, step.generated.seconds, work.prompt, answer)
        how = f"judgements / gen, each replica busy {BUSY:.0%} of it at most"
        yield Line(GUARD, f"{name}: replicas", needed, "", how)
    if mine and step.guarding:
        replicas = replicas_of(setup.config)
        busy = 100 * step.guarding / replicas / step.phases["gen"]
        yield Line(GUARD, "the run's replicas are busy", busy, "%", f"judgements x seconds / {replicas} replicas / gen")


def _disk(setup: Setup, factors: Factors, step: GrpoStep, run: GrpoRun) -> Iterator[Line]:
    one = saved_bytes(setup.config, setup.size, setup.training)
    together = kept(setup.config, run.saves)
    parts = "weights, moments as save_contents says"
    yield Line(DISK, "checkpoint", one / GB, "GB", f"{rounded(setup.size.total)} weights: {parts}")
    yield Line(DISK, "checkpoints", together * one / GB, "GB", f"{together} are kept together")
    if get(setup.config, "trainer.rollout_data_dir"):
        dumped = run.steps * dumped_bytes(step.rollouts.batch, factors["characters"])
        yield Line(DISK, "rollouts", dumped / GB, "GB", f"{run.steps} steps x tokens x characters of a token")


def _run(setup: Setup, step: GrpoStep, run: GrpoRun) -> Iterator[Line]:
    yield Line(RUN, "steps of an epoch", run.epoch, "", f"{run.prompts:,} prompts / data.train_batch_size")
    yield Line(RUN, "steps", run.steps, "", STEPS)
    yield Line(RUN, "saving", run.saves * run.save / HOUR, "hours", f"{run.saves} x a checkpoint / disk / nodes")
    if run.validation:
        validating = run.validations * run.validation / HOUR
        yield Line(RUN, "validating", validating, "hours", f"{run.validations} x generating the held-out rows")
    yield Line(
        RUN, "epoch", run.epoch_seconds / HOUR, "hours", "steps of an epoch x step, its share of saving and validating"
    )
    yield Line(RUN, "run", run.seconds / HOUR, "hours", "start + steps x step + saving + validating")
    cost = run.seconds / HOUR * setup.cards
    yield Line(RUN, "cost", cost, "GPU hours", f"run x {setup.cards} cards of {setup.nodes} nodes, idle ones included")
