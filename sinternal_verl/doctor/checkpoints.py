"""Does the checkpoint folder belong to this configuration? verl resumes whatever it finds in it."""

import importlib.metadata as metadata
import os
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sinternal_verl.doctor.problem import Problem, get, is_ppo
from sinternal_verl.runs.record import (
    CONFIGURATION,
    LAST_STEP,
    METRICS,
    RECORD,
    TRACKER,
    name_in,
    read_record,
    update_record,
    write_configuration,
)

IDENTITY = (
    "sinternal.recipe",
    "data.train_files",
    "data.train_batch_size",
    "data.seed",
    "data.max_length",
    "data.max_prompt_length",
    "data.max_response_length",
    "trainer.seed",
    "trainer.nnodes",
    "trainer.n_gpus_per_node",
    "model.path",
    "model.lora_rank",
    "engine.strategy",
    "optim.lr",
    "actor_rollout_ref.model.path",
    "actor_rollout_ref.model.lora_rank",
    "actor_rollout_ref.actor.strategy",
    "actor_rollout_ref.actor.optim.lr",
    "actor_rollout_ref.rollout.n",
    "algorithm.adv_estimator",
    "reward.custom_reward_function.path",
    "reward.reward_manager.name",
    "sinternal.scorers",
    "sinternal.failures.policy",
)
"""Keys that make two runs different experiments, or that a sharded checkpoint cannot change."""


STACK = ("sinternal_verl", "verl", "ray", "vllm", "torch", "transformers")
"""Packages whose versions the record names."""


def check_checkpoints(config: DictConfig) -> Iterator[Problem]:
    """A folder that holds another experiment's checkpoints is refused, under ``resume_mode=disable``
    too: until the first save of the new run, the next start would resume the old one."""
    folder = checkpoint_folder(config)
    if folder is None or not (folder / TRACKER).is_file():
        return
    step = "set trainer.experiment_name or trainer.default_local_dir to a new one, or delete the folder"
    before, now = read_record(folder).get("identity"), identity(config)
    if before is None:
        origin = f"of unknown origin (no {RECORD} that says it)"
        reason = f"it holds checkpoints {origin}, and verl would mix them up with this run's"
        yield Problem("trainer.default_local_dir", folder, reason, step)
        return
    if "processes" not in now:
        before.pop("processes", None)  # doctor, outside torchrun, cannot know
    changed = [f"{key}: {before.get(key)} -> {now.get(key)}" for key in now | before if before.get(key) != now.get(key)]
    if changed:
        reason = "it holds checkpoints of another configuration, which verl would resume or mix up: " + "; ".join(
            changed
        )
        yield Problem("trainer.default_local_dir", folder, reason, step)


def identity(config: DictConfig) -> dict:
    """The values of `IDENTITY` that this configuration has, and torchrun's number of processes."""
    values = {key: OmegaConf.select(config, key) for key in IDENTITY}
    if not is_ppo(config):
        values["processes"] = int(os.environ["WORLD_SIZE"]) if "WORLD_SIZE" in os.environ else None
    # Where the guard stands may change between two starts; which guard it is may not.
    scorers = values.get("sinternal.scorers") or {}
    values["sinternal.scorers"] = {name: _without_guard(entry) for name, entry in scorers.items()} or None
    values["sinternal.guard.engine.model"] = OmegaConf.select(config, "sinternal.guard.engine.model")
    plain = {key: OmegaConf.to_container(v, resolve=True) if OmegaConf.is_config(v) else v for key, v in values.items()}
    return {key: value for key, value in plain.items() if value is not None}


def _without_guard(entry: DictConfig | None) -> dict | None:
    if entry is None:
        return None
    return OmegaConf.to_container(OmegaConf.masked_copy(entry, [key for key in entry if key != "guard"]), resolve=True)


def write_record(config: DictConfig, metrics: Path | None = None, configuration: Path | None = None) -> list[Problem]:
    """Leave in the checkpoint folder what the run is, for the next start and for its readers.

    Args:
        metrics: where this start logs its steps.
        configuration: the file that gets the resolved configuration.
    """
    folder = checkpoint_folder(config)
    if folder is None:
        return []
    try:
        files = {METRICS: metrics, CONFIGURATION: configuration}
        update_record(
            folder,
            identity=identity(config),
            # Until this start has counted its rows.
            **{LAST_STEP: None},
            versions={name: _version(name) for name in STACK},
            **{key: name_in(folder.absolute(), file) for key, file in files.items()},
        )
        if configuration:
            write_configuration(configuration, config)
    except (OSError, ValueError) as error:
        step = f"give a folder this process may write to, or remove a broken {RECORD} from it"
        return [Problem("trainer.default_local_dir", folder, f"its {RECORD} cannot be written: {error}", step)]
    except OmegaConfBaseException as error:
        reason = f"it cannot be resolved, and verl resolves every value: {error}"
        return [Problem(error.full_key or "the configuration", None, reason, "give it a value, or what it refers to")]
    return []


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def checkpoint_folder(config: DictConfig) -> Path | None:
    """The local checkpoint folder; None when there is none or it is a URL."""
    folder = get(config, "trainer.default_local_dir")
    return None if folder is None or "://" in folder else Path(folder).expanduser()
