"""What a run was run with: its configuration and how that differs from the recipe, versions, hardware, seeds, data."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sinternal_verl.config import MAINS, compose_config
from sinternal_verl.report.run import Run
from sinternal_verl.report.view import Difference, Setting

NOT_THERE = "(not there)"
"""Shown for a key that a configuration does not have."""

GROUPS = ("recipe", "guard", "hardware")
"""Words of a command that choose a part of a recipe."""

DATA_KEYS = (
    *("data.train_files", "data.val_files", "actor_rollout_ref.model.path", "model.path"),
    *("sinternal.guard.engine.model", "sinternal.guard.url"),
)
"""Keys of files and models."""

SEED = "seed"

Row = tuple[str, str]

_REFERENCE = re.compile(r"\$\{(?:oc\.select:)?([\w.]+)(?:,[^${}]*)?\}")


def make_setting(run: Run) -> Setting:
    """What the page shows of a run's setting; nothing where the run left no configuration and no record."""
    config = run.config or {}
    flat = flatten(config)
    base, words = _recipe(run)
    facts = {
        "run": tuple(_run(run, words)),
        "starts": tuple(_starts(run)),
        "versions": tuple(_rows(run.record.get("versions"))),
        "hardware": tuple(_hardware(run, flat)),
        "seeds": tuple((key, shown(value)) for key, value in flat.items() if _names_seed(key) and value is not None),
        "data": tuple(_data(run, flat)),
    }
    # A configuration of which one value cannot be resolved here has references in the others, too.
    differences = tuple(_from_recipe(base, _resolved(OmegaConf.create(config)))) if base is not None and config else ()
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True) if config else ""
    return Setting({heading: rows for heading, rows in facts.items() if rows}, differences, text)


