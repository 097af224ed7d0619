"""Reads a run: `find_run` says where its files are, and here they become a `Run`."""

import math
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sinternal_verl.report.find import Found, NoRun, find_dumps, find_run, start_time_in
from sinternal_verl.report.lacks import lacks_of
from sinternal_verl.report.lines import Skipped
from sinternal_verl.report.metrics import read_steps
from sinternal_verl.report.rollouts import read_rollouts
from sinternal_verl.report.run import Rollouts, Run, Start, Steps
from sinternal_verl.report.values import as_step
from sinternal_verl.runs.record import LAST_STEP, STARTS
from sinternal_verl.runs.secrets import masked, secrets_of

TEXT_BYTES = 12 * 2**20
"""Bytes of texts in the sample; gzip makes a quarter of them."""

SCORE, HELD_OUT_SCORE = "critic/score/mean", "val-core/score/mean"
"""Curves that dumps alone give."""

FILES_TIME = "%Y%m%d_%H%M%S"
HYDRAS_TIME = "%Y-%m-%d/%H-%M-%S"


def read_run(
    folder: Path,
    *,
    rollouts: Path | None = None,
    validation: Path | None = None,
    text_bytes: int = TEXT_BYTES,
    seed: int = 1,
) -> Run:
    """Read a run, finished or under way.

    Args:
        folder: a run's folder, its metrics file, or a folder of dumps.
        rollouts, validation: folders of dumps, where they are not those of the run's configuration.
        text_bytes: about how many bytes of texts the sample may have.
        seed: of the sample.

    Raises:
        NoRun: there is no run, or there are several.
    """
    skipped = Skipped()
    for given in (rollouts, validation):
        if given is not None and not given.expanduser().is_dir():
            raise NoRun(f"{given}: there is no such folder of dumps")
    found = find_run(folder, skipped)
    steps, begins = read_steps(found.metrics, skipped)
    config = _config(found, skipped)
    kind = _kind(config, found.record, steps)
    training = rollouts or found.training or find_dumps(found, config, "rollout_data_dir", skipped)
    held_out = validation or find_dumps(found, config, "validation_data_dir", skipped)
    dumped = None
    if kind == "grpo":
        dumped = read_rollouts(
            *(one and one.expanduser() for one in (training, held_out)),
            skipped,
            last=int(steps.numbers[-1]) if len(steps.numbers) else None,
            text_bytes=text_bytes,
            seed=seed,
        )
    lacks = lacks_of(found, steps, begins, kind, config, dumped)
    steps = steps if dumped is None else _with_dumps(steps, dumped)
    return Run(
        name=_name(found, config),
        folder=found.folder,
        kind=kind,
        steps=steps,
        starts=_starts(found, begins),
        rollouts=dumped,
        config=config,
        record=found.record,
        skipped=skipped.words(),
        lacks=lacks,
        finished=_finished(found.record, config, steps),
        updated=_updated((*found.metrics, *(dumped.files if dumped else ()))),
    )


def _config(found: Found, skipped: Skipped) -> dict[str, Any] | None:
    """The configuration of the last start, without secrets; what cannot be resolved here stays as it is written."""
    if not found.configs:
        return None
    file = found.configs[-1]
    try:
        loaded = OmegaConf.load(file)
        if not isinstance(loaded, DictConfig):
            raise ValueError("it is no mapping")
        try:
            plain = OmegaConf.to_container(loaded, resolve=True)
        except OmegaConfBaseException:
            plain = OmegaConf.to_container(loaded)
        if not isinstance(plain.get("trainer"), Mapping):
            raise ValueError("it has no trainer")
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        skipped.add(str(file), f"it is no configuration: {str(error).splitlines()[0]}")
        return None
    secrets = secrets_of(plain)
    return {str(key): masked(str(key), value, secrets) for key, value in plain.items()}


