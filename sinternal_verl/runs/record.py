"""What a run leaves in its checkpoint folder about itself: `RECORD`, and its configuration, one file a start."""

import json
import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

TRACKER = "latest_checkpointed_iteration.txt"
"""verl's own: the step of the last whole checkpoint. (verl 0.9.1)"""

RECORD = "sinternal_run.json"
LAST_STEP = "last_step"
"""In the record: the step at which the run is done. It is there once the run has counted its rows."""

METRICS, CONFIGURATION = "metrics", "configuration"
"""In the record: files of the last start, by their name where they are in the folder."""


def read_record(folder: Path) -> dict[str, Any]:
    """The record in ``folder``; empty where no run has left one."""
    file = folder / RECORD
    return json.loads(file.read_text()) if file.is_file() else {}


def update_record(folder: Path, **values: Any) -> None:
    """Set ``values`` in the record and leave the others as they are.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"{RECORD}.{os.getpid()}"
    new.write_text(json.dumps(read_record(folder) | values, indent=2) + "\n")
    # In one step: another rank may be reading, and a kill must not leave half a record.
    new.replace(folder / RECORD)


def recorded_file(folder: Path, key: str) -> Path | None:
    """The file that the record names under `METRICS` or `CONFIGURATION`."""
    name = read_record(folder).get(key)
    return folder / name if name else None


def name_in(folder: Path, file: Path | None) -> str | None:
    """What the record says of ``file``: its name where it is in ``folder``, so that the folder can be moved."""
    return file and (file.name if file.parent == folder else str(file))


def write_configuration(file: Path, config: DictConfig) -> None:
    """Write ``config`` with every interpolation resolved, less what is Hydra's own.

    Raises:
        OSError: the file cannot be written.
    """
    own = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    file.write_text(OmegaConf.to_yaml(own, resolve=True))


def last_checkpoint(folder: Path) -> int | None:
    """The step of the last whole checkpoint in ``folder``; None where there is none."""
    file = folder / TRACKER
    text = file.read_text().strip() if file.is_file() else ""
    return int(text) if text else None  # verl's GRPO main empties the file before it writes it


def step_folder(folder: Path, step: int) -> Path:
    """Where verl keeps the checkpoint of ``step``. (verl 0.9.1)"""
    return folder / f"global_step_{step}"
