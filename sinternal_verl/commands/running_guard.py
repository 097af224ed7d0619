"""Starts a guard for commands that are no training run: `sinternal-verl score` and `sinternal-verl guard serve`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import ray
from omegaconf import DictConfig, OmegaConf

from sinternal_verl.config import compose_config, main_of, with_defaults
from sinternal_verl.doctor.guard import check_guard
from sinternal_verl.doctor.problem import Problem, problems_of
from sinternal_verl.doctor.settings import check_settings
from sinternal_verl.gpus import REPLICAS, given, gpus_for
from sinternal_verl.guard.errors import GuardUnavailable
from sinternal_verl.guard.replica import end_guard, guard_settings, start_guard


def compose_guard(overrides: Sequence[str], guard: str = "none") -> DictConfig:
    """The configuration of a program without a trainer. The guard may take every GPU; one replica is the default.

    Args:
        overrides: as for verl's main; without a recipe, the GRPO recipe is taken.
        guard: the choice of ``guard=`` where the overrides make none.

    Raises:
        hydra.errors.HydraException: the overrides do not compose.
        ValueError: their recipe has no guard.
    """
    words = with_defaults(overrides, f"guard={guard}")
    if main_of(words) != "grpo":
        raise ValueError("this recipe has no sinternal.guard; give one of verl's GRPO main")
    config = compose_config(words)
    settings = config.sinternal.guard
    if settings.get("backend") == "ray_actor":
        if given(config, REPLICAS) is None:
            settings.replicas = 1
        settings.n_gpus = gpus_for(settings.replicas, settings.num_gpus)
    return config


def find_guard_problems(config: DictConfig, scores: bool = True) -> list[Problem]:
    """The problems of keys and times under ``sinternal``, and those that `check_guard` finds. ``guard=verl_router`` is
    one, because only a trainer can start it.

    Args:
        scores: whether the command scores samples.
    """
    backend = config.sinternal.guard.get("backend")
    if backend == "verl_router":
        step = "choose guard=ray_actor or guard=openai_endpoint"
        return [Problem("sinternal.guard.backend", backend, "only a training run starts verl's servers", step)]
    return problems_of([*check_settings(config, scores), *check_guard(config)])


@contextmanager
def running_guard(config: DictConfig) -> Iterator[None]:
    """Run Ray and the replicas of ``guard=ray_actor`` while the block runs; other guards need nothing started.

    Raises:
        GuardUnavailable: the replicas do not start.
    """
    guard = config.sinternal.guard
    if guard.get("backend") != "ray_actor":
        yield
        return
    ray.init(**OmegaConf.to_container(config.ray_kwargs.ray_init, resolve=True), log_to_driver=False)
    try:
        there, wanted = ray.cluster_resources().get("GPU", 0), guard.replicas * guard.num_gpus
        if wanted > there:
            step = "lower sinternal.guard.replicas or num_gpus, or take hardware=cpu"
            raise GuardUnavailable(f"the replicas need {wanted:g} GPUs and Ray has {there:g}: {step}")
        replicas = start_guard(guard_settings(OmegaConf.to_container(guard, resolve=True)))
        try:
            yield
        finally:
            end_guard(replicas)
    finally:
        ray.shutdown()
