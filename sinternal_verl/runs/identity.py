"""What a checkpoint folder belongs to: every value of the resolved configuration except those of `FREE`, and the
content of the files that it names.

Two starts are of one run where all of this agrees. A path counts by what it names (`digests`), so a file that was
moved is the same, and a file that was changed is another. Secrets are left out.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import blake2b
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from sinternal_verl.config import FSDP, get, is_ppo, strategy_key
from sinternal_verl.runs.digests import digest_of, digest_of_target
from sinternal_verl.runs.secrets import masked, secrets_of

PROCESSES = "processes"
"""The number of training processes, by which FSDP names its files: nodes and GPUs count as their product."""

FREE = (
    # Names, logs and dumps.
    "trainer.project_name",
    "trainer.experiment_name",
    "trainer.default_local_dir",
    "trainer.default_hdfs_dir",
    "trainer.logger",
    "trainer.log_val_generations",
    "trainer.rollout_data_dir",
    "trainer.validation_data_dir",
    "trainer.profile_interval",
    "*profiler.*",
    "*.trace.*",
    "*.prometheus.*",
    "*.disable_log_stats",
    "*.moe_load_balance_metrics_interval",
    # How often it saves and validates, how long it trains, and whether it resumes.
    "trainer.save_freq",
    "trainer.test_freq",
    "trainer.val_before_train",
    "trainer.val_only",
    "trainer.max_*ckpt_to_keep",
    "trainer.esi_redundant_time",
    "trainer.checkpoint_callback_class",
    "trainer.del_local_ckpt_after_load",
    "*checkpoint.save_contents",
    "*checkpoint.load_contents",
    "*checkpoint.async_save",
    "trainer.total_epochs",
    "trainer.total_training_steps",
    "*optim.total_training_steps",
    "trainer.resume_*",
    # The machine. The number of training processes counts by itself.
    "trainer.nnodes",
    "trainer.n_gpus_per_node",
    "actor_rollout_ref.rollout.nnodes",
    "actor_rollout_ref.rollout.n_gpus_per_node",
    "actor_rollout_ref.rollout.agent.num_workers",
    "reward.num_workers",
    "data.filter_overlong_prompts_workers",
    "*.use_shm",
    "ray_kwargs.*",
    "transfer_queue.*",
    "*.nccl_timeout",
    "trainer.ray_wait_register_center_timeout",
    "sinternal.hardware.*",
    # Where the guard stands and how fast it is; which guard it is and how it judges counts.
    "sinternal.guard.backend",
    "sinternal.guard.url",
    "sinternal.guard.served_as",
    "sinternal.guard.*replicas",
    "sinternal.guard.*gpus",
    "sinternal.guard.num_cpus",
    "sinternal.guard.max_queue",
    "sinternal.guard.engine.gpu_memory_utilization",
    "sinternal.guard.engine.tensor_parallel_size",
    "sinternal.guard.engine.max_num_*",
    "sinternal.guard.engine.enable_prefix_caching",
    "sinternal.guard.engine.block_size",
    "sinternal.guard.engine.enforce_eager",
    "sinternal.guard.engine.dtype",
    # Limits of time, names of environment variables, and what is for the start alone.
    "sinternal.guard.*_s",
    "sinternal.rollout.*_s",
    "sinternal.score_timeout_s",
    "*.api_key_env",
    "*.api_key_over_http",
    "sinternal.guard.require_verdict",
    "sinternal.checks",
    "sinternal.accept_changes",
)
"""Keys that may change between two starts of a run."""

SCORER_TARGET = "sinternal.scorers.*._target_"
"""Keys whose value is the dotted name of a user's scorer. verl's own ``_target_`` name its classes."""

MAX_CHARACTERS = 160
"""How much of a long value is shown."""

_REFERENCE = re.compile(r"\$\{(?:oc\.select:)?([\w.]+)(?:,[^${}]*)?\}")


@dataclass(frozen=True)
class Identity:
    """What a run is.

    Attributes:
        values: dotted key -> value; keys that are null are left out.
        digests: key -> a digest for each path of its value, where all of them name something that is here.
        defaults: verl's version and a digest of our recipes, which decide the keys that nobody gave.
        whole: False for the record of an earlier version, which kept a few values only.
    """

    values: dict[str, Any]
    digests: dict[str, list[str]] = field(default_factory=dict)
    defaults: dict[str, str | None] = field(default_factory=dict)
    whole: bool = True


@dataclass(frozen=True)
class Change:
    """One key whose value, or the content it names, is another one now.

    >>> str(Change("data.seed", 1, 2)), str(Change("data.train_files", "a.parquet", "a.parquet"))
    ('data.seed: 1 -> 2', 'data.train_files: other content in a.parquet')
    """

    key: str
    old: Any
    new: Any

    def __str__(self) -> str:
        if self.old == self.new:
            return f"{self.key}: other content in {self.new}"
        return f"{self.key}: {_shown(self.old)} -> {_shown(self.new)}"


def _shown(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}..."


def identity_of(config: DictConfig, versions: dict[str, str | None]) -> Identity:
    """What a run of this configuration is.

    Raises:
        omegaconf.errors.OmegaConfBaseException: a value cannot be resolved.
    """
    every = dict(_values(config))
    secrets = secrets_of(every)
    values = {key: value for key, value in every.items() if value is not None and _counts(config, key)}
    values = {key: value for key, value in values.items() if masked(key, value, secrets) == value}
    digests = {key: found for key, value in values.items() if (found := _digests(key, value))}
    if processes := _processes(config):
        values[PROCESSES] = processes
    return Identity(values, digests, {"verl": versions.get("verl"), "recipes": _recipes()})


def recorded_identity(record: dict[str, Any]) -> Identity | None:
    """What the run of a record is; None where the record does not say it."""
    values = record.get("identity")
    if values is None or "digests" in record:
        return values and Identity(values, record["digests"], record["defaults"])
    # Of an earlier version: scorers were one value, and nodes and GPUs were two.
    values = dict(values)
    for name, entry in (values.pop("sinternal.scorers", None) or {}).items():
        values |= {f"sinternal.scorers.{name}.{key}": value for key, value in (entry or {}).items()}
    nodes, gpus = (values.pop(f"trainer.{key}", None) for key in ("nnodes", "n_gpus_per_node"))
    if nodes and gpus and PROCESSES not in values and "actor_rollout_ref.model.path" in values:
        values[PROCESSES] = nodes * gpus
    return Identity({key: value for key, value in values.items() if value is not None}, whole=False)


def compare(before: Identity, now: Identity, config: DictConfig) -> tuple[list[Change], list[Change]]:
    """What has changed, and what cannot be compared: keys that only another version of verl or of our recipes has.

    Args:
        config: the configuration of ``now``. A key that takes its value from another key is left out where that key
            has changed.
    """
    changed, unknown = [], []
    known = {*before.values, *(now.values if before.whole else ())}
    for key in sorted(known):
        old, new = before.values.get(key), now.values.get(key)
        there = [identity.digests.get(key) for identity in (before, now)]
        same = there[0] == there[1] if all(there) else old == new or repr(old) == repr(new)
        if not same:
            of_a_version = (old is None or new is None) and before.defaults != now.defaults
            (unknown if of_a_version else changed).append(Change(key, old, new))
    # Outside of torchrun nobody knows the number of an SFT run's processes.
    changed = [change for change in changed if change.key != PROCESSES or change.new is not None]
    keys = {change.key for change in changed}
    return [change for change in changed if not _follows(config, change.key, keys)], unknown


def accepted_by(change: Change, accepted: list[str]) -> bool:
    """Whether one of the accepted keys is the change's, or a node above it."""
    return any(change.key == key or change.key.startswith(f"{key}.") for key in accepted)