def _kind(config: dict[str, Any] | None, record: Mapping[str, Any], steps: Steps) -> str:
    if config:
        return "grpo" if "actor_rollout_ref" in config else "sft"
    identity = record.get("identity")
    if isinstance(identity, Mapping) and identity:
        return "grpo" if any(str(key).startswith("actor_rollout_ref.") for key in identity) else "sft"
    return "sft" if "train/loss" in steps.values or "train/loss" in steps.not_finite else "grpo"


def _name(found: Found, config: Mapping[str, Any] | None) -> str:
    named = config and config["trainer"].get("experiment_name")
    return str(named) if named and "${" not in str(named) else found.folder.name


def _starts(found: Found, begins: tuple[int, ...]) -> tuple[Start, ...]:
    """Those of the record, or else those that the metrics show, with the times of the files where they fit."""
    recorded = found.record.get(STARTS)
    if isinstance(recorded, list):
        told = [one for one in recorded if isinstance(one, Mapping) and one.get("trains", True)]
        starts = [Start(as_step(one.get("from_step")) or 0, _text(one.get("time"))) for one in told]
        # What an earlier start trained beyond a later one's first step is no part of the run's course.
        earliest = [min(start.step for start in starts[place:]) for place in range(len(starts))]
        return tuple(start for start, step in zip(starts, earliest, strict=True) if start.step == step)
    times = [_time_of(file) for file in found.configs]
    if len(times) != len(begins):
        times = times[-1:] if len(begins) == 1 else [None] * len(begins)
    return tuple(Start(step, time) for step, time in zip(begins, times or [None], strict=False))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _time_of(config: Path) -> str | None:
    """When a start wrote its configuration, by the file's name, which has the local time of its machine."""
    name, form = start_time_in(config.name), FILES_TIME
    if name is None:
        name, form = "/".join(config.parts[-4:-2]), HYDRAS_TIME
    try:
        return _iso(datetime.strptime(name, form).astimezone())
    except ValueError:
        return None


def _finished(record: Mapping[str, Any], config: Mapping[str, Any] | None, steps: Steps) -> bool | None:
    planned = config and config["trainer"].get("total_training_steps")
    last = as_step(record.get(LAST_STEP)) or as_step(planned)
    return bool(len(steps.numbers) and steps.numbers[-1] >= last) if last else None


def _updated(files: tuple[Path, ...]) -> str | None:
    times = []
    for file in files:
        try:
            times.append(file.stat().st_mtime)
        except OSError:  # it went away while the run was read
            continue
    return _iso(datetime.fromtimestamp(max(times), timezone.utc)) if times else None


def _iso(time: datetime) -> str:
    return time.astimezone(timezone.utc).isoformat(timespec="seconds")


def _with_dumps(steps: Steps, rollouts: Rollouts) -> Steps:
    """The steps, with those added that left dumps alone; their scores give one curve, under verl's name."""
    numbers = np.union1d(steps.numbers, rollouts.step).astype(np.int64)
    added = ~np.isin(numbers, steps.numbers)
    if not added.any():
        return steps
    values = {name: _spread(numbers, ~added, known) for name, known in steps.values.items()}
    for name, held_out in ((SCORE, False), (HELD_OUT_SCORE, True)):
        own = (rollouts.held_out == held_out) & np.isfinite(rollouts.score)
        place = np.searchsorted(numbers, rollouts.step[own])
        counts = np.bincount(place, minlength=len(numbers))
        sums = np.bincount(place, weights=rollouts.score[own], minlength=len(numbers))
        new = added & (counts > 0)
        if new.any():
            values.setdefault(name, np.full(len(numbers), math.nan))[new] = sums[new] / counts[new]
    return Steps(numbers, values, steps.not_finite)


def _spread(numbers: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A value for each of ``numbers``: those that are known, and NaN elsewhere."""
    spread = np.full(len(numbers), math.nan)
    spread[known] = values
    return spread
