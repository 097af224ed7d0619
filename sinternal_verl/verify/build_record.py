"""``build.json``: what the build in a folder is made of, so that no other goes on in its place.

A value is held fast by what was stored under it: the seed by answers, the expert by critiques, the target by the
training file. Before that, a corrected command takes the folder over. The record also has what `verify show` needs to
find the replies, even when the weights are gone.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from sinternal_verl.data.schema import write_whole
from sinternal_verl.overrides import override, shell_line
from sinternal_verl.verify.build import groups_of
from sinternal_verl.verify.origin import is_path
from sinternal_verl.verify.settings import WITHOUT_EXPERT, BuildSettings, Stage
from sinternal_verl.verify.store import Store

RECORD = "build.json"
"""File in the build's folder: what the build is made of."""

DATA = "train.parquet"

HELD_BY = {
    "answers": ("prompts", "against", "shard", "seed", "samples", "answers"),
    "critiques": ("expert", "specification", "prompt"),
    "selection": ("target", "fraction", "thought"),
}
"""Values of a record, by what holds them fast once it is stored."""

OF_ANSWERS = ("prompts", "label", "against", "shard", "seed", "samples", "answers", "policy", "other")
OF_CRITIQUES = ("expert", "specification", "prompt")
"""Keys of the configuration by which answers and critiques are found."""


class AnotherBuild(ValueError):
    """The folder holds a build of other prompts, models or settings."""


def record(settings: BuildSettings, config: DictConfig, made_of: Mapping[str, Any], stages: Sequence[Stage]) -> None:
    """Write what the build is made of. Where the folder has a record already, compare: a later version of this package
    may go on, but not with other prompts, models or settings than those under which something is stored.

    Raises:
        AnotherBuild: they differ, or the record cannot be read.
        StoreError: the store cannot be opened, or is of an earlier version.
        OSError: the record cannot be written; the old one is as it was.
    """
    known = read_record(settings.out)
    made_of = json.loads(json.dumps({key: value for key, value in made_of.items() if key != "version"}))
    held: dict[str, bool] = {}
    for by, keys in HELD_BY.items():
        for key in (key for key in keys if key in known and key in made_of and known[key] != made_of[key]):
            if held.setdefault(by, _is_stored(by, known, settings)):
                was, now = (json.dumps(of[key])[:200] for of in (known, made_of))
                word = shell_line(override("store", settings.store))
                step = f"give another out, and {word} so that what they share is not paid for again"
                raise AnotherBuild(f"{settings.out} holds a build with {key} = {was}, now it is {now}: {step}")
    settings.out.mkdir(parents=True, exist_ok=True)
    how = {
        name: known.get(name, {}) | now
        for name, now in (("groups", _groups(settings, stages)), ("found_by", _found_by(settings, config, stages)))
    }
    write_whole(settings.out / RECORD, json.dumps(known | made_of | how, indent=2) + "\n")


def read_record(out: Path) -> dict[str, Any]:
    """The record of a folder; empty where there is none.

    Raises:
        AnotherBuild: it cannot be read.
    """
    path = out / RECORD
    try:
        return json.loads(path.read_text()) if path.exists() else {}
    except ValueError as error:
        raise AnotherBuild(f"{path} cannot be read: {error}; give another out") from error


def recall(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The configuration with the values of its folder's record, except those that the user gives.

    Raises:
        AnotherBuild: the record cannot be read.
    """
    found = read_record(Path(config.out).expanduser()).get("found_by") if config.out else None
    if not found:
        return config
    given = {override.key_or_group for override in OverridesParser.create().parse_overrides(list(overrides))}
    OmegaConf.set_struct(config, False)
    recalled = OmegaConf.merge(config, found)
    for key in given:
        OmegaConf.update(recalled, key, OmegaConf.select(config, key))
        who, _, name = key.rpartition(".")
        if name == "model" and f"{who}.revision" not in given:
            OmegaConf.update(recalled, f"{who}.revision", None)
    return recalled


def _is_stored(by: str, known: Mapping[str, Any], settings: BuildSettings) -> bool:
    if by == "selection":
        return (settings.out / DATA).exists()
    place = known.get("found_by", {}).get("store")
    with Store(Path(place) if place else settings.store, read_only=True) as store:
        group = known.get("groups", {}).get(by)
        return len(store) > 0 if group is None else store.has_any(bytes.fromhex(group))


def _groups(settings: BuildSettings, stages: Sequence[Stage]) -> dict[str, str]:
    groups = groups_of(settings)
    return {name: groups[name].hex() for name in ("answers", "critiques")[: 2 if _asks_expert(stages) else 1]}


def _found_by(settings: BuildSettings, config: DictConfig, stages: Sequence[Stage]) -> dict[str, Any]:
    """What `recall` puts into a configuration: paths from the root on, models with what tells their weights."""
    plain = OmegaConf.to_container(config, resolve=True)
    found = {key: plain[key] for key in (*OF_ANSWERS, *(OF_CRITIQUES if _asks_expert(stages) else ()))}
    found["prompts"] = _absolute(found["prompts"])
    found["against"] = [_absolute(name) for name in found["against"]]
    writers = {"policy" if settings.answers == "self" else "other": settings.writer}
    if _asks_expert(stages):
        writers["expert"] = settings.expert
        found["prompt"] = found["prompt"] and _absolute(found["prompt"])
        if "/" in str(found["specification"]) or str(found["specification"]).endswith((".yaml", ".yml")):
            found["specification"] = _absolute(found["specification"])
    for name, writer in writers.items():
        place = _absolute(writer.model) if is_path(writer.model, bool(writer.url)) else writer.model
        known = {"model": place, "url": writer.url and _without_secrets(writer.url)}
        found[name] |= known | {"revision": writer.origin().get("revision")}
    if settings.store.resolve() != (settings.out / "store.sqlite").resolve():
        found["store"] = str(settings.store.resolve())
    return found


def _asks_expert(stages: Sequence[Stage]) -> bool:
    return bool(set(stages) - WITHOUT_EXPERT)


def _absolute(name: str) -> str:
    """The name of a file, perhaps with ``#`` and more behind it, from the root on; another name as it is."""
    file, mark, rest = str(name).partition("#")
    path = Path(file).expanduser()
    return f"{path.resolve()}{mark}{rest}" if path.exists() else str(name)


def _without_secrets(url: str) -> str:
    return urlsplit(url)._replace(netloc=urlsplit(url).netloc.rpartition("@")[2], query="").geturl()