def may_be_accepted(change: Change, config: DictConfig) -> bool:
    """Whether verl can go on after the change: FSDP loads only the files of as many processes as it has."""
    return change.key != PROCESSES or get(config, strategy_key(config)) not in FSDP


def _values(config: DictConfig, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key and its resolved value. A node that stands for another node is left out."""
    for name in config:
        key = f"{prefix}{name}"
        if key == "hydra" or OmegaConf.is_missing(config, name):
            continue
        value = config[name]
        if isinstance(value, DictConfig):
            if not OmegaConf.is_interpolation(config, name):
                yield from _values(value, f"{key}.")
        else:
            plain = OmegaConf.to_container(value, resolve=True) if isinstance(value, ListConfig) else value
            yield key, plain if isinstance(plain, bool | int | float | str | list | None) else str(plain)


def _counts(config: DictConfig, key: str) -> bool:
    if key.startswith("reward.reward_model."):
        # Where it is off nothing reads it, and with guard=verl_router it says where the guard stands.
        return (
            get(config, "reward.reward_model.enable", False) and get(config, "sinternal.guard.backend") != "verl_router"
        )
    return not any(fnmatchcase(key, free) for free in FREE)


def _digests(key: str, value: Any) -> list[str]:
    paths = value if isinstance(value, list) else [value]
    find = digest_of_target if fnmatchcase(key, SCORER_TARGET) else digest_of
    found = [find(path) if isinstance(path, str) and path else None for path in paths]
    return found if found and all(found) else []


def _processes(config: DictConfig) -> int | None:
    if is_ppo(config):
        nodes, gpus = get(config, "trainer.nnodes"), get(config, "trainer.n_gpus_per_node")
        return nodes * gpus if isinstance(nodes, int) and isinstance(gpus, int) else None
    return int(os.environ["WORLD_SIZE"]) if "WORLD_SIZE" in os.environ else None


def _recipes() -> str:
    from sinternal_verl import recipes

    found = blake2b(digest_size=16)
    for file in sorted(file for folder in recipes.__path__ for file in Path(folder).rglob("*.yaml")):
        found.update(file.name.encode() + file.read_bytes())
    return found.hexdigest()


def _follows(config: DictConfig, key: str, changed: set[str]) -> bool:
    """Whether a key takes its value from one that has changed, too, or from one that may."""
    other = _reference(config, key)
    return other is not None and (other in changed or not _counts(config, other))


def _reference(config: DictConfig, key: str) -> str | None:
    """The other key whose value this key takes, as ``${data.seed}`` does."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    raw = node._get_node(name) if isinstance(node, DictConfig) and name in node else None
    found = _REFERENCE.fullmatch(str(raw._value())) if raw is not None else None
    return found and found.group(1)
