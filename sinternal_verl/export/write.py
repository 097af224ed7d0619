"""Writes a checkpoint of verl as a Hugging Face folder.

1. Build the model without data, and compare names and shapes with what the shards hold.
2. Say what memory and disk it takes, and refuse where there is too little.
3. Refuse a result that equals the base model: nothing was learned, or another checkpoint was meant.
4. Join, fuse (a LoRA adapter, in float32) and write the weights in the base model's dtype, file by file; then
   configuration, tokenizer and model card. The folder appears when it is whole.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sinternal_verl.export.base import Base, configured_dtype
from sinternal_verl.export.card import Card
from sinternal_verl.export.checkpoint import Checkpoint
from sinternal_verl.export.errors import ExportError
from sinternal_verl.export.folder import dtype_name, whole_or_not_at_all, write_config, write_weights
from sinternal_verl.export.fuse import Fused, adapter_of, check_learned
from sinternal_verl.export.needs import Needs
from sinternal_verl.export.shards import Shards
from sinternal_verl.export.skeleton import Skeleton
from sinternal_verl.export.tokenizer import write_tokenizer


@dataclass(frozen=True)
class Written:
    """
    Attributes:
        dtype: of the weights.
        notes: what the user must know of the result.
    """

    dtype: torch.dtype
    notes: list[str] = field(default_factory=list)


def write_model(
    checkpoint: Checkpoint,
    target: Path,
    base: Base | None,
    adapter: bool,
    data: list[dict[str, Any]] | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Written:
    """Write weights, tokenizer and model card into ``target``.

    Args:
        base: the model that the run was started from; None skips the comparison with it.
        adapter: write only the LoRA adapter.
        data: what the run was trained on, for the card.
        tell: gets a line with what is needed and what there is, before the weights are read.

    Raises:
        ExportError: the checkpoint cannot be exported, or has learned nothing; the message says what to do.
    """
    if adapter and not checkpoint.lora:
        raise ExportError(f"{checkpoint.folder} has no adapter: leave out --adapter")
    shards = Shards(checkpoint)
    # A reader of an adapter looks for its base under this name.
    named = (base.hub_id if base.is_itself_on_the_hub else str(base.folder.absolute())) if base else None
    skeleton = Skeleton.of(checkpoint, shards.specs, named)
    skeleton.check(shards.specs, checkpoint.folder)
    if skeleton.adapted:
        if not adapter and base is None and shards.specs.keys() <= skeleton.adapter:
            raise ExportError("the checkpoint holds the adapter alone: give the base model with --base")
        check_learned(shards, skeleton)
    dtype = base.dtype if base else configured_dtype(checkpoint.hf_folder) or torch.float32
    write = _write_adapter if adapter else _write_whole
    rows = skeleton.model.get_input_embeddings().weight.shape[0]
    with whole_or_not_at_all(target) as folder:
        of_tokenizer = write_tokenizer(checkpoint, base, rows, folder)
        notes = write(checkpoint, shards, skeleton, base, dtype, folder, lambda needs: tell(needs.check(target)))
        told = [*notes, *(note.with_names for note in of_tokenizer)]
        card = Card(checkpoint, base, dtype_name(dtype), adapter, data or [], told)
        (folder / "README.md").write_text(card.text())
    return Written(dtype, [*notes, *(note.with_paths for note in of_tokenizer)])


Told = Callable[[Needs], None]


def _write_whole(
    checkpoint: Checkpoint,
    shards: Shards,
    skeleton: Skeleton,
    base: Base | None,
    dtype: torch.dtype,
    folder: Path,
    told: Told,
) -> list[str]:
    weights = base.weights(skeleton.specs) if base else None
    fused = Fused(shards, skeleton, weights, dtype)
    told(Needs.of(shards, skeleton, fused, weights))
    if weights and fused.equals(weights):
        raise ExportError(f"the result equals {base.name}: nothing was learned, or this is another checkpoint")
    write_weights(fused, skeleton, folder)
    write_config(checkpoint, skeleton, fused, base, folder)
    if not fused.untied:
        return []
    kept = skeleton.tied[next(iter(fused.untied))]
    both = f"{', '.join(sorted(fused.untied))} and {kept}"
    untied = f"the tied parameters {both} differ, so both are written and tie_word_embeddings is false"
    return [untied]


def _write_adapter(
    checkpoint: Checkpoint,
    shards: Shards,
    skeleton: Skeleton,
    base: Base | None,
    dtype: torch.dtype,
    folder: Path,
    told: Told,
) -> list[str]:
    told(Needs.of_adapter(shards, skeleton))
    with warnings.catch_warnings():
        # peft warns of tied modules; the note below says what follows.
        warnings.simplefilter("ignore")
        weights = adapter_of(shards, skeleton, dtype)
        skeleton.adapted.save_pretrained(folder, state_dict=weights, save_embedding_layers=False)
    tied = {*skeleton.tied, *skeleton.tied.values()}
    if not any(f".{name.removesuffix('.weight')}." in f".{adapted}" for name in tied for adapted in weights):
        return []
    return ["the adapter changes one of two tied parameters: merging it into the base changes the other one, too"]
