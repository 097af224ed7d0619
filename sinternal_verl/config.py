"""Composes a configuration as verl's own mains do, and knows the keys under which each main keeps a value."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

MAINS = {"grpo": "ppo_trainer", "sft": "sft_trainer_engine"}
"""verl's mains -> the name of the configuration that each starts from."""

FSDP = ("fsdp", "fsdp2")
"""verl's engines that take models of transformers unchanged."""

RECIPE_GROUP = "recipe"
RECIPE = f"+{RECIPE_GROUP}=sinternal_grpo"
"""The default where no recipe is given."""


def with_defaults(overrides: Sequence[str], *defaults: str) -> list[str]:
    """`RECIPE` and ``defaults``, without those whose keys the overrides give, and then the overrides.

    >>> with_defaults(["guard=ray_actor"], "guard=none")
    ['+recipe=sinternal_grpo', 'guard=ray_actor']
    >>> with_defaults(["+recipe=mine"], "guard=none")
    ['guard=none', '+recipe=mine']
    """
    given = {_key(override) for override in overrides}
    return [*(default for default in (RECIPE, *defaults) if _key(default) not in given), *overrides]


def compose_config(overrides: Sequence[str]) -> DictConfig:
    """Compose the overrides as verl's own main would.

    Raises:
        hydra.errors.HydraException: an override's key or a recipe does not exist.
    """
    return _compose(MAINS[main_of(overrides)], overrides)


def compose_main(overrides: Sequence[str]) -> DictConfig:
    """As `compose_config`; without a recipe, `RECIPE` is taken."""
    return compose_config(with_defaults(overrides))


def main_of(overrides: Sequence[str]) -> str:
    """The key of `MAINS` whose configuration the recipe is for, whatever the recipe and the other words are called.

    The recipe is composed with each main's own configuration. Where it is for another main, it brings keys that this
    configuration does not have, such as ``actor_rollout_ref`` in the SFT main's; so do the keys of the overrides.

    >>> main_of(["+recipe=sinternal_sft_cpu"]), main_of(["+recipe=sinternal_grpo", "trainer.project_name=sft"])
    ('sft', 'grpo')

    Raises:
        hydra.errors.HydraException: the recipe does not compose with the configuration of any main.
    """
    choices = tuple(word for word in overrides if _key(word) == RECIPE_GROUP or _key(word).startswith("hydra."))
    nodes = {_key(word).partition(".")[0] for word in overrides}
    foreign, failed = {}, None
    for main, name in MAINS.items():
        try:
            foreign[main] = len((_nodes(name, choices) | nodes) - _nodes(name))
        except HydraException as error:
            failed = failed or error
    if not foreign:
        raise failed
    return min(foreign, key=foreign.__getitem__)


@cache
def _nodes(name: str, overrides: tuple[str, ...] = ()) -> frozenset[str]:
    """The top-level keys of a configuration of verl's with these overrides."""
    return frozenset(_compose(name, overrides))


def _compose(name: str, overrides: Sequence[str]) -> DictConfig:
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose(name, overrides=list(overrides))


def _key(override: str) -> str:
    return override.lstrip("+").partition("=")[0]


def get(config: DictConfig, key: str, default: Any = None) -> Any:
    """The value at a dotted ``key``; ``default`` when it is absent, null or still ``???``."""
    value = OmegaConf.select(config, key, throw_on_missing=False)
    return default if value is None or value == "???" else value


def sequence_parallel_size(config: DictConfig) -> int:
    """Number of Ulysses processes that share one sequence in the GRPO main; verl still reads the older key, too."""
    actor = "actor_rollout_ref.actor"
    keys = (f"{actor}.fsdp_config.ulysses_sequence_parallel_size", f"{actor}.ulysses_sequence_parallel_size")
    return max(get(config, key, 1) for key in keys)


def is_ppo(config: DictConfig) -> bool:
    """True for the configuration of verl's GRPO/PPO main, False for that of its SFT main."""
    return "actor_rollout_ref" in config


def model_key(config: DictConfig) -> str:
    """The key under which the main's model is configured."""
    return "actor_rollout_ref.model" if is_ppo(config) else "model"


def engine_key(config: DictConfig) -> str:
    """The key under which the main's FSDP engine is configured."""
    return "actor_rollout_ref.actor.fsdp_config" if is_ppo(config) else "engine"


def strategy_key(config: DictConfig) -> str:
    """The key that chooses the main's training engine."""
    return "actor_rollout_ref.actor.strategy" if is_ppo(config) else "engine.strategy"


def trains_with_fsdp(config: DictConfig) -> bool:
    """Whether the run trains on an accelerator with either version of verl's FSDP engine."""
    return get(config, "trainer.device", "cuda") != "cpu" and get(config, strategy_key(config), "fsdp") in FSDP