def flatten(node: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted keys and their values; a list is one value.

    >>> flatten({"a": {"b": 1, "c": [1, 2]}, "d": {}})
    {'a.b': 1, 'a.c': [1, 2]}
    """
    if not isinstance(node, Mapping):
        return {prefix.rstrip("."): node}
    return {key: value for name, below in node.items() for key, value in flatten(below, f"{prefix}{name}.").items()}


def shown(value: Any) -> str:
    """A value of a configuration as text.

    >>> shown(None), shown(True), shown(1e-06), shown(["a", 2])
    ('null', 'true', '1e-06', '[a, 2]')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    return str(value)


def _run(run: Run, words: Sequence[str] | None) -> Iterator[Row]:
    yield "folder", str(run.folder)
    yield "main", {"grpo": "GRPO", "sft": "SFT"}.get(run.kind, run.kind)
    goal = run.record.get("last_step")
    last = int(run.steps.numbers[-1]) if len(run.steps.numbers) else 0
    yield "last step", f"{last} of {goal}" if goal else str(last)
    if run.updated:
        yield "last written", run.updated
    if words is not None:
        yield "compared with", " ".join(words) or f"verl's own {MAINS[run.kind]}"
    for number, text in enumerate(run.skipped):
        yield f"not read ({number + 1})", text


def _starts(run: Run) -> Iterator[Row]:
    recorded = run.record.get("starts") or []
    for number, start in enumerate(run.starts):
        how = f"goes on after step {start.step}" if start.resumed else "from scratch"
        yield f"start {number + 1}", f"{how}{f', {start.time}' if start.time else ''}"
    for number, start in enumerate(recorded):
        if isinstance(start, Mapping) and start.get("command"):
            yield f"command {number + 1}", str(start["command"])


def _hardware(run: Run, flat: Mapping[str, Any]) -> Iterator[Row]:
    yield from _rows(run.record.get("hardware"))
    yield from _rows(run.record.get("cluster"), "cluster")
    for key in ("trainer.nnodes", "trainer.n_gpus_per_node"):
        if flat.get(key) is not None:
            yield key, shown(flat[key])


def _rows(node: Any, name: str = "") -> Iterator[Row]:
    """Rows of whatever a record holds under a key."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _rows(value, f"{name} {key}".strip())
    elif isinstance(node, list) and any(isinstance(each, Mapping) for each in node):
        alike: dict[str, int] = {}
        for each in node:
            text = (
                ", ".join(f"{key} {shown(value)}" for key, value in each.items())
                if isinstance(each, Mapping)
                else shown(each)
            )
            alike[text] = alike.get(text, 0) + 1
        for text, count in alike.items():
            yield name, f"{count} x {text}" if count > 1 else text
    elif node is not None:
        yield name, shown(node)


def _data(run: Run, flat: Mapping[str, Any]) -> Iterator[Row]:
    digests = run.record.get("digests")
    digests = digests if isinstance(digests, Mapping) else {}
    for key in dict.fromkeys((*DATA_KEYS, *digests)):
        value = flat.get(key)
        if value is None:
            continue
        paths = value if isinstance(value, list) else [value]
        known = digests.get(key)
        known = known if isinstance(known, list) and len(known) == len(paths) else [None] * len(paths)
        for path, digest in zip(paths, known, strict=True):
            yield key, f"{shown(path)} ({digest})" if digest else shown(path)


def _names_seed(key: str) -> bool:
    return key.rpartition(".")[2].endswith(SEED)


# ---------------------------------------------------------------------------- the recipe


def _recipe(run: Run) -> tuple[DictConfig | None, list[str] | None]:
    """The configuration that a run's recipe has by itself, and the words that choose it; (None, None) where the
    recipe is not known here, as one of the user's own may not be."""
    for words in (_typed(run), _named(run)):
        if words is not None:
            base = _composed(tuple(words))
            if base is not None:
                return base, words
    return None, None


def _typed(run: Run) -> list[str] | None:
    """The choices of the last start's command; None where it is not recorded."""
    commands = [start.get("command") for start in run.record.get("starts") or [] if isinstance(start, Mapping)]
    if not commands or not isinstance(commands[-1], str) or not commands[-1]:
        return None
    try:
        words = shlex.split(commands[-1])
    except ValueError:  # half a quotation mark: not a command that a shell has seen
        return None
    return [word for word in words if word.partition("=")[0].lstrip("+") in GROUPS]


def _named(run: Run) -> list[str] | None:
    """The same as the configuration tells it; no word for a run of plain verl."""
    if run.config is None:
        return None
    ours = run.config.get("sinternal")
    if not isinstance(ours, Mapping):
        return []
    words = [f"+recipe={ours['recipe']}"] if ours.get("recipe") else []
    guard = ours.get("guard")
    if words and run.kind == "grpo" and isinstance(guard, Mapping) and guard.get("backend"):
        words.append(f"guard={guard['backend']}")
    return words


@cache
def _composed(words: tuple[str, ...]) -> DictConfig | None:
    try:
        return compose_config(words)
    except (HydraException, OmegaConfBaseException):  # a recipe that is not installed here
        return None


def _from_recipe(base: DictConfig, flat: Mapping[str, Any]) -> Iterator[Difference]:
    """The keys that somebody gave. A key that takes its value from another is left out where that explains it."""
    base = OmegaConf.masked_copy(base, [key for key in base if key != "hydra"])
    OmegaConf.set_struct(base, False)
    before = _resolved(base)
    differing = {key: value for key, value in flat.items() if not _same(before.get(key, NOT_THERE), value)}
    given = {key for key in differing if _reference(base, key) is None}
    while True:
        for key in given & before.keys():
            OmegaConf.update(base, key, differing[key], merge=False)
        now = _resolved(base)
        left = [key for key in differing if key not in given and not _same(now.get(key, NOT_THERE), differing[key])]
        if not left:
            break
        # Given in the place of a reference; those that refer to one of these may follow it.
        first = [key for key in left if _reference(base, key) not in left]
        given |= set(first or left)
    for key, value in differing.items():
        if key in given:
            yield Difference(key, (shown(before.get(key, NOT_THERE)), shown(value)))


def _resolved(config: DictConfig, prefix: str = "") -> dict[str, Any]:
    """Dotted keys and resolved values; one that cannot be resolved here is left out."""
    found: dict[str, Any] = {}
    for name in config:
        key = f"{prefix}{name}"
        try:
            value = None if OmegaConf.is_missing(config, name) else config[name]
        except OmegaConfBaseException:
            continue
        if isinstance(value, DictConfig):
            found |= _resolved(value, f"{key}.")
        else:
            found[key] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_list(value) else value
    return found


def _reference(config: DictConfig, key: str) -> str | None:
    """The key that a key takes its value from, by itself or with a node above it; empty where that is more than one
    key; None for a value of its own."""
    node: Any = config
    names = key.split(".")
    for place, name in enumerate(names):
        if not isinstance(node, DictConfig) or name not in node:
            return None
        raw = node._get_node(name)
        if raw._is_interpolation():
            found = _REFERENCE.fullmatch(str(raw._value()))
            return ".".join([found[1], *names[place + 1 :]]) if found else ""
        node = raw
    return None


def _same(one: Any, other: Any) -> bool:
    """Whether two values are one: 1e-6 in a file is text for YAML and a number for Hydra."""
    # verl's own files leave some values open, which is as good as null.
    one, other = (None if value == "???" else value for value in (one, other))
    if one == other or shown(one) == shown(other):
        return True
    try:
        return not isinstance(one, bool) and not isinstance(other, bool) and float(one) == float(other)
    except (TypeError, ValueError, OverflowError):  # a whole number that no float holds
        return False
