"""The model card: what the exported folder was made of. It states nothing that no file states: no licence of ours, and
no path of this machine."""

import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sinternal_verl import __version__
from sinternal_verl.export.base import Base
from sinternal_verl.export.checkpoint import Checkpoint

TOLD = (
    "sinternal.*",
    "algorithm.adv_estimator",
    "data.train_*",
    "data.max_*",
    "data.seed",
    "trainer.seed",
    "*model.path",
    "*model.lora_*",
    "optim.*",
    "*actor.optim.*",
    "*actor.clip_ratio*",
    "*rollout.n",
    "*rollout.temperature",
    "processes",
)
"""Keys of a run's configuration that the model card shows."""


@dataclass(frozen=True)
class Card:
    """
    Attributes:
        base: None where it is not known.
        dtype: of the weights, such as ``bfloat16``.
        adapter: whether the folder holds the adapter alone.
        data: what the run was trained on, an entry a file.
        notes: what a reader of the folder must know; each begins with a word, and none has a path of this machine.
    """

    checkpoint: Checkpoint
    base: Base | None
    dtype: str
    adapter: bool
    data: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The card as Markdown, with YAML at its head."""
        record = self.checkpoint.record
        made_of = {
            "base": self.base and self._base(),
            "step": self.checkpoint.step,
            "dtype": self.dtype,
            "lora": self.checkpoint.lora,
            "exported_by": f"sinternal_verl {__version__}",
            "data": without_folders(self.data),
            "run": without_folders(_told(record)),
        }
        recipe = record.get("identity", {}).get("sinternal.recipe", "verl")
        lines = [
            "---",
            *(f"{key}: {json.dumps(value)}" for key, value in self._front().items() if value),
            "---",
            "",
            f"# {'Adapter' if self.adapter else 'Model'} of a run of {recipe}",
            "",
            f"Exported from {self.checkpoint.step} of a run with verl. {self._origin()} {self._licence()}",
            "",
            *(f"{note[0].upper()}{note[1:]}.\n" for note in self.notes),
            "```json",
            json.dumps(made_of, indent=2, ensure_ascii=False),
            "```",
        ]
        return "\n".join(lines) + "\n"

    def _base(self) -> dict[str, Any]:
        # The way to a folder tells others nothing; its name may.
        return {"name": self.base.folder.name, "hub_id": self.base.hub_id, "commit": self.base.revision}

    def _front(self) -> dict[str, Any]:
        base = self.base
        return {
            "library_name": "peft" if self.adapter else "transformers",
            "base_model": base and base.hub_id,
            "base_model_relation": base and base.hub_id and ("adapter" if self.adapter else "finetune"),
            **(base.licence if base else {}),
            "datasets": sorted({hub_id for entry in self.data for hub_id in hub_ids(entry.get("made"))}),
            "tags": ["safety", "sinternal", *(["lora"] if self.adapter else [])],
        }

    def _origin(self) -> str:
        if self.base is None:
            return "Its base model is not known."
        if self.base.hub_id is None:
            return "Its base model is a folder without a hub id."
        if self.base.is_itself_on_the_hub:
            return f"Its base model is {self.base.hub_id}."
        return f"Its base model is a folder that comes from {self.base.hub_id}."

    def _licence(self) -> str:
        stated = self.base.licence.get("license") if self.base else None
        return f"The base model's card states the licence {stated}." if stated else "The base model's licence applies."


def hub_ids(made: Any) -> set[str]:
    """Hub datasets within the provenance of a file that `sinternal-verl data` made: sources that have a split.

    >>> hub_ids({"parts": [{"made": {"source": "openai/gsm8k", "split": "train"}}, {"source": "a/b.json"}]})
    {'openai/gsm8k'}
    """
    if isinstance(made, list):
        return {found for each in made for found in hub_ids(each)}
    if not isinstance(made, dict):
        return set()
    own = {made["source"]} if isinstance(made.get("source"), str) and "split" in made else set()
    return own | hub_ids(list(made.values()))


def without_folders(value: Any) -> Any:
    """A value with the names alone of its absolute paths: the way to a file tells others nothing.

    >>> without_folders({"model.path": "/home/me/models/small", "files": ["~/a.parquet"], "reward": "org/model"})
    {'model.path': 'small', 'files': ['a.parquet'], 'reward': 'org/model'}
    """
    if isinstance(value, dict):
        return {key: without_folders(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_folders(each) for each in value]
    is_path = isinstance(value, str) and value.startswith(("/", "~/", "file:/"))
    return (Path(value).name or value) if is_path else value


def _told(record: dict[str, Any]) -> dict[str, Any]:
    """The record with the values of `TOLD` only: it has some hundred."""
    identity = record.get("identity", {})
    told = {key: value for key, value in identity.items() if any(fnmatchcase(key, pattern) for pattern in TOLD)}
    return {key: value for key, value in record.items() if key not in ("digests", "defaults")} | {"identity": told}
