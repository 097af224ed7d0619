"""Are numbers valid, and are names known to verl? verl finds out after the models have loaded, or never."""

import importlib.util
from collections.abc import Iterator
from numbers import Real

from omegaconf import DictConfig, OmegaConf

from sinternal_verl.config import get, is_ppo
from sinternal_verl.doctor.problem import Problem
from sinternal_verl.overrides import override, shell_line

COUNTS = {
    True: (
        "data.train_batch_size",
        "data.max_prompt_length",
        "data.max_response_length",
        "actor_rollout_ref.actor.ppo_mini_batch_size",
        "actor_rollout_ref.rollout.n",
        "actor_rollout_ref.rollout.tensor_model_parallel_size",
        "trainer.nnodes",
        "trainer.total_epochs",
    ),
    False: ("data.train_batch_size", "data.max_length", "trainer.total_epochs"),
}
"""Keys that take whole numbers from 1, for verl's GRPO main (True) and its SFT main (False)."""

RATES = {True: ("actor_rollout_ref.actor.optim.lr",), False: ("optim.lr",)}
"""Keys that take numbers above 0."""

SHARES = ("actor_rollout_ref.rollout.gpu_memory_utilization", "sinternal.guard.engine.gpu_memory_utilization")
"""Keys that take numbers above 0 and up to 1."""

DUMPS = ("trainer.rollout_data_dir", "trainer.validation_data_dir")
"""Folders in which verl names each file by its step."""

PATHS = (
    *("actor_rollout_ref.model.path", "model.path", "sinternal.guard.engine.model"),
    *("data.train_files", "data.val_files", "trainer.default_local_dir", *DUMPS),
)
"""Keys that take paths, which Hydra reads as numbers where they look like one."""

ESTIMATOR, ENGINE = "algorithm.adv_estimator", "actor_rollout_ref.rollout.name"


def check_values(config: DictConfig) -> Iterator[Problem]:
    """Check counts, rates and shares, the advantage estimator and the rollout engine."""
    yield from check_numbers(config)
    if is_ppo(config):
        yield from _names(config)


def check_numbers(config: DictConfig) -> Iterator[Problem]:
    """Check counts, rates and shares, and paths that Hydra has read as numbers; this imports nothing of verl's."""
    main = is_ppo(config)
    for key in COUNTS[main]:
        value = OmegaConf.select(config, key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            yield Problem(key, value, "this must be a whole number, 1 or more", "correct the value")
    for key, highest, what in (
        *((key, None, "a number above 0") for key in RATES[main]),
        *((key, 1, "a share, above 0 and at most 1") for key in SHARES),
    ):
        value = get(config, key)
        number = isinstance(value, Real) and not isinstance(value, bool)
        if value is not None and not (number and value > 0 and (highest is None or value <= highest)):
            yield Problem(key, value, f"this must be {what}", "correct the value")
    for key in PATHS:
        value = get(config, key)
        if isinstance(value, bool | Real):
            step = f"quote it, for Hydra and for the shell: {shell_line(override(key, str(value)))}"
            yield Problem(key, value, "this must be a path, and Hydra has read it as another value", step)
    if main and get(config, ESTIMATOR) == "grpo" and get(config, "actor_rollout_ref.rollout.n") == 1:
        step = "set it to 2 or more; the paper's is 8"
        yield Problem("actor_rollout_ref.rollout.n", 1, "GRPO compares the responses to one prompt", step)


def _names(config: DictConfig) -> Iterator[Problem]:
    from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY

    training, validation = (get(config, key) for key in DUMPS)
    if training and training == validation:
        reason = "training and validation dump to files of the same names, so one of the two would be lost"
        yield Problem(DUMPS[1], validation, reason, "give each a folder of its own")
    estimator, engine = get(config, ESTIMATOR), get(config, ENGINE)
    if estimator not in ADV_ESTIMATOR_REGISTRY:
        known = ", ".join(sorted(ADV_ESTIMATOR_REGISTRY))
        yield Problem(ESTIMATOR, estimator, "verl has no such estimator", f"choose one of {known}")
    if engine == "sglang" and importlib.util.find_spec(engine) is None:
        yield Problem(ENGINE, engine, "it is not installed", "take vllm, or install it")
