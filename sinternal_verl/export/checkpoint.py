"""The files of an FSDP checkpoint of verl, SFT or GRPO, and the record of the run that saved it. (verl 0.9.1)

<run>/global_step_20/[actor/]model_world_size_8_rank_0.pt ...   a shard for each rank
                             huggingface/                       configuration and tokenizer, from rank 0
                             fsdp_config.json                   written last, by rank 0
                             lora_train_meta.json               rank and alpha, where there is an adapter
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sinternal_verl.export.errors import ExportError
from sinternal_verl.export.objects import read_object
from sinternal_verl.runs.record import LAST_STEP, RECORD, last_checkpoint, step_folder

CONFIG, LORA, HF, SHARDS = "fsdp_config.json", "lora_train_meta.json", "huggingface", "model_world_size_*_rank_*.pt"
ADAPTER_CONFIG = "adapter_config.json"
MODEL_KEYS = ("actor_rollout_ref.model.path", "model.path")
"""Keys in the identity of a run's record: the model that the run was started from."""

TOKENIZER_KEYS = ("actor_rollout_ref.model.tokenizer_path", "model.tokenizer_path", *MODEL_KEYS)
ADAPTER_KEYS = ("actor_rollout_ref.model.lora_adapter_path", "model.lora_adapter_path")
RANK_KEYS = ("actor_rollout_ref.model.lora_rank", "model.lora_rank")
ALPHA_KEYS = ("actor_rollout_ref.model.lora_alpha", "model.lora_alpha")


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
            ExportError: there is none, or it was not saved whole.
        """
        run, last = path, last_checkpoint(path)
        if last is not None:
            path = step_folder(path, last)
            if not path.is_dir():
                raise ExportError(f"{run} names {path.name} as its last checkpoint, which is gone{_others(run)}")
        for folder in (path, path / "actor"):
            if (folder / CONFIG).is_file():
                return cls(folder)
            if any(folder.glob(SHARDS)):
                lacks = f"{folder} was not saved whole: it holds shards, but no {CONFIG}, which verl writes last"
                raise ExportError(lacks + _others(cls(folder).run))
        step = "give the folder of a run (trainer.default_local_dir) or of a step (global_step_N)"
        raise ExportError(f"{path} holds no FSDP checkpoint of verl ({CONFIG} is not in it): {step}")

    @property
    def hf_folder(self) -> Path:
        """The folder with model configuration and tokenizer, as verl saves them.

        Raises:
            ExportError: it holds no configuration.
        """
        folder = self.folder / HF
        if not (folder / "config.json").is_file():
            raise ExportError(f"{folder} holds no config.json, without which the model is not known")
        return folder

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
        """The run's record, which our start check writes; empty where that did not run.

        Raises:
            ExportError: it cannot be read.
        """
        file = self.run / RECORD
        return read_object(file) if file.is_file() else {}

    def recorded(self, keys: Iterable[str]) -> Any:
        """The value of the first of these keys of the run's configuration that the record has; None without one."""
        identity = self.record.get("identity", {})
        return next((identity[key] for key in keys if identity.get(key) is not None), None)

    @property
    def base(self) -> str | None:
        """The model that the run was started from; None where the record does not say."""
        return self.recorded(MODEL_KEYS)

    @property
    def base_digest(self) -> str | None:
        """The digest of the base at the run's start (`runs.digests.digest_of`); None where the record has none."""
        digests = self.record.get("digests", {})
        return next((digests[key][0] for key in MODEL_KEYS if digests.get(key)), None)

    @property
    def lora(self) -> dict[str, Any] | None:
        """Rank (``r``) and alpha (``lora_alpha``) of the adapter; None where there is no adapter.

        Raises:
            ExportError: the file that says so cannot be read.
        """
        file = self.folder / LORA
        if file.is_file():
            return read_object(file)
        rank = self.recorded(RANK_KEYS)
        return {"r": rank, "lora_alpha": self.recorded(ALPHA_KEYS), "task_type": "CAUSAL_LM"} if rank else None

    @property
    def adapter_source(self) -> str | None:
        """The folder or hub id of peft whose configuration the adapter has. verl's own file has rank and alpha only,
        which is all of an adapter that verl made itself: then this is None.

        A file `ADAPTER_CONFIG` in the checkpoint's folder goes before the run's ``model.lora_adapter_path``.
        """
        return str(self.folder) if (self.folder / ADAPTER_CONFIG).is_file() else self.recorded(ADAPTER_KEYS)

    @property
    def shards(self) -> list[Path]:
        """The files of all ranks, in their order.

        Raises:
            ExportError: one is missing or empty.
        """
        world = read_object(self.folder / CONFIG).get("world_size")
        if not isinstance(world, int) or world < 1:
            raise ExportError(f"{self.folder / CONFIG} does not say the number of ranks (world_size: {world})")
        files = [self.folder / f"model_world_size_{world}_rank_{rank}.pt" for rank in range(world)]
        if missing := [file.name for file in files if not file.is_file() or not file.stat().st_size]:
            step = "save with checkpoint.save_contents=[model,…] and give a checkpoint that was saved whole"
            raise ExportError(f"{self.folder} lacks {', '.join(missing)}: {step}{_others(self.run, self.step)}")
        return files


def _others(run: Path, but: str | None = None) -> str:
    """The other steps of a run, to go on from."""
    steps = [folder.name for folder in run.glob("global_step_*") if folder.name != but]
    steps = [name for name in steps if any((run / name).glob(f"**/{CONFIG}"))]
    return f"; {run} holds {', '.join(sorted(steps))}" if steps else ""
