"""What a check returns. A check never raises for a bad configuration: it yields problems, so that
all of them can be shown at once. What is doubtful and does not stop a run is a note."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

FSDP = ("fsdp", "fsdp2")
"""verl's engines for models of transformers as they are."""


@dataclass(frozen=True)
class Finding:
    """One thing that a check has found.

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


class Problem(Finding):
    """It would make the run fail or lie: the run does not start."""


class Note(Finding):
    """A warning: the run starts all the same."""


def problems_of(findings: Iterable[Finding]) -> list[Problem]:
    """Those that keep a run from starting."""
    return [finding for finding in findings if isinstance(finding, Problem)]


def report(findings: Sequence[Finding]) -> str:
    """All problems as one numbered text, then the notes; a line that says so when there are no problems."""
    problems = problems_of(findings)
    notes = [finding for finding in findings if not isinstance(finding, Problem)]
    lines = ["sinternal_verl: all checks passed"]
    if problems:
        lines = [f"sinternal_verl: {_count(problems, 'problem')} in the configuration; no model was loaded."]
        lines += [f"{number:3}. {problem}" for number, problem in enumerate(problems, 1)]
    if notes:
        stop = "which alone would not stop the run" if problems else "the run starts all the same"
        lines += [f"sinternal_verl: {_count(notes, 'warning')}, {stop}.", *(f"  *  {note}" for note in notes)]
    return "\n".join(lines)


def _count(findings: Sequence[Finding], word: str) -> str:
    return f"1 {word}" if len(findings) == 1 else f"{len(findings)} {word}s"


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


def model_key(config: DictConfig) -> str:
    """Where the main's model is configured."""
    return "actor_rollout_ref.model" if is_ppo(config) else "model"


def engine_key(config: DictConfig) -> str:
    """Where the main's FSDP engine is configured."""
    return "actor_rollout_ref.actor.fsdp_config" if is_ppo(config) else "engine"


def strategy_key(config: DictConfig) -> str:
    """Where the main's training engine is chosen."""
    return "actor_rollout_ref.actor.strategy" if is_ppo(config) else "engine.strategy"


def trains_with_fsdp(config: DictConfig) -> bool:
    """With either version of verl's FSDP engine, on an accelerator."""
    return get(config, "trainer.device", "cuda") != "cpu" and get(config, strategy_key(config), "fsdp") in FSDP
