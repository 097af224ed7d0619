"""Which files a run has left, in the folder that is given or near it.

=====================  ==========================================================================================
left by                files
=====================  ==========================================================================================
our GRPO main          ``sinternal_run.json``, ``metrics.jsonl``, ``config_<time>.yaml``, dumps below the same folder
our SFT main           the same, with ``metrics_<time>.jsonl`` for each start
verl's ``file`` logger ``<project>/<experiment>.jsonl`` below the working directory or ``VERL_FILE_LOGGER_ROOT``, or
                       what ``VERL_FILE_LOGGER_PATH`` names (verl 0.9.1)
Hydra                  ``outputs/<day>/<time>/.hydra/config.yaml`` below the working directory
verl's dumps           ``<step>.jsonl`` in ``trainer.rollout_data_dir`` and ``trainer.validation_data_dir``
=====================  ==========================================================================================
"""

import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from sinternal_verl.report.dumps import is_dump
from sinternal_verl.report.folders import MAX_ENTRIES, MAX_PARENTS, files_below, folders_below, moved
from sinternal_verl.report.lines import BOM, Skipped, open_lines, parse
from sinternal_verl.runs.record import METRICS, RECORD, read_record
from sinternal_verl.training.metrics_file import METRICS_FILE

MAX_CONFIGS = 50
"""How many of Hydra's configurations are looked at, the newest ones."""

HYDRAS_CONFIG = ".hydra/config.yaml"

MAX_PROBE_BYTES, MAX_PROBE_LINES = 2**20, 20
"""How much of a file is read to know what it is: others may have lines without an end."""

MAX_NAMED = 8
"""How many of the things found a message names."""

_TIME = re.compile(r"_(\d{8}_\d{6})(?=\.|$)")
_NO_METRICS = re.compile(r"\d+\.jsonl(\.gz)?|.*\.superseded\.jsonl")


class NoRun(ValueError):
    """There is no run in a folder, or more than one; the text says what was looked for and found."""


@dataclass
class Found:
    """The files of one run.

    Attributes:
        folder: the run's own.
        metrics: in the order of the starts; empty where there are dumps alone.
        record: what `sinternal_verl.runs.record` has written.
        configs: the configuration of each start, as far as there is one, in their order.
        training, validation: folders of dumps; None where there are none.
    """

    folder: Path
    metrics: tuple[Path, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)
    configs: tuple[Path, ...] = ()
    training: Path | None = None
    validation: Path | None = None


def find_run(place: Path, skipped: Skipped) -> Found:
    """The files of the run in ``place``: a folder, a metrics file, or a folder of dumps.

    Raises:
        NoRun: there is none, or there are several.
    """
    place = place.expanduser().absolute()
    try:
        found = _find(place, skipped)
        for file in found.metrics:
            open_lines(file).close()  # without them the page would say that nothing was logged
        return found
    except OSError as error:
        closed = error.filename or place
        raise NoRun(f"{closed} cannot be read: {error.strerror or error}; give a run that you may read") from error


def _find(place: Path, skipped: Skipped) -> Found:
    if place.is_file():
        if place.name == RECORD:
            return _find(place.parent, skipped)
        if not is_metrics(place):
            open_lines(place).close()  # a file that may not be read says so
            raise NoRun(f"{place} is no metrics file: it has no line with step and data; give one, or a run's folder")
        return _with_configs(Found(place.parent, _starts_of(place)))
    if not place.is_dir():
        raise NoRun(f"{place}: there is no such file or folder")
    folder = _only_run(place)
    if (folder / RECORD).is_file():
        return _ours(folder, skipped)
    metrics = _metrics_of(folder)
    if not metrics and is_dump(folder):
        return Found(folder, training=folder)
    found = _with_configs(Found(folder, metrics))
    if not metrics and not any(is_dump(one) for one in folders_below(folder)):
        raise NoRun(_nothing(place))
    return found


def is_metrics(file: Path) -> bool:
    """Whether one of a file's first lines has a step and data. No more than `MAX_PROBE_BYTES` are read of it."""
    try:
        with open_lines(file) as stream:
            lines = stream.read(MAX_PROBE_BYTES).removeprefix(BOM).splitlines()
    except (OSError, EOFError, zlib.error):
        return False
    return any(map(_has_step_and_data, lines[:MAX_PROBE_LINES]))


def _has_step_and_data(line: bytes) -> bool:
    try:
        found = parse(line)
    except ValueError:
        return False
    return isinstance(found, dict) and "step" in found and isinstance(found.get("data"), dict)


def start_time_in(name: str) -> str | None:
    """``20261126_120000`` of ``metrics_20261126_120000.jsonl``."""
    found = _TIME.search(name)
    return found and found[1]


def _only_run(place: Path) -> Path:
    """``place``, or the one folder below it that has a record of ours.

    Raises:
        NoRun: there are several.
    """
    if (place / RECORD).is_file() or (place / METRICS_FILE).is_file():
        return place
    below = [folder for folder in folders_below(place) if (folder / RECORD).is_file()]
    if len(below) > 1:
        raise NoRun(f"{place} holds {len(below)} runs: give one of them, or several: {_named(below)}")
    return below[0] if below else place


