"""Can every sample be scored? Checks the scorers, the data sources they claim, and the policy for failures."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from omegaconf import DictConfig, ListConfig, OmegaConf

from sinternal_verl.config import get
from sinternal_verl.doctor.problem import Finding, Note, Problem
from sinternal_verl.doctor.settings import known_keys
from sinternal_verl.gpus import GUARD
from sinternal_verl.overrides import override, shell_line
from sinternal_verl.scoring.registry import BoundScorer, Router, ScorerError, bind, unknown_settings

MANAGER = "SInternalRewardManager"
NAME = "sinternal"
OWN_FUNCTION = "reward.custom_reward_function"


def uses_our_manager(config: DictConfig) -> bool:
    """Whether the configuration names our reward manager, by import or by its registered name."""
    return get(config, "reward.reward_manager.name") in (MANAGER, NAME)


def check_scorers(config: DictConfig) -> Iterator[Finding]:
    """Check ``sinternal.scorers`` against the data, unless a function of the user's own scores all samples."""
    yield from _limits(config)
    yield from _unsupported(config)
    if get(config, f"{OWN_FUNCTION}.path"):
        if not get(config, f"{OWN_FUNCTION}.reward_kwargs.guard"):
            yield from _unasked(config, "your own reward function scores all samples, and is given no guard")
        return
    if not uses_our_manager(config):
        return
    node = get(config, "sinternal.scorers")
    configured = OmegaConf.to_container(node, resolve=True) if node else {}
    entries = {key: entry for key, entry in configured.items() if entry is not None}
    bound: list[BoundScorer] = []
    for key, entry in entries.items():
        try:
            unknown = unknown_settings(key, entry)
            yield from map(_problem, unknown)
            if not unknown:
                bound.append(bind(key, entry))
        except ScorerError as error:
            yield _problem(error)
    try:
        router = Router(bound)
    except ScorerError as error:
        yield _problem(error)
        return
    if not entries:
        step = "leave sinternal.scorers out, or add +sinternal.scorers.boxed_math.sources=['*']"
        yield Problem("sinternal.scorers", "null", "no scorer is configured", step)
    elif len(bound) == len(entries):
        yield from _sources(config, router, entries)


def _unsupported(config: DictConfig) -> Iterator[Problem]:
    """Refuse settings with which verl takes a failure for a verdict, or hides what a scorer needs."""
    key = "algorithm.filter_groups.enable"
    if get(config, key) and str(get(config, "trainer.v1.trainer_mode", "")).startswith(NAME):
        reason = "verl filters groups before the failure policy sees them: a failed row's 0 counts as a verdict there"
        step = f"{key}=false, or trainer.v1.trainer_mode=sync, which has no failure policy"
        yield Problem(key, "true", reason, step)
    served = "reward.reward_model"
    if (
        uses_our_manager(config)
        and get(config, f"{served}.enable")
        and not get(config, f"{served}.enable_resource_pool")
    ):
        reason = "verl shows a manager beside a colocated reward model no data_source and no ground truth"
        step = f"{served}.enable_resource_pool=true, or guard=ray_actor, or a manager of verl's"
        yield Problem(f"{served}.enable", "true", reason, step)


def _problem(error: ScorerError) -> Problem:
    return Problem(f"sinternal.scorers.{error.key}", error.value, error.reason, error.next_step)


def _sources(config: DictConfig, router: Router, entries: Mapping[str, Any]) -> Iterator[Finding]:
    """Find data sources in the files without a scorer, and a guard that no row needs."""
    column, asked, complete = get(config, "data.reward_fn_key", "data_source"), False, True
    for key in ("data.train_files", "data.val_files"):
        value = get(config, key)
        paths = value if isinstance(value, list | ListConfig) else [value] if value else []
        complete &= bool(paths)
        for path in (Path(path).expanduser() for path in paths):
            found = _sources_of(path, column)
            complete &= found is not None
            for source in sorted(found or ()):
                bound = router.find(source)
                asked |= bound is None or bool(entries[bound.key].get("guard"))
                if bound is None:
                    known = ", ".join(router.sources)
                    words = shell_line(override("sinternal.scorers.boxed_math.sources", [source]))
                    step = f"add it to a scorer's sources, e.g. {words}"
                    yield Problem(f"{key} ({path})", source, f"no scorer takes this {column}; there are {known}", step)
                elif lacks_guard(router, source):
                    reason = "only the scorer of everything takes it: safety prompts need a guard"
                    yield Problem(f"{key} ({path})", source, reason, "choose guard=ray_actor or guard=openai_endpoint")
    if complete and not asked:
        yield from _unasked(config, "no row of the training and validation files is scored by a guard")


def _sources_of(path: Path, column: str) -> set[str] | None:
    """The data sources in a file; None where they cannot be read."""
    if path.suffix != ".parquet" or not path.is_file():
        return None
    file = pq.ParquetFile(path)
    if column not in file.schema_arrow.names:
        return None
    batches = file.iter_batches(columns=[column])
    return {source for batch in batches for source in batch[0].unique().to_pylist() if source is not None}


def _unasked(config: DictConfig, reason: str) -> Iterator[Note]:
    if backend := get(config, "sinternal.guard.backend"):
        gpus = get(config, GUARD, 0)
        yield Note("guard", backend, reason, f"guard=none frees {gpus} GPUs" if gpus else "guard=none does without it")


def lacks_guard(router: Router, source: str) -> bool:
    """Whether these are safety prompts that only the scorer of ``*`` takes, which would give each of them 0."""
    bound = router.find(source)
    return source.startswith("safety/") and bound is not None and "*" in bound.sources


def _limits(config: DictConfig) -> Iterator[Problem]:
    """Check the failure policy; `settings` has told of keys that it does not have."""
    if get(config, "sinternal.failures") is not None:
        from sinternal_verl.training.failures import FailurePolicy

        keys = known_keys()
        known = {key: value for key, value in config.sinternal.failures.items() if f"sinternal.failures.{key}" in keys}
        try:
            FailurePolicy(**known)
        except (ValueError, TypeError) as error:
            yield Problem("sinternal.failures", dict(config.sinternal.failures), str(error), "correct the value")
