"""What a run writes about itself into its checkpoint folder: `RECORD`, and its configuration, a file for each start."""

import importlib.metadata as metadata
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sinternal_verl.config import get
from sinternal_verl.runs.identity import compare, identity_of, recorded_identity
from sinternal_verl.runs.secrets import masked, secrets_of

TRACKER = "latest_checkpointed_iteration.txt"
"""verl's own file, which holds the step of the last whole checkpoint. (verl 0.9.1)"""

RECORD = "sinternal_run.json"
LAST_STEP = "last_step"
"""Key in the record: the step at which the run is done. It is null until the run has counted its rows."""

METRICS, CONFIGURATION = "metrics", "configuration"
"""Keys in the record: files of the last start, by name where they are in the folder."""

CHANGES = "changes"
"""Key in the record: what was changed by a start and accepted, each with the step that it began from."""

STARTS = "starts"
"""Key in the record: every start, the first one first: ``time`` in ISO 8601 in UTC, ``from_step``, the typed
``command``, and whether it ``trains`` or only validates."""

HARDWARE, CLUSTER = "hardware", "cluster"
"""Keys in the record: the machine of the last start's driver, and the nodes of its Ray cluster."""

STACK = ("sinternal_verl", "verl", "ray", "vllm", "torch", "transformers")
"""Packages whose versions the record names."""


def record_start(
    config: DictConfig,
    metrics: Path | None,
    configuration: Path | None,
    *,
    from_step: int = 0,
    command: str = "",
    hardware: Mapping[str, Any] | None = None,
) -> None:
    """Write the record of a run that starts, and its resolved configuration.

    Args:
        metrics: where this start logs its steps.
        configuration: the file that gets the resolved configuration.
        from_step: the step of the checkpoint that this start goes on from; 0 for a run from scratch.
        command: as it was typed, without secrets.
        hardware: of this machine.

    Raises:
        OSError: the folder cannot be written.
        ValueError: there is a record that cannot be read.
        omegaconf.errors.OmegaConfBaseException: a value cannot be resolved.
    """
    folder = checkpoint_folder(config)
    if folder is None:
        return
    files, known = {METRICS: metrics, CONFIGURATION: configuration}, read_record(folder)
    versions = {name: version_of(name) for name in STACK}
    before, now = recorded_identity(known), identity_of(config, versions)
    step = last_checkpoint(folder)
    changes = compare(before, now, config)[0] if before and step is not None else []
    new = {"from_step": step, **{change.key: [change.old, change.new] for change in changes}}
    trained_with = {
        "identity": now.values,
        "digests": now.digests,
        "defaults": now.defaults,
        CHANGES: [*known.get(CHANGES, []), *([new] if changes else [])],
        "versions": versions,
    }
    # A start that only validates leaves a checkpoint what it was trained with.
    validates = bool(get(config, "trainer.val_only", False))
    leaves = step is not None and before is not None and validates
    time = datetime.now(timezone.utc).isoformat(timespec="seconds")
    start = {"time": time, "from_step": from_step, "command": command, "trains": not validates}
    update_record(
        folder,
        **({} if leaves else trained_with),
        **{STARTS: [*known.get(STARTS, []), start], HARDWARE: dict(hardware or {})},
        # Null until this start has counted its rows.
        **{LAST_STEP: None},
        **{key: name_in(folder.absolute(), file) for key, file in files.items()},
    )
    if configuration:
        write_configuration(configuration, config)


def cluster_of(nodes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The kinds of nodes that a run's cluster has, and how many of each. Memory is in GB.

    Args:
        nodes: as ``ray.nodes()`` lists them. (Ray 2.56 to 2.60)
    """
    kinds: Counter[tuple[float, str, float, float]] = Counter()
    for node in nodes:
        if node.get("Alive"):
            found = node.get("Resources", {})
            # Ray names a kind of card by a resource of its own.
            kind = ", ".join(sorted(key.partition(":")[2] for key in found if key.startswith("accelerator_type:")))
            memory = (found.get("memory", 0) + found.get("object_store_memory", 0)) / 1e9
            # Without a kind they are a number that our CPU recipes state for verl.
            gpus = found.get("GPU", 0) if kind else 0
            kinds[gpus, kind, found.get("CPU", 0), round(memory)] += 1
    names = ("gpus", "gpu", "cpus", "memory_gb")
    return [{"nodes": count, **dict(zip(names, kind, strict=True))} for kind, count in kinds.items()]


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
    # Replaced in one step: another rank may be reading it, and a kill must not leave half a record.
    new.replace(folder / RECORD)


def recorded_file(folder: Path, key: str) -> Path | None:
    """The file that the record names under `METRICS` or `CONFIGURATION`."""
    name = read_record(folder).get(key)
    return folder / name if name else None


def name_in(folder: Path, file: Path | None) -> str | None:
    """How the record names ``file``: by its name alone where it is in ``folder``, so that the folder can be moved."""
    return file and (file.name if file.parent == folder else str(file))


def write_configuration(file: Path, config: DictConfig) -> None:
    """Write ``config`` with every interpolation resolved, without Hydra's own node and without secrets.

    Raises:
        OSError: the file cannot be written.
    """
    own = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    plain = OmegaConf.to_container(own, resolve=True)
    secrets = secrets_of(plain)
    shown = {key: masked(key, value, secrets) for key, value in plain.items()}
    file.write_text(OmegaConf.to_yaml(OmegaConf.create(shown)))


def last_checkpoint(folder: Path) -> int | None:
    """The step of the last whole checkpoint in ``folder``; None where there is none."""
    file = folder / TRACKER
    text = file.read_text().strip() if file.is_file() else ""
    return int(text) if text else None  # verl's GRPO main empties the file before it writes it


def step_folder(folder: Path, step: int) -> Path:
    """Where verl keeps the checkpoint of ``step``. (verl 0.9.1)"""
    return folder / f"global_step_{step}"


def version_of(name: str) -> str | None:
    """The version of an installed package; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def checkpoint_folder(config: DictConfig) -> Path | None:
    """The local checkpoint folder; None when there is none or it is a URL."""
    folder = get(config, "trainer.default_local_dir")
    return None if folder is None or "://" in folder else Path(folder).expanduser()
