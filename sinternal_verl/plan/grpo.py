"""A step of GRPO by phase, as verl's sync trainer takes them one after another, and what a run of such steps costs."""

import math
from dataclasses import dataclass

from omegaconf import DictConfig

from sinternal_verl.config import get
from sinternal_verl.gpus import OF_REPLICA
from sinternal_verl.plan.factors import Factors
from sinternal_verl.plan.generation import Generated, generate
from sinternal_verl.plan.guarding import Guard, guard_path, replicas_of
from sinternal_verl.plan.setup import ROLLOUT, Setup
from sinternal_verl.plan.sizes import size_of_model
from sinternal_verl.plan.storage import saved_bytes
from sinternal_verl.plan.training import Pass
from sinternal_verl.plan.work import PAPER_PROMPTS, Rollouts, rollouts, taken


@dataclass(frozen=True)
class GrpoStep:
    """Seconds of a step's phases, by the names of verl's ``timing_s/*``.

    Attributes:
        generated: how the rollouts were generated.
        guarding: seconds that one replica would judge the step's rollouts.
        log_probs, update: the passes of training.
        phases: seconds by phase; together they are the step.
    """

    rollouts: Rollouts
    generated: Generated
    guarding: float
    log_probs: Pass
    update: Pass
    phases: dict[str, float]

    @property
    def seconds(self) -> float:
        return sum(self.phases.values())


def grpo_step(setup: Setup, factors: Factors) -> GrpoStep:
    config, trainer = setup.config, setup.trainer(factors)
    work = rollouts(config, factors, setup.train, setup.asked)
    generated = _generate(setup, factors, work)
    log_probs, update = trainer.forward(work.batch), trainer.update(work.batch, *updates_of(setup))
    guarding = guard_seconds(setup, factors, work)
    replicas = replicas_of(config)
    phases = {
        # Responses are judged while others are generated. What the guard cannot judge meanwhile is waited for.
        "gen": max(generated.seconds, guarding / replicas) + len(work.lengths) * factors["rollout_s"],
        "old_log_prob": 0.0 if get(config, "algorithm.rollout_correction.bypass_mode", False) else log_probs.seconds,
        "ref": log_probs.seconds if needs_reference(setup) else 0.0,
        "update_actor": update.seconds,
        "update_weights": sync_seconds(setup, factors),
        "other": factors["step_s"],
    }
    return GrpoStep(work, generated, guarding, log_probs, update, {name: s for name, s in phases.items() if s})


def _generate(setup: Setup, factors: Factors, work: Rollouts) -> Generated:
    return generate(work.lengths, work.prompt, setup.engine(factors), setup.engines)


def updates_of(setup: Setup) -> tuple[int, int]:
    """Steps of the optimizer in a pass over a step's rows, and the number of such passes."""
    config, actor = setup.config, "actor_rollout_ref.actor"
    batch = get(config, "data.train_batch_size", 1)
    return max(1, batch // get(config, f"{actor}.ppo_mini_batch_size", batch)), get(config, f"{actor}.ppo_epochs", 1)


def needs_reference(setup: Setup) -> bool:
    """Whether a frozen model's log-probabilities are calculated, too."""
    config = setup.config
    return bool(get(config, "actor_rollout_ref.actor.use_kl_loss") or get(config, "algorithm.use_kl_in_reward"))


def synced_bytes(setup: Setup) -> float:
    """Bytes of the weights that go to vLLM after an update; with LoRA those of the adapter."""
    trainable = setup.size.trainable
    return (2.0 * setup.size.total) if trainable == setup.size.total else 4.0 * trainable


def sync_seconds(setup: Setup, factors: Factors) -> float:
    wakes = factors["wake_s"] if get(setup.config, f"{ROLLOUT}.free_cache_engine", True) else 0.0
    return wakes + synced_bytes(setup) / factors["sync_bytes_s"]


def judges_without_gpu(setup: Setup) -> bool:
    """Whether the run trains on GPUs and its guard runs on the processors beside them, whose speed is not known."""
    own = get(setup.config, "sinternal.guard.backend") == "ray_actor"
    return own and setup.needs is not None and get(setup.config, OF_REPLICA, 1.0) == 0


def guard_of(setup: Setup, factors: Factors, path: str, share: float | None = None) -> Guard | None:
    """A replica of a guard of this model.

    Args:
        share: cards of a replica, instead of those that it has.

    Returns:
        None where the guard's size or the speed of what it runs on is not known.
    """
    size = size_of_model(path)
    if share is None and judges_without_gpu(setup):
        return None
    held = float(get(setup.config, OF_REPLICA, 1.0) or 1.0) if share is None else share
    mode = get(setup.config, "sinternal.guard.mode", "first_token")
    return None if size is None else Guard(size, setup.card, factors, held, mode == "decode")


def guard_seconds(setup: Setup, factors: Factors, work: Rollouts) -> float:
    """Seconds in which one replica judges the step's rollouts; 0 where the run has no guard of its own."""
    path = guard_path(setup.config)
    guard = guard_of(setup, factors, path) if path else None
    if guard is None:
        return 0.0
    return work.safety * guard.judgement_s(work.prompt, answer_tokens(factors, work))


def answer_tokens(factors: Factors, work: Rollouts) -> float:
    return min(factors["answer_tokens"], float(work.lengths.max()))


@dataclass(frozen=True)
class GrpoRun:
    """What a run costs.

    Attributes:
        steps: of the run; ``epoch`` of an epoch.
        validations, saves: how many there are.
        validation: seconds of one; None where the number of its rows is not known.
        save: seconds of one checkpoint.
        seconds: of the whole run, the start included.
    """

    prompts: int
    epoch: int
    steps: int
    validations: int
    saves: int
    validation: float | None
    save: float
    epoch_seconds: float
    seconds: float


def grpo_run(setup: Setup, factors: Factors, step: GrpoStep) -> GrpoRun:
    config = setup.config
    epoch, steps = setup.steps(PAPER_PROMPTS)
    validations, saves = _times(config, "trainer.test_freq", steps), _times(config, "trainer.save_freq", steps)
    validations += bool(get(config, "trainer.val_before_train", True))
    validation = _validation(setup, factors)
    save = saved_bytes(config, setup.size, setup.training) / (factors["disk"] * setup.nodes)
    beside = saves * save + validations * (validation or 0.0)
    share = epoch / steps if steps else 0.0
    epoch_seconds = epoch * step.seconds + beside * min(share, 1.0)
    seconds = factors["start_s"] + steps * step.seconds + beside
    return GrpoRun(
        setup.rows(PAPER_PROMPTS), epoch, steps, validations, saves, validation, save, epoch_seconds, seconds
    )


def _times(config: DictConfig, key: str, steps: int) -> int:
    """How often something happens that is done every so many steps, and at the end."""
    every = get(config, key, -1)
    return math.ceil(steps / every) if isinstance(every, int) and every > 0 and steps else 0


def _validation(setup: Setup, factors: Factors) -> float | None:
    if not setup.held_out.count:
        return None
    samples = int(get(setup.config, f"{ROLLOUT}.val_kwargs.n", 1))
    rows = taken(setup.config, setup.held_out.count, "val") * samples
    each = int(get(setup.config, f"{ROLLOUT}.n", 1))
    work = rollouts(setup.config, factors, setup.held_out, setup.asked, prompts=math.ceil(rows / each))
    return _generate(setup, factors, work).seconds + rows * factors["rollout_s"]
