"""Can the reward function and the reward manager be imported? verl finds out only after the models have loaded."""

from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf

from sinternal_verl.config import get
from sinternal_verl.doctor.imports import check_importable
from sinternal_verl.doctor.problem import Problem
from sinternal_verl.doctor.scorers import uses_our_manager

OURS = "pkg://sinternal_verl.reward_fns.boxed_math"
JUDGED = ("pkg://sinternal_verl.reward_fns.safety", "pkg://sinternal_verl.reward_fns.mixed")
OWN = "pkg://verl.utils.reward_score with reward.custom_reward_function.name=default_compute_score"


def check_reward(config: DictConfig) -> Iterator[Problem]:
    """Check file and name of the reward function, and of the reward manager."""
    yield from _function(config)
    yield from _manager(config)


def _function(config: DictConfig) -> Iterator[Problem]:
    key = "reward.custom_reward_function"
    path, name = get(config, f"{key}.path"), get(config, f"{key}.name", "compute_score")
    if path:
        yield from check_importable(f"{key}.path", path, f"{key}.name", name)
        if path == OURS:
            yield from _settings(f"{key}.reward_kwargs", dict(get(config, f"{key}.reward_kwargs", {})))
        elif path in JUDGED:
            yield from _judged(f"{key}.reward_kwargs", config)
        return
    settings = dict(get(config, f"{key}.reward_kwargs", {}))
    if settings:
        step = f"give {key}.path, or set them at the scorer: sinternal.scorers.boxed_math.mode=literal"
        yield Problem(f"{key}.reward_kwargs", settings, "settings of a function that is not configured", step)
    if uses_our_manager(config) or get(config, "reward.reward_model.enable"):
        return
    if get(config, "reward.reward_manager.source", "register") == "register":
        reason = "verl's built-in rewards would raise for every data_source they do not know, and drop the sample"
        step = f"{key}.path={OURS}, or say that you want verl's own: {OWN}"
        yield Problem(f"{key}.path", "null", reason, step)


def _settings(key: str, settings: dict) -> Iterator[Problem]:
    from sinternal_verl.reward_fns.boxed_math import compute_score

    try:
        compute_score("check", r"</think>\boxed{1}", "2", **settings)
    except (ValueError, TypeError, ImportError) as error:
        yield Problem(key, settings, str(error), "correct it: verl would drop every sample of the run")


def _judged(key: str, config: DictConfig) -> Iterator[Problem]:
    """Check that our safety function can ask its guard. If it cannot, verl would drop every sample of the run."""
    from sinternal_verl.scoring.safety import SafetyScorer

    settings = OmegaConf.to_container(OmegaConf.create(get(config, key, {}) or {}), resolve=False)
    guard = get(config, f"{key}.guard")
    chosen = {name: settings[name] for name in ("judged", "strictness", "thought") if name in settings}
    try:
        SafetyScorer(guard, **chosen)
    except ValueError as error:
        give = f"choose guard=openai_endpoint, and add '+{key}.guard=${{sinternal.guard}}'"
        yield Problem(
            key, settings, str(error), "correct it: verl would drop every sample of the run" if guard else give
        )
        return
    for name in ("url", "engine.model"):
        if guard.get("backend") == "openai_endpoint" and not OmegaConf.select(guard, name):
            yield Problem(f"{key}.guard.{name}", "null", "this value has no default", "give it")
    boxed = {name: settings[name] for name in ("mode", "thought") if name in settings}
    yield from _settings(key, boxed)


def _manager(config: DictConfig) -> Iterator[Problem]:
    key = "reward.reward_manager"
    source, name = get(config, f"{key}.source", "register"), get(config, f"{key}.name", "naive")
    if source == "importlib":
        path = get(config, f"{key}.module.path")
        if not path:
            yield Problem(
                f"{key}.module.path", "null", f"needed by {key}.source=importlib", "give pkg://module or a file"
            )
        else:
            yield from check_importable(f"{key}.module.path", path, f"{key}.name", name)
    elif source == "register":
        from verl.experimental.reward_loop.reward_manager.registry import REWARD_MANAGER

        if name not in REWARD_MANAGER:
            known = ", ".join(sorted(REWARD_MANAGER))
            yield Problem(
                f"{key}.name", name, "no reward manager of this name is registered", f"choose one of: {known}"
            )
    else:
        yield Problem(f"{key}.source", source, "verl knows the sources register and importlib", "choose one of the two")
