"""How long the guard takes for a step's judgements, and how many replicas keep up with the rollouts."""

import math
from dataclasses import dataclass

from omegaconf import DictConfig

from sinternal_verl.config import get
from sinternal_verl.doctor.memory import ModelSize
from sinternal_verl.gpus import GUARD, REPLICAS
from sinternal_verl.plan.cards import Card
from sinternal_verl.plan.factors import Factors
from sinternal_verl.plan.generation import Engine

GUARDS = ("Qwen/Qwen3Guard-Gen-0.6B", "Qwen/Qwen3Guard-Gen-4B", "Qwen/Qwen3Guard-Gen-8B")
BUSY = 0.7
"""Share of the time in which a replica may be busy, so that judgements do not queue."""

TOGETHER = 64
"""Judgements that a replica decodes together."""

DECODED = 20
"""Tokens of the three lines that the guard writes in decode mode."""


@dataclass(frozen=True)
class Guard:
    """One replica of a guard on its share of a card.

    Attributes:
        share: cards of a replica; a part of a card has that part of its speed.
        decodes: whether the mode is ``decode``.
    """

    size: ModelSize
    card: Card
    factors: Factors
    share: float = 1.0
    decodes: bool = False

    def judgement_s(self, prompt: float, answer: float) -> float:
        """Seconds of a replica's time for one judgement: its prompt is read, and the first token is the label. The
        template and the user's text are in the prefix cache for all rollouts of a prompt but the first."""
        engine = Engine(self.size, self.card, self.factors)
        text = self.factors["template_tokens"] + prompt + answer
        seconds = engine.prefill_s(answer, text) + self.factors["judgement_s"]
        if self.decodes:
            seconds += DECODED * engine.step_s(TOGETHER, TOGETHER * text) / TOGETHER
        return seconds / min(self.share or 1.0, 1.0)

    def replicas(self, judgements: int, seconds: float, prompt: float, answer: float) -> int:
        """Replicas that judge so many rollouts while others are generated for so many seconds."""
        return max(1, math.ceil(judgements * self.judgement_s(prompt, answer) / (BUSY * max(seconds, 1e-9))))


def guard_path(config: DictConfig) -> str | None:
    """The guard's model, where the run has its guard on its own cards."""
    own = get(config, "sinternal.guard.backend") in ("ray_actor", "verl_router")
    return get(config, "sinternal.guard.engine.model") if own else None


def replicas_of(config: DictConfig) -> int:
    """Replicas of the run's own guard: ours, or the servers of verl's reward model."""
    if get(config, "sinternal.guard.backend") == "verl_router":
        each = int(get(config, "reward.reward_model.rollout.tensor_model_parallel_size", 1))
        return max(int(get(config, GUARD, 0)) // each, 1)
    return max(int(get(config, REPLICAS, 1)), 1)
