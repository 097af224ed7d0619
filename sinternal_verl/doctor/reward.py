"""Is the reward importable? verl finds out only after the models have loaded."""

from collections.abc import Iterator

from omegaconf import DictConfig

from sinternal_verl.doctor.problem import Problem, get


def check_reward(config: DictConfig) -> Iterator[Problem]:
    """The reward function's file and name, and the reward manager's."""
    yield from _function(config)
    yield from _manager(config)


def _function(config: DictConfig) -> Iterator[Problem]:
    key = "reward.custom_reward_function"
    path, name = get(config, f"{key}.path"), get(config, f"{key}.name", "compute_score")
    if path:
        yield from _importable(f"{key}.path", path, f"{key}.name", name)


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
            yield from _importable(f"{key}.module.path", path, f"{key}.name", name)
    elif source == "register":
        from verl.experimental.reward_loop.reward_manager.registry import REWARD_MANAGER

        if name not in REWARD_MANAGER:
            known = ", ".join(sorted(REWARD_MANAGER))
            yield Problem(
                f"{key}.name", name, "no reward manager of this name is registered", f"choose one of: {known}"
            )
    else:
        yield Problem(f"{key}.source", source, "verl knows the sources register and importlib", "choose one of the two")


def _importable(path_key: str, path: str, name_key: str, name: str) -> Iterator[Problem]:
    from verl.utils.import_utils import load_module

    try:
        module = load_module(path)
    # The module is the user's code: whatever it raises is what the user has to see.
    except Exception as error:
        step = "give an existing file, or pkg://package.module"
        yield Problem(path_key, path, f"cannot be imported: {type(error).__name__}: {error}", step)
        return
    if not callable(getattr(module, name, None)):
        functions = ", ".join(n for n in vars(module) if callable(getattr(module, n)) and not n.startswith("_"))
        yield Problem(
            name_key, name, f"{path} has no callable of this name", f"choose one of: {functions or 'none there'}"
        )
