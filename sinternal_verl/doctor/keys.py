"""Are required values missing, and are keys set that verl accepts and ignores?"""

from collections.abc import Iterator

from omegaconf import DictConfig

from sinternal_verl.config import get, is_ppo
from sinternal_verl.doctor.problem import Problem

DEAD_KEYS = {
    "custom_reward_function": "reward.custom_reward_function",
    "reward_model": "reward.reward_model (the manager: reward.reward_manager)",
    "sandbox_fusion": "reward.sandbox_fusion",
}
"""Top-level legacy nodes of verl 0.9.1 and the live key of each. verl's documentation still shows them."""


REQUIRED = {
    True: ("actor_rollout_ref.model.path", "data.train_files", "data.val_files", "actor_rollout_ref.rollout.name"),
    False: ("model.path", "data.train_files"),
}
"""Keys without a default, for the GRPO main (True) and the SFT main (False)."""


def check_missing(config: DictConfig) -> Iterator[Problem]:
    """Find every required value that is null or still ``???``."""
    for key in REQUIRED[is_ppo(config)]:
        if get(config, key) is None:
            yield Problem(key, "null", "this value has no default", f"add {key}=... to the command")


def check_dead_keys(config: DictConfig) -> Iterator[Problem]:
    """Find legacy reward keys that are set: verl would ignore them without a message."""
    for node, live in DEAD_KEYS.items():
        for path, value in _set_leaves(config.get(node), node):
            yield Problem(path, value, "verl accepts this key and ignores it", f"use {live}")


def check_use_v1(config: DictConfig) -> Iterator[Problem]:
    """Refuse the legacy trainer, which has none of the hooks that we use."""
    if not get(config, "trainer.use_v1", False):
        yield Problem(
            "trainer.use_v1",
            "false",
            "the legacy trainer knows none of our hooks",
            "remove the override (default: true)",
        )


def _set_leaves(node, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(node, DictConfig):
        for name in node:
            yield from _set_leaves(node[name], f"{path}.{name}")
    elif node is not None:
        yield path, node
