"""What a run left nothing of, in words, each with how to have it next time."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sinternal_verl.report.find import Found
from sinternal_verl.report.metrics import VALIDATION
from sinternal_verl.report.run import Rollouts, Steps

MAX_SHOWN = 6
"""How many step numbers a sentence names."""


def lacks_of(
    found: Found,
    steps: Steps,
    begins: tuple[int, ...],
    kind: str,
    config: Mapping[str, Any] | None,
    rollouts: Rollouts | None,
) -> tuple[str, ...]:
    """One sentence for each thing that the run lacks.

    Args:
        steps: those of the metrics files.
        begins: of each start, the step that it goes on from, as the metrics show it.
    """
    lacks = [*_metrics(found, steps, begins)]
    if kind == "grpo":
        lacks += _rollouts(steps, config, rollouts)
    if config is None:
        lacks.append("no configuration: a recipe of ours writes config_<time>.yaml, and Hydra .hydra/config.yaml")
    if not found.record:
        lacks.append("no record of versions, hardware and data: a recipe of ours writes sinternal_run.json")
    return tuple(lacks)


def _metrics(found: Found, steps: Steps, begins: tuple[int, ...]) -> list[str]:
    if not len(steps.numbers):
        where = f"{found.metrics[0]} has no step yet" if found.metrics else "there is no metrics file yet"
        return [f"no metrics: {where}; verl writes one with trainer.logger=[console,file]"]
    lacks = []
    if begins and begins[0] > 0:
        lacks.append(
            f"no metrics of the steps up to {begins[0]}: verl's file logger empties its file at every start; give each "
            "start its own VERL_FILE_LOGGER_PATH"
        )
    first, last = max(int(steps.numbers[0]), 1), int(steps.numbers[-1])
    missing = np.setdiff1d(np.arange(first, last + 1), steps.numbers)
    if len(missing):
        lacks.append(f"no metrics of {_named(missing)}: verl saves a step before it logs it, and was ended in between")
    return lacks


def _rollouts(steps: Steps, config: Mapping[str, Any] | None, rollouts: Rollouts | None) -> list[str]:
    dumped = {
        held_out: np.unique(rollouts.step[rollouts.held_out == held_out]) if rollouts else np.array([], dtype=int)
        for held_out in (False, True)
    }
    trained = steps.numbers[steps.numbers > 0]
    validated = any(name.startswith(VALIDATION) for name in steps.values)
    lacks = []
    for held_out, there, what, key, option in (
        (False, len(trained) > 0, "rollouts", "rollout_data_dir", "--rollouts"),
        (True, validated, "rollouts of validations", "validation_data_dir", "--validation"),
    ):
        if there and not len(dumped[held_out]):
            named = config and config["trainer"].get(key)
            moved = f"trainer.{key}={named} has none; where they were moved, give {option} FOLDER"
            lacks.append(f"no {what}: {moved if named else f'trainer.{key}=/abs/folder writes them'}")
    if len(dumped[False]) and len(missing := np.setdiff1d(trained, dumped[False])):
        lacks.append(f"no rollouts of {_named(missing)}: their files are not there, or empty")
    if len(dumped[False]) and not rollouts.names["source"]:
        lacks.append(
            "no data sources, outcomes, lengths and advantages of rollouts: verl's own dumps do not have them; "
            "trainer.v1.trainer_mode=sinternal writes them"
        )
    return lacks


def _named(steps: np.ndarray) -> str:
    """Steps in words.

    >>> _named(np.array([3])), _named(np.arange(1, 10))
    ('step 3', 'steps 1, 2, 3, 4, 5, 6 and 3 more')
    """
    shown = ", ".join(map(str, steps[:MAX_SHOWN]))
    more = f" and {len(steps) - MAX_SHOWN} more" if len(steps) > MAX_SHOWN else ""
    return f"step{'s' * (len(steps) > 1)} {shown}{more}"
