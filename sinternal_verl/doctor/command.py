"""`sinternal-verl doctor [hydra overrides...]`: the same checks, without starting anything."""

import sys
from collections.abc import Sequence

from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sinternal_verl.doctor.checks import run_checks
from sinternal_verl.doctor.fits import memory_table
from sinternal_verl.doctor.problem import problems_of, report

MAINS = {"grpo": "ppo_trainer", "sft": "sft_trainer_engine"}
"""verl's mains and the name of the configuration each starts from."""

DEFAULTS = ("+recipe=sinternal_grpo", "hardware=1gpu_7b")
"""Overrides where none of their keys is given: scorers and guard are the same on all hardware."""


def with_defaults(overrides: Sequence[str], *defaults: str) -> list[str]:
    """``defaults`` whose keys are not given, then the overrides; `DEFAULTS` where there is no recipe.

    >>> with_defaults(["guard=ray_actor"], "guard=none")
    ['+recipe=sinternal_grpo', 'hardware=1gpu_7b', 'guard=ray_actor']
    >>> with_defaults(["+recipe=mine"], "guard=none")
    ['guard=none', '+recipe=mine']
    """
    given = {_key(override) for override in overrides}
    wanted = [*(DEFAULTS if "recipe" not in given else ()), *defaults]
    return [*(default for default in wanted if _key(default) not in given), *overrides]


def compose_config(overrides: list[str]) -> DictConfig:
    """Compose the overrides as verl's own main would; ``+recipe=…sft…`` means its SFT main.

    Raises:
        hydra.errors.HydraException: an override or a recipe that does not exist.
    """
    main = "sft" if any(o.lstrip("+").startswith("recipe=") and "sft" in o for o in overrides) else "grpo"
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose(MAINS[main], overrides=overrides)


def _key(override: str) -> str:
    return override.lstrip("+").partition("=")[0]


def doctor(overrides: list[str]) -> int:
    """Print the report; return 0 when a run would start, else 2."""
    try:
        config = compose_config(overrides)
    except (HydraException, OmegaConfBaseException) as error:
        print(f"sinternal_verl: the overrides do not compose.\n{error}", file=sys.stderr)
        return 2
    found = run_checks(config)
    problems = problems_of(found)
    print(report(found), file=sys.stderr if problems else sys.stdout)
    if needed := memory_table(config):
        print(needed)
    return 2 if problems else 0
