"""Writes what transformers, vLLM and peft load: weights file by file, and configuration."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sinternal_verl.export.base import INDEX, Base
from sinternal_verl.export.checkpoint import Checkpoint
from sinternal_verl.export.fuse import Fused
from sinternal_verl.export.objects import read_object
from sinternal_verl.export.shards import bytes_of
from sinternal_verl.export.skeleton import Skeleton, Specs

MAX_FILE_BYTES = 4 * 10**9
"""Largest weights file, one parameter aside: a whole one is in memory before it is written."""

WEIGHTS_PATTERN = "model{suffix}.safetensors"
GENERATION = "generation_config.json"


@contextmanager
def whole_or_not_at_all(target: Path) -> Iterator[Path]:
    """A folder beside ``target`` that becomes it when nothing was raised, and is removed otherwise."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        yield partial
        if target.is_dir():
            target.rmdir()
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def planned_files(specs: Specs) -> Any:
    """Which parameter stands in which file, as ``huggingface_hub`` splits them."""
    from huggingface_hub import split_torch_state_dict_into_shards

    return split_torch_state_dict_into_shards(specs, filename_pattern=WEIGHTS_PATTERN, max_shard_size=MAX_FILE_BYTES)


def names_differ_on_disk(skeleton: Skeleton, specs: Specs) -> bool:
    """Whether transformers keeps the model under other names than those of its modules, as experts; then all of it is
    in memory at once. (transformers 5)"""
    from transformers.core_model_loading import revert_weight_conversion

    return revert_weight_conversion(skeleton.model, dict(specs)).keys() != specs.keys()


def largest_file_bytes(specs: Specs) -> int:
    """Bytes of the largest weights file."""
    return max(
        sum(bytes_of(specs[name]) for name in names) for names in planned_files(specs).filename_to_tensors.values()
    )


def write_weights(fused: Fused, skeleton: Skeleton, target: Path) -> None:
    """Write the weights, each file as soon as its parameters are made."""
    from safetensors.torch import save_file
    from transformers.core_model_loading import revert_weight_conversion

    made, specs = fused.read, fused.specs
    if names_differ_on_disk(skeleton, specs):
        weights = revert_weight_conversion(skeleton.model, {name: fused.read(name) for name in specs})
        made, specs = weights.pop, dict(weights)
    plan = planned_files(specs)
    for file, names in plan.filename_to_tensors.items():
        save_file({name: made(name).contiguous() for name in names}, target / file, metadata={"format": "pt"})
    if plan.is_sharded:
        total = {"total_parameters": sum(spec.numel() for spec in specs.values()), **plan.metadata}
        index = {"metadata": total, "weight_map": plan.tensor_to_filename}
        (target / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def write_config(checkpoint: Checkpoint, skeleton: Skeleton, fused: Fused, base: Base | None, target: Path) -> None:
    """Write ``config.json``, and ``generation_config.json`` where the checkpoint or the base has one.

    verl's configuration says bfloat16, whatever the weights are. Readers before transformers 5 know ``torch_dtype`` and
    ``rope_theta`` only, and take defaults of their own without an error; so those stand beside the new keys.
    """
    config = read_object(checkpoint.hf_folder / "config.json")
    named = str(fused.dtype).removeprefix("torch.")
    config |= {"architectures": [type(skeleton.model).__name__], "dtype": named, "torch_dtype": named}
    config |= {"tie_word_embeddings": False} if fused.untied else {}
    rope = config.get("rope_parameters") or {}
    if isinstance(rope.get("rope_theta"), int | float):
        config.setdefault("rope_theta", rope["rope_theta"])
        if rope.get("rope_type", "default") != "default":
            config.setdefault("rope_scaling", {key: value for key, value in rope.items() if key != "rope_theta"})
    config.pop("_name_or_path", None)
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    # Copied as it is: transformers refuses to write some that models are published with, and verl then leaves it out.
    for folder in (checkpoint.hf_folder, *([base.folder] if base else [])):
        if (folder / GENERATION).is_file():
            shutil.copyfile(folder / GENERATION, target / GENERATION)
            return


def dtype_name(dtype: torch.dtype) -> str:
    """Such as ``bfloat16``."""
    return str(dtype).removeprefix("torch.")