def _ours(folder: Path, skipped: Skipped) -> Found:
    try:
        record = read_record(folder)
    except ValueError as error:
        skipped.add(str(folder / RECORD), f"it cannot be read: {error}")
        record = {}
    if not isinstance(record, Mapping):
        skipped.add(str(folder / RECORD), "it is no object")
        record = {}
    own = folder / METRICS_FILE
    if own.is_file():
        metrics: tuple[Path, ...] = (own,)
    else:
        named = record.get(METRICS)
        found = moved(Path(named), folder) if isinstance(named, str) and named else None
        metrics = _starts_of(found) if found and found.is_file() else _metrics_of(folder)
    configs = sorted(file for file in folder.glob("config_*.yaml") if start_time_in(file.name) and file.is_file())
    return Found(folder, metrics, dict(record), tuple(configs))


def _metrics_of(folder: Path) -> tuple[Path, ...]:
    """The metrics files of the one run in and below a folder, or of the run whose checkpoints it holds.

    Raises:
        NoRun: there are several runs.
    """
    own = folder / METRICS_FILE
    if own.is_file():
        return (own,)
    runs: dict[Path, list[Path]] = {}
    for file in files_below(folder):
        if ".jsonl" in file.suffixes and not _NO_METRICS.fullmatch(file.name) and is_metrics(file):
            runs.setdefault(file.with_name(_TIME.sub("", file.name)), []).append(file)
    if len(runs) > 1:
        raise NoRun(f"{folder} holds the metrics of {len(runs)} runs: give one of {_named(sorted(runs.values()))}")
    if runs:
        return tuple(sorted(*runs.values()))
    # verl's checkpoints/<project>/<experiment> or Hydra's outputs, and the metrics in <project>/<experiment>.jsonl.
    project, experiment = _experiment(folder / HYDRAS_CONFIG) or (folder.parent.name, folder.name)
    for above in list(folder.parents)[: MAX_PARENTS + 1]:
        file = above / project / f"{experiment}.jsonl"
        if file.is_file() and is_metrics(file):
            return (file,)
    return ()


def _starts_of(file: Path) -> tuple[Path, ...]:
    """The file, with those beside it whose names differ in the time alone: each is of a start."""
    if not start_time_in(file.name):
        return (file,)
    same = _TIME.sub("", file.name)
    return tuple(sorted(one for one in file.parent.iterdir() if _TIME.sub("", one.name) == same and one.is_file()))


def _with_configs(found: Found) -> Found:
    """Add the configurations that Hydra wrote for this run's starts. Those above its folder may be of other runs, so
    they have to name its experiment, as verl's file logger does."""
    metrics = found.metrics[0] if found.metrics else None
    own = metrics and (metrics.parent.name, metrics.name.partition(".jsonl")[0])
    for base in (found.folder, *list(found.folder.parents)[:MAX_PARENTS]):
        configs = sorted((*base.glob(f"outputs/*/*/{HYDRAS_CONFIG}"), *base.glob(HYDRAS_CONFIG)))[-MAX_CONFIGS:]
        named = [file for file in configs if _experiment(file) == own] if metrics else []
        if named or (configs and base == found.folder):
            found.configs = tuple(named or configs)
            break
    return found


def _experiment(config: Path) -> tuple[str, str] | None:
    """Project and experiment of a configuration; None where it cannot be read or names none."""
    try:
        trainer = OmegaConf.load(config).trainer
        return str(trainer.project_name), str(trainer.experiment_name)
    except (OSError, ValueError, AttributeError, YAMLError, OmegaConfBaseException):
        return None


def find_dumps(found: Found, config: Mapping[str, Any] | None, key: str, skipped: Skipped) -> Path | None:
    """The folder of dumps that ``trainer.<key>`` names, wherever it is now.

    Args:
        config: the run's; where there is none, a folder of dumps below the run's is taken by its name.
    """
    trainer = config["trainer"] if config else {}
    if key in trainer:
        named = trainer[key]
        if not isinstance(named, str) or not named or "://" in named:
            return None
        return moved(Path(os.path.expanduser(named)), found.folder, trainer.get("default_local_dir"))
    validates = key.startswith("validation")
    there = [one for one in folders_below(found.folder) if ("val" in one.name.lower()) == validates and is_dump(one)]
    if len(there) > 1:
        skipped.add(str(found.folder), f"it has {len(there)} folders of dumps: {_named(there)}; give one of them")
    return there[0] if len(there) == 1 else None


def _nothing(place: Path) -> str:
    entries = sorted(entry.name + "/" * entry.is_dir() for entry in islice(place.iterdir(), MAX_ENTRIES))
    found = ", ".join(map(repr, entries[:MAX_NAMED])) + (", ..." if len(entries) > MAX_NAMED else "")
    return (
        f"{place} is no run. It was looked for {RECORD}, for a file of lines with step and data (metrics.jsonl, "
        "<project>/<experiment>.jsonl), and for dumps named <step>.jsonl, as far as two folders below. "
        f"It holds {found or 'nothing'}. Give a run's checkpoint folder (trainer.default_local_dir), or for a run of "
        "plain verl the directory in which it was started, with trainer.logger=[console,file], or its metrics file"
    )


def _named(paths: list[Any]) -> str:
    shown = [str(one[0] if isinstance(one, list) else one) for one in paths[:MAX_NAMED]]
    return ", ".join(shown) + (f" and {len(paths) - MAX_NAMED} more" if len(paths) > MAX_NAMED else "")
