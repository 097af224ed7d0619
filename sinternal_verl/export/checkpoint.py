"""The weights of an FSDP checkpoint of verl, SFT or GRPO, whole and in the dtype they were kept in.

verl's own merger turns everything to bfloat16 and leaves a LoRA adapter beside the *base* weights.
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
"""In the record of a run: what it was started from."""


class ExportError(ValueError):
    """No checkpoint, or one that cannot be exported; the message says what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint.

    Attributes:
        folder: where the shards are.
    """

    folder: Path

    @classmethod
    def find(cls, path: Path) -> "Checkpoint":
        """Of a run's folder the last checkpoint; else a step's folder, or the actor's in it.

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
        """Model configuration and tokenizer, as verl saves them."""
        return self.folder / "huggingface"

    @property
    def step(self) -> str:
        """E.g. ``global_step_20``."""
        return self.folder.parent.name if self.folder.name == "actor" else self.folder.name

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return self.folder.parent.parent if self.folder.name == "actor" else self.folder.parent

    @property
    def steps_of_an_unfinished_run(self) -> tuple[int, int] | None:
        """Its last checkpoint's step and the one that is to be its last; None of a run that is done, or of
        which this is not known."""
        saved, last = last_checkpoint(self.run), self.record.get(LAST_STEP)
        return (saved, last) if saved is not None and last is not None and saved < last else None

    @cached_property
    def record(self) -> dict[str, Any]:
        """What our start check left about the run; empty where it did not run."""
        return read_record(self.run)

    @property
    def base(self) -> str | None:
        """The model that the run was started from, where the record says it."""
        identity = self.record.get("identity", {})
        return next((identity[key] for key in MODEL_KEYS if key in identity), None)

    @property
    def lora(self) -> dict[str, Any] | None:
        """Rank and alpha of the adapter, where there is one."""
        file = self.folder / LORA
        return json.loads(file.read_text()) if file.is_file() else None

    def weights(self) -> dict[str, torch.Tensor]:
        """By parameter name, shards joined.

        Raises:
            ExportError: shards are missing or do not fit together.
        """
        world = json.loads((self.folder / CONFIG).read_text())["world_size"]
        files = [self.folder / f"model_world_size_{world}_rank_{rank}.pt" for rank in range(world)]
        if missing := [file.name for file in files if not file.is_file()]:
            step = "save with checkpoint.save_contents=[model,…] and give a checkpoint that was saved whole"
            raise ExportError(f"{self.folder} lacks {', '.join(missing)}: {step}")
        # The file is the user's own run's; it holds DTensors, which `weights_only` refuses. Mapped, not
        # read: of all ranks together no more than one parameter is in memory twice.
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
            # Of a mesh (replicas, shards) the first replica has all of them.
            placement, mesh = first.placements[-1], first.device_mesh.mesh
            parts = [parts[rank] for rank in mesh.reshape(-1, mesh.shape[-1])[0].tolist()]
            local = [part.to_local() for part in parts]
            whole = local[0].clone() if placement.is_replicate() else torch.cat(local, dim=placement.dim)
            if whole.shape != first.shape:
                raise ExportError(f"{self.folder}: {name} joins to {tuple(whole.shape)}, not {tuple(first.shape)}")
            yield name, whole
