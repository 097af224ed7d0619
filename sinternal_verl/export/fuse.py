"""Writes a checkpoint of verl as a Hugging Face folder.

1. Join the shards, and fuse a LoRA adapter with peft, in float32.
2. Refuse a result that equals the base model: nothing was learned, or another checkpoint was meant.
3. Write the weights in the base model's dtype, the tokenizer with its chat template, and a model card.
"""

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sinternal_verl import __version__
from sinternal_verl.export.checkpoint import Checkpoint, ExportError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADAPTER = "adapter_model.safetensors"

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


def write_model(checkpoint: Checkpoint, target: Path, base: str | None, adapter: bool) -> torch.dtype:
    """Write weights, tokenizer and model card into ``target``, and return the weights' dtype.

    Args:
        base: the model that the run was started from; None skips the comparison with it.
        adapter: write only the LoRA adapter.

    Raises:
        ExportError: the checkpoint cannot be exported, or has learned nothing; the message says what to do.
    """
    model = _adapted(checkpoint, base) if checkpoint.lora else _whole(checkpoint)
    if adapter and not checkpoint.lora:
        raise ExportError(f"{checkpoint.folder} has no adapter: leave out --adapter")
    dtype = _dtype(checkpoint, base)
    if adapter:
        model.to(dtype).save_pretrained(target)
    else:
        fused = model.merge_and_unload() if checkpoint.lora else model
        if base and _equal(fused.to(dtype), base):
            raise ExportError(f"the result equals {base}: nothing was learned, or this is another checkpoint")
        fused.config.dtype = dtype
        fused.save_pretrained(target)
    _tokenizer(checkpoint).save_pretrained(target)
    (target / "README.md").write_text(_card(checkpoint, base, dtype, adapter))
    return dtype


def _whole(checkpoint: Checkpoint) -> "PreTrainedModel":
    model = _empty(checkpoint)
    _load(model, checkpoint.weights())
    return model


def _adapted(checkpoint: Checkpoint, base: str | None) -> Any:
    """A peft model with the checkpoint's weights. Where it holds only the adapter, the base model gives the others.

    Raises:
        ExportError: the adapter is missing, zero or without its alpha, or the base model is not given.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    weights, lora = checkpoint.weights(), checkpoint.lora
    adapter = {name: weight for name, weight in weights.items() if "lora_" in name}
    if not adapter:
        raise ExportError(f"{checkpoint.folder} tells of an adapter of rank {lora.get('r')}, but holds none")
    if not any(weight.count_nonzero() for name, weight in adapter.items() if "lora_B" in name):
        raise ExportError("the adapter is still zero: nothing was learned, or this is another checkpoint")
    if not lora.get("lora_alpha"):
        raise ExportError(f"{checkpoint.folder} does not say the adapter's alpha, without which it cannot be fused")
    if len(adapter) == len(weights):
        if not base:
            raise ExportError("the checkpoint holds the adapter alone: give the base model with --base")
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    else:
        model = _empty(checkpoint)
    modules = sorted({name.partition(".lora_")[0].rpartition(".")[2] for name in adapter})
    settings = LoraConfig(
        r=lora["r"],
        lora_alpha=lora["lora_alpha"],
        target_modules=modules,
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
    )
    model = get_peft_model(model, settings)
    _load(model, weights, strict=len(adapter) != len(weights))
    return model


def _empty(checkpoint: Checkpoint) -> "PreTrainedModel":
    """A model of the checkpoint's architecture, whose weights are still to be loaded."""
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    config = AutoConfig.from_pretrained(checkpoint.hf_folder)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    if (checkpoint.hf_folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(checkpoint.hf_folder)
    return model


def _load(model: torch.nn.Module, weights: dict[str, torch.Tensor], strict: bool = True) -> None:
    """Load the weights into a model.

    Raises:
        ExportError: the model has parameters that the checkpoint lacks, or the other way round.
    """
    missing, unexpected = model.load_state_dict(weights, strict=False)
    tied = ("lm_head.weight",) if model.config.tie_word_embeddings else ()
    missing = [name for name in missing if strict and not name.endswith(tied)]
    for what, names in (("lacks", missing), ("holds besides", unexpected)):
        if names:
            few = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            raise ExportError(f"the checkpoint does not fit its own configuration: it {what} {few}")


def _dtype(checkpoint: Checkpoint, base: str | None) -> torch.dtype:
    """The base model's dtype. verl's saved configuration says bfloat16, whatever the weights are."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(base or checkpoint.hf_folder)
    return config.dtype if isinstance(config.dtype, torch.dtype) else torch.float32


def _equal(model: "PreTrainedModel", base: str) -> bool:
    from transformers import AutoModelForCausalLM

    other = AutoModelForCausalLM.from_pretrained(base, dtype=model.dtype).state_dict()
    return all(name in other and torch.equal(weight, other[name]) for name, weight in model.state_dict().items())


def _tokenizer(checkpoint: Checkpoint) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(checkpoint.hf_folder)


def _told(record: dict[str, Any]) -> dict[str, Any]:
    """The record with the values of `TOLD` only: it has some hundred."""
    identity = record.get("identity", {})
    told = {key: value for key, value in identity.items() if any(fnmatchcase(key, pattern) for pattern in TOLD)}
    return {key: value for key, value in record.items() if key not in ("digests", "defaults")} | {"identity": told}


def _card(checkpoint: Checkpoint, base: str | None, dtype: torch.dtype, adapter: bool) -> str:
    # A path on this machine tells others nothing; a hub id does.
    named = base if base and not Path(base).is_absolute() else None
    front = {"library_name": "peft" if adapter else "transformers", "base_model": named}
    tags = ["safety", "sinternal", *(["lora"] if adapter else [])]
    made_of = {
        "base": base,
        "step": checkpoint.step,
        "dtype": str(dtype).removeprefix("torch."),
        "lora": checkpoint.lora,
        "exported_by": f"sinternal_verl {__version__}",
        "run": _told(checkpoint.record),
    }
    recipe = checkpoint.record.get("identity", {}).get("sinternal.recipe", "verl")
    lines = [
        "---",
        *(f"{key}: {value}" for key, value in front.items() if value),
        f"tags: [{', '.join(tags)}]",
        "---",
        "",
        f"# {'Adapter' if adapter else 'Model'} of a run of {recipe}",
        "",
        f"Exported from {checkpoint.step} of a run with verl.",
        "",
        "```json",
        json.dumps(made_of, indent=2),
        "```",
    ]
    return "\n".join(lines) + "\n"
