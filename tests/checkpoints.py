"""Checkpoints made by hand, in the files that verl's FSDP checkpoint manager writes."""

import json
import shutil
from pathlib import Path

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard

Weights = dict[str, torch.Tensor]


def play_ranks(count: int) -> None:
    """Ranks that one process plays: a mesh needs a process group, and no rank speaks to another."""
    import torch.testing._internal.distributed.fake_pg as fake_pg

    torch.distributed.init_process_group("fake", rank=0, world_size=count, store=fake_pg.FakeStore())


def save_checkpoint(
    run: Path,
    weights: Weights,
    policy: Path,
    mesh: tuple[int, ...] = (2,),
    lora: dict | None = None,
    role: str = "",
    step: int = 3,
) -> Path:
    """Save weights on a mesh as a step of a run.

    Args:
        policy: gives configuration and tokenizer.

    Returns:
        the step's folder, with the role's behind it.
    """
    folder = run / f"global_step_{step}" / role
    folder.mkdir(parents=True)
    world_size = torch.Size(mesh).numel()
    device_mesh = DeviceMesh("cpu", torch.arange(world_size).reshape(mesh))
    for rank in range(world_size):
        shards = {name: shard(weight, device_mesh, rank) for name, weight in weights.items()}
        torch.save(shards, folder / f"model_world_size_{world_size}_rank_{rank}.pt")
    (folder / "fsdp_config.json").write_text(json.dumps({"FSDP_version": 2, "world_size": world_size}))
    if lora:
        (folder / "lora_train_meta.json").write_text(json.dumps(lora))
    shutil.copytree(policy, folder / "huggingface", ignore=shutil.ignore_patterns("*.safetensors*"))
    (run / "latest_checkpointed_iteration.txt").write_text(str(step))
    return folder


def shard(weight: torch.Tensor, mesh: DeviceMesh, rank: int) -> DTensor:
    """What a rank holds: of its first dimension a part, which is less than the others' or nothing at the end."""
    parts = mesh.mesh.shape[-1]
    chunks = [*weight.chunk(parts), *(weight[:0],) * parts][:parts]
    return part_of(chunks[rank % parts].clone(), mesh, weight)


def part_of(local: torch.Tensor, mesh: DeviceMesh, whole: torch.Tensor) -> DTensor:
    placements = [*[Replicate()] * (mesh.ndim - 1), Shard(0)]
    return DTensor.from_local(local, mesh, placements, run_check=False, shape=whole.shape, stride=whole.stride())
