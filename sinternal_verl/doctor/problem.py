"""What a check returns. A check never raises for a bad configuration: it yields problems, so that
all of them can be shown at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf


@dataclass(frozen=True)
class Problem:
    """One thing that would make the run fail or lie.

    Attributes:
        key: the Hydra key, environment variable or file it is about.
        value: the offending value, shown as it is; None shows nothing.
        reason: what is wrong, a sentence without a full stop.
        next_step: what the user can type or change.
    """

    key: str
    value: Any
    reason: str
    next_step: str

    def __str__(self) -> str:
        head = self.key if self.value is None else f"{self.key} = {self.value}"
        return f"{head}\n     {self.reason}\n     -> {self.next_step}"


def report(problems: Sequence[Problem]) -> str:
    """All problems as one numbered text; a line that says so when there are none."""
    if not problems:
        return "sinternal_verl: all checks passed"
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    numbered = [f"{number:3}. {problem}" for number, problem in enumerate(problems, 1)]
    return "\n".join([f"sinternal_verl: {count} in the configuration; no model was loaded.", *numbered])


def get(config: DictConfig, key: str, default: Any = None) -> Any:
    """The value at a dotted ``key``; ``default`` when it is absent, null or still ``???``."""
    value = OmegaConf.select(config, key, throw_on_missing=False)
    return default if value is None or value == "???" else value


def sequence_parallel_size(config: DictConfig) -> int:
    """Ulysses processes that share one sequence in the GRPO main; verl still reads the older key too."""
    actor = "actor_rollout_ref.actor"
    keys = (f"{actor}.fsdp_config.ulysses_sequence_parallel_size", f"{actor}.ulysses_sequence_parallel_size")
    return max(get(config, key, 1) for key in keys)


def is_ppo(config: DictConfig) -> bool:
    """True for the configuration of verl's GRPO/PPO main, False for that of its SFT main."""
    return "actor_rollout_ref" in config
