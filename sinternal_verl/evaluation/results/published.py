"""The paper's figures beside ours: shown where set, subset and judge are the same, else it is said what differs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sinternal_verl.evaluation.results.summary import Result

FILE = Path(__file__).with_name("published.yaml")


@dataclass(frozen=True, slots=True)
class Published:
    """What was published of a figure.

    Attributes:
        values: by the name of the published row, in percent; empty where set, subset or judge differ.
        ablations: the same of the paper's ablations.
        differs: what differs, a phrase each.
    """

    values: Mapping[str, float]
    differs: tuple[str, ...] = ()
    ablations: Mapping[str, float] = field(default_factory=dict)


@cache
def published() -> Mapping[str, Any]:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def names(kind: str = "values") -> list[str]:
    """The names of the published rows, in their order; of the kind ``ablations`` those of the ablations."""
    return list(dict.fromkeys(name for entry in published()["figures"] for name in entry.get(kind, ())))


def beside(figure: Result) -> Published | None:
    """What was published of this figure; None where nothing was."""
    for entry in published()["figures"]:
        if (entry["set"], entry["scorer"], entry["metric"]) == (figure.log.set, figure.scorer, figure.metric):
            grave = _differences(entry, figure)
            differs = (*grave, *_decoding(entry.get("decoding", published()["decoding"]), figure))
            return Published({}, differs) if grave else Published(entry["values"], differs, entry.get("ablations", {}))
    return None


def _differences(entry: Mapping[str, Any], figure: Result) -> tuple[str, ...]:
    """Why the two are not the same figure."""
    found = [f"the set: {differs}"] if (differs := figure.log.origin.get("differs")) else []
    if figure.log.items != entry["n"]:
        found.append(f"{figure.log.items} items, the paper has {entry['n']}")
    for what, known in (("judge", figure.judge), ("judged", figure.judged)):
        if entry.get(what) and known != entry[what]:
            found.append(f"{what} {known or 'not known'}, the paper's {entry[what]}")
    if (model := entry.get("judge_model")) and model not in figure.judge_model:
        found.append(f"judge's model {figure.judge_model or 'not known'}, the paper's {model}")
    return tuple(found)


def _decoding(theirs: Mapping[str, Any], figure: Result) -> tuple[str, ...]:
    ours = {**figure.log.parameters, **_flat(figure.log.decoding)}
    return tuple(
        f"{name} {ours[name]}, the group's {value}"
        for name, value in theirs.items()
        if name in ours and ours[name] != value
    )


def _flat(decoding: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that a server takes in ``extra_body`` beside the others."""
    inner = decoding.get("extra_body")
    return {**(inner if isinstance(inner, Mapping) else {}), **decoding}
