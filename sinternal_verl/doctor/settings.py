"""Is every key under ``sinternal`` one that something reads, and is every time limit possible?

The keys are those of our recipes' files and of the guard's settings, so a new key is known once it stands there.
Settings of a scorer are known from its own parameters (`sinternal_verl.scoring.registry`).
"""

import dataclasses
import math
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from functools import cache
from numbers import Real
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sinternal_verl import recipes
from sinternal_verl.config import get
from sinternal_verl.doctor.problem import Problem

ROOT = "sinternal"
GUARD, SCORERS = f"{ROOT}.guard", f"{ROOT}.scorers"
BACKEND = f"{GUARD}.backend"
REQUEST, SAMPLE = f"{GUARD}.request_timeout_s", f"{ROOT}.score_timeout_s"
SECONDS = "_s"
"""Every time limit's key ends with it."""


def check_settings(config: DictConfig, scores: bool = True) -> Iterator[Problem]:
    """Check keys and times under ``sinternal``; a configuration without our recipe has nothing to check.

    Args:
        scores: whether samples are scored, so that `SAMPLE` is read.
    """
    node = config.get(ROOT)
    if node is None:
        return
    keys = known_keys(_backend(config))
    for key, raw in _leaves(node):
        # The names of scorers are the user's. `check_scorers` asks for one where it is needed.
        if key.startswith(f"{SCORERS}.") or (key == SCORERS and not raw):
            continue
        if any(known.startswith(f"{key}.") for known in keys):
            yield from _node(key, raw)
        elif key not in keys:
            yield Problem(key, raw, "there is no such key, and nothing would read it", _right_key(key, keys))
        elif key.endswith(SECONDS):
            yield from _time(key, OmegaConf.select(config, key), keys[key])
    if scores:
        yield from _order(config)


@cache
def known_keys(backend: str | None = None) -> dict[str, list[Any]]:
    """Every key under ``sinternal`` that something reads, with the defaults that our files and dataclasses give it.

    Args:
        backend: the guard's; the files of other guards give no defaults then.
    """
    from sinternal_verl.guard.engine import EngineSettings
    from sinternal_verl.guard.replica import GuardSettings

    keys: dict[str, list[Any]] = {}
    for settings, node in ((GuardSettings, GUARD), (EngineSettings, f"{GUARD}.engine")):
        keys |= {f"{node}.{field.name}": [field.default] for field in dataclasses.fields(settings)}
    for file in (file for folder in recipes.__path__ for file in sorted(Path(folder).rglob("*.yaml"))):
        recipe = OmegaConf.load(file)
        # A 0 may have a meaning for one guard alone.
        of_another = backend and (OmegaConf.select(recipe, BACKEND) or backend) != backend
        for key, raw in _leaves(recipe.get(ROOT, {})):
            defaults = keys.setdefault(key, [])
            if not of_another:
                defaults.append(raw)
    return keys


def _backend(config: DictConfig) -> str | None:
    guard = OmegaConf.select(config, GUARD)
    return guard.get("backend") if isinstance(guard, DictConfig) else None


def _node(key: str, raw: Any) -> Iterator[Problem]:
    """A value in the place of settings. An empty node takes nothing away that has a default."""
    if raw == {}:
        return
    step = f"leave {key} out, or give the settings below it"
    if key == GUARD:
        step = "choose a guard without the prefix: guard=none, ray_actor, openai_endpoint or verl_router"
    yield Problem(
        key, "null" if raw is None else raw, "settings stand below this key, and it has no value itself", step
    )


def _leaves(node: DictConfig, prefix: str = ROOT) -> Iterator[tuple[str, Any]]:
    """The dotted keys of a node's values, and the values without interpolations resolved."""
    for name in node:
        key, below = f"{prefix}.{name}", node._get_node(name)
        if isinstance(below, DictConfig) and len(below) and not OmegaConf.is_interpolation(node, name):
            yield from _leaves(below, key)
        else:
            yield key, OmegaConf.to_container(below, resolve=False) if OmegaConf.is_list(below) else below._value()


def _right_key(key: str, keys: Collection[str]) -> str:
    """What to write in place of an unknown key: the nearest word at each level, or the same word elsewhere."""
    path, *words = key.split(".")
    while words:
        word, *words = words
        there = {known.removeprefix(f"{path}.").partition(".")[0] for known in keys if known.startswith(f"{path}.")}
        near = [word] if word in there else get_close_matches(word, there, 1)
        elsewhere = [known for known in keys if known.endswith(f".{key.rpartition('.')[2]}")]
        if word not in there and not words and elsewhere:
            return f"write {' or '.join(elsewhere)}"
        if not near:
            return f"{path} has {', '.join(sorted(there)) or 'nothing below it'}"
        path = f"{path}.{near[0]}"
        if path == SCORERS:
            # The names of scorers are the user's.
            path, words = ".".join([path, *words]), []
    return f"write {path}"


def _time(key: str, value: Any, defaults: list[Any]) -> Iterator[Problem]:
    # Where a default is null or 0, that has a meaning.
    if not _is_time(value) and (isinstance(value, bool) or value not in defaults):
        kind = " and no text" if isinstance(value, str) else ""
        yield Problem(key, value, f"this is a time in seconds, a finite number above 0{kind}", "correct the value")


def _is_time(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _order(config: DictConfig) -> Iterator[Problem]:
    """A guard's limit is within its sample's: else the sample ends before its guard has given up."""
    request, sample = get(config, REQUEST), get(config, SAMPLE)
    if _backend(config) and _is_time(request) and _is_time(sample) and request > sample:
        reason = f"more than {SAMPLE}={sample:g}, after which a sample is given up whatever its guard does"
        yield Problem(REQUEST, request, reason, f"{SAMPLE}={request:g} or more, or a shorter time here")
