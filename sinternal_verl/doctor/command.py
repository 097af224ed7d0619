"""`sinternal-verl doctor [hydra overrides...]`: the same checks, without starting anything."""

import sys
from collections.abc import Callable, Sequence

from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sinternal_verl.doctor.checks import run_checks
from sinternal_verl.doctor.fits import memory_table
from sinternal_verl.doctor.flash_attn import attention_line
from sinternal_verl.doctor.placement import placement_table
from sinternal_verl.doctor.problem import problems_of, report

MAINS = {"grpo": "ppo_trainer", "sft": "sft_trainer_engine"}
"""verl's mains and the name of the configuration each starts from."""

RECIPE = "+recipe=sinternal_grpo"
"""What is meant where no recipe is given."""


def with_defaults(overrides: Sequence[str], *defaults: str) -> list[str]:
    """`RECIPE` and ``defaults``, less those whose keys are given, then the overrides.

    >>> with_defaults(["guard=ray_actor"], "guard=none")
    ['+recipe=sinternal_grpo', 'guard=ray_actor']
    >>> with_defaults(["+recipe=mine"], "guard=none")
    ['guard=none', '+recipe=mine']
    """
    given = {_key(override) for override in overrides}
    return [*(default for default in (RECIPE, *defaults) if _key(default) not in given), *overrides]


def compose_config(overrides: list[str]) -> DictConfig:
    """Compose the overrides as verl's own main would.

    Raises:
        hydra.errors.HydraException: an override or a recipe that does not exist.
    """
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose(MAINS[main_of(overrides)], overrides=overrides)


def main_of(overrides: Sequence[str]) -> str:
    """The key of `MAINS`: ``+recipe=…sft…`` means verl's SFT main.

    >>> main_of(["+recipe=sinternal_sft_cpu"]), main_of(["data.seed=1"])
    ('sft', 'grpo')
    """
    return "sft" if any(_key(o) == "recipe" and "sft" in o for o in overrides) else "grpo"


def _key(override: str) -> str:
    return override.lstrip("+").partition("=")[0]


def doctor(overrides: list[str]) -> int:
    """Print the report; return 0 when a run would start, else 2."""
    words = with_defaults(overrides)
    if words != overrides:
        print(f"sinternal_verl: no recipe is given; {RECIPE} is meant", flush=True)
    try:
        config = compose_config(words)
    except (HydraException, OmegaConfBaseException) as error:
        print(f"sinternal_verl: the overrides do not compose.\n{error}", file=sys.stderr)
        return 2
    found = run_checks(config)
    problems = problems_of(found)
    for table in (placement_table, memory_table, attention_line):
        print(_shown(table, config), end="", flush=True)
    print(report(found), file=sys.stderr if problems else sys.stdout)
    return 2 if problems else 0


def _shown(table: Callable[[DictConfig], str | None], config: DictConfig) -> str:
    """A table and its line end; what keeps one from being made is in the report already, which must be shown."""
    try:
        text = table(config)
    except Exception as error:
        return f"sinternal_verl: no {table.__name__}: {type(error).__name__}: {error}\n"
    return f"{text}\n" if text else ""
