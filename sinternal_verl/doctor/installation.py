"""Is the plugin active in this environment? verl hides a plugin that fails to load."""

import os
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points

import torch
from omegaconf import DictConfig

from sinternal_verl.config import get, is_ppo, model_key, strategy_key
from sinternal_verl.doctor.machine import has_gpu
from sinternal_verl.doctor.problem import Problem

CPU_ENVIRONMENT = "make an environment of the CPU's versions (make install, docs/cpu.md), or start where a GPU is"
REINSTALL = "reinstall the package in this environment: pip install -e . (or the wheel)"


def check_installation(config: DictConfig) -> Iterator[Problem]:
    """Check the search path, verl's and vLLM's entry points, and the device that verl will use."""
    if isinstance(config.get("recipe"), str):
        yield Problem(
            "recipe",
            config.recipe,
            "Hydra took +recipe as a plain key: our search path is not active, verl would train its defaults",
            REINSTALL,
        )
    yield from _entry_point("verl.plugins", "sinternal_verl", "VERL_USE_EXTERNAL_PLUGINS", "auto")
    if get(config, "trainer.device") == "cpu" and is_ppo(config):  # elsewhere this entry point does nothing
        yield from _entry_point("vllm.general_plugins", "sinternal_verl_cpu", "VLLM_PLUGINS", None)
    if "verl" in sys.modules and "sinternal_verl.plugin" not in sys.modules:
        yield Problem("verl.plugins", "sinternal_verl", "verl did not load the plugin", _why_not_loaded())
    for name, why in getattr(sys.modules.get("sinternal_verl.plugin"), "UNFIT", {}).items():
        step = "install the versions that were tried: verl 0.9.1"
        yield Problem(
            name, None, f"it does not fit the installed verl, and the run would go on without it: {why}", step
        )
    yield from _device(config)
    yield from _engine(config)


def _entry_point(group: str, name: str, variable: str, everything: str | None) -> Iterator[Problem]:
    if name not in {entry_point.name for entry_point in entry_points(group=group)}:
        yield Problem(group, name, "this entry point is not installed", REINSTALL)
    allowed = os.environ.get(variable)
    if allowed is not None and allowed != everything and name not in allowed.split(","):
        yield Problem(variable, allowed, f"shuts out the entry point {name}", f"unset {variable} or add {name} to it")


def _why_not_loaded() -> str:
    try:
        import sinternal_verl.plugin  # noqa: F401
    except ImportError as error:
        return f"importing sinternal_verl.plugin fails: {error}"
    return "check VERL_USE_EXTERNAL_PLUGINS"


def _device(config: DictConfig) -> Iterator[Problem]:
    from verl.utils.device import get_device_name

    wanted, found = get(config, "trainer.device", "cuda"), get_device_name()
    if wanted == "cpu" != found and torch.cuda.is_available():
        step = "use the GPU recipe, or export VERL_PLATFORM=cpu to train on the CPU all the same"
        yield Problem("trainer.device", wanted, f"verl found an accelerator and would switch to {found}", step)
    elif wanted == "cpu" != found:
        reason, step = f"this is the installation for GPUs: verl would switch to {found}", "export VERL_PLATFORM=cpu"
        if is_ppo(config):
            reason, step = f"{reason}, and its vLLM runs on no CPU", CPU_ENVIRONMENT
        yield Problem("trainer.device", wanted, reason, step)
    # From one accelerator to another verl switches by itself.
    elif found == "cpu" != wanted:
        # Where there is a GPU, `versions` says why verl does not find it.
        step = (
            "install a torch that finds it" if has_gpu() else "use a recipe that ends in _cpu, or a machine with a GPU"
        )
        yield Problem("trainer.device", wanted, f"verl found no such device here, but {found}", step)


def _engine(config: DictConfig) -> Iterator[Problem]:
    """verl gives FSDP1 ``sync_module_states``, by which torch refuses modules on a CPU. (verl 0.9.1, torch 2.11 and
    2.13) A library of the user's may bring another engine."""
    key, on_cpu = strategy_key(config), get(config, "trainer.device") == "cpu"
    if on_cpu and get(config, key, "fsdp") == "fsdp" and not get(config, f"{model_key(config)}.external_lib"):
        reason = "FSDP1 of verl takes no model on a CPU: the run would end when the model is made"
        yield Problem(key, "fsdp", reason, f"{key}=fsdp2")
