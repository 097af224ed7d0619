"""`sinternal-verl doctor [hydra overrides...]`: the checks that a run makes when it starts, without the run."""

import sys
from collections.abc import Callable, Sequence

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sinternal_verl.commands.messages import fail, not_composed
from sinternal_verl.config import RECIPE, compose_config, with_defaults
from sinternal_verl.doctor.checks import run_checks
from sinternal_verl.doctor.fits import memory_table
from sinternal_verl.doctor.flash_attn import attention_line
from sinternal_verl.doctor.loss import loss_of_first_row
from sinternal_verl.doctor.placement import placement_table
from sinternal_verl.doctor.problem import Finding, problems_of, report
from sinternal_verl.doctor.settings import ROOT, check_settings


def doctor(overrides: Sequence[str]) -> int:
    """Print the report; return 0 when a run would start, else 2."""
    words = with_defaults(overrides)
    if words != list(overrides):
        print(f"sinternal_verl: no recipe is given, so {RECIPE} is used", flush=True)
    try:
        config = compose_config(words)
    except (HydraException, OmegaConfBaseException) as error:
        misspelt = _misspelt(words)
        return fail(report(misspelt) if misspelt else not_composed(error, words, compose_config))
    found = run_checks(config)
    problems = problems_of(found)
    for table in (placement_table, memory_table, attention_line, loss_of_first_row):
        print(_shown(table, config), end="", flush=True)
    print(report(found), file=sys.stderr if problems else sys.stdout)
    return 2 if problems else 0


def _misspelt(words: Sequence[str]) -> list[Finding]:
    """The problems of words whose keys under ``sinternal`` do not exist: Hydra names only the first of them, and tells
    the user to add it with a plus."""
    added = [f"++{word.lstrip('+')}" if word.lstrip("+").startswith(f"{ROOT}.") else word for word in words]
    try:
        return list(check_settings(compose_config(added)))
    except (HydraException, OmegaConfBaseException):
        return []


def _shown(table: Callable[[DictConfig], str | None], config: DictConfig) -> str:
    """A table with its line end. Where it cannot be made, a line says so, and the report is still shown."""
    try:
        text = table(config)
    except Exception as error:
        return f"sinternal_verl: no {table.__name__}: {type(error).__name__}: {error}\n"
    return f"{text}\n" if text else ""
