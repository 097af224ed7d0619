"""Reads the weights of an FSDP checkpoint of verl, SFT or GRPO: joined, and in the dtype in which they were kept.

verl's own merger makes all weights bfloat16, and leaves a LoRA adapter beside the *base* weights.
(verl 0.9.1)
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from sinternal_verl.runs.record import LAST_STEP, last_checkpoint, read_record, step_folder

CONFIG, LORA = "fsdp_config.json", "lora_train_meta.json"
MODEL_KEYS = ("actor_rollout_ref.model.path", "model.path")
"""Keys in the identity of a run's record: the model that the run was started from."""


class ExportError(ValueError):
    """There is no checkpoint, or it cannot be exported; the message says what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint.

    Attributes:
        folder: where the shards are.
    """

    folder: Path

    @classmethod
    def find(cls, path: Path) -> "Checkpoint":
        """Find the checkpoint of a folder: the last one of a run's folder, else that of a step's or an actor's folder.

        Raises:
            ExportError: there is none.
        """
        if (last := last_checkpoint(path)) is not None:
            path = step_folder(path, last)
        for folder in (path, path / "actor"):
            if (folder / CONFIG).is_file():
                return cls(folder)
        step = "give the folder of a run (trainer.default_local_dir) or of a step (global_step_N)"
        raise ExportError(f"{path} holds no FSDP checkpoint of verl ({CONFIG} is not in it): {step}")

    @property
    def hf_folder(self) -> Path:
        """The folder with model configuration and tokenizer, as verl saves them."""
        return self.folder / "huggingface"

    @property
    def step(self) -> str:
        """Name of the step's folder, such as ``global_step_20``."""
        return self.folder.parent.name if self.folder.name == "actor" else self.folder.name

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return self.folder.parent.parent if self.folder.name == "actor" else self.folder.parent

    @property
    def steps_of_an_unfinished_run(self) -> tuple[int, int] | None:
        """The step of the run's last checkpoint, and the step at which the run is to end. None where the run is done,
        or where this is not known."""
        saved, last = last_checkpoint(self.run), self.record.get(LAST_STEP)
        return (saved, last) if saved is not None and last is not None and saved < last else None

    @cached_property
    def record(self) -> dict[str, Any]:
        """The run's record, which our start check writes; empty where that did not run."""
        return read_record(self.run)

    @property
    def base(self) -> str | None:
        """The model that the run was started from; None where the record does not say."""
        identity = self.record.get("identity", {})
        return next((identity[key] for key in MODEL_KEYS if key in identity), None)

    @property
    def lora(self) -> dict[str, Any] | None:
        """Rank and alpha of the adapter; None where there is no adapter."""
        file = self.folder / LORA
        return json.loads(file.read_text()) if file.is_file() else None

    def weights(self) -> dict[str, torch.Tensor]:
        """The weights by parameter name, joined from all shards.

        Raises:
            ExportError: shards are missing or do not fit together.
        """
        world = json.loads((self.folder / CONFIG).read_text())["world_size"]
        files = [self.folder / f"model_world_size_{world}_rank_{rank}.pt" for rank in range(world)]
        if missing := [file.name for file in files if not file.is_file()]:
            step = "save with checkpoint.save_contents=[model,…] and give a checkpoint that was saved whole"
            raise ExportError(f"{self.folder} lacks {', '.join(missing)}: {step}")
        # The user's own run wrote the file, so it is trusted; it holds DTensors, which `weights_only` refuses. It is
        # mapped and not read, so that no more than one parameter is in memory twice.
        shards = [torch.load(file, map_location="cpu", weights_only=False, mmap=True) for file in files]
        return dict(self._joined(shards))

    def _joined(self, shards: list[dict[str, Any]]) -> Iterator[tuple[str, torch.Tensor]]:
        for name, first in shards[0].items():
            parts = [shard.get(name) for shard in shards]
            if any(part is None for part in parts):
                raise ExportError(f"{self.folder}: {name} is not in every shard; the checkpoint was not saved whole")
            if not isinstance(first, DTensor):
                yield name, first.clone()
                continue
            # In a mesh of (replicas, shards) the first replica has all shards.
            placement, mesh = first.placements[-1], first.device_mesh.mesh
            parts = [parts[rank] for rank in mesh.reshape(-1, mesh.shape[-1])[0].tolist()]
            local = [part.to_local() for part in parts]
            whole = local[0].clone() if placement.is_replicate() else torch.cat(local, dim=placement.dim)
            if whole.shape != first.shape:
                raise ExportError(f"{self.folder}: {name} joins to {tuple(whole.shape)}, not {tuple(first.shape)}")
            yield name, whole
