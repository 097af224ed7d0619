"""An SFT dataset for verl whose loss covers the *whole* completion, thought included.

verl's own dataset renders assistant turns through the chat template, and R1-style templates drop
the thought from them, so the loss would cover the answer alone. Here the prompt is rendered with its
generation prompt (which may already open ``<think>``) and the raw completion follows as it is.

Use: ``data.custom_cls.path=pkg://sinternal_verl.data.sft data.custom_cls.name=PromptCompletionDataset``.
"""

import random
from pathlib import Path

import pyarrow.parquet as pq
import torch
from omegaconf import DictConfig, ListConfig
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

COLUMNS = ("prompt", "completion")


class PromptCompletionDataset(Dataset):
    """Rows of ``prompt`` (list of ``{role, content}``) and ``completion`` (str, raw text).

    Each item holds 1-D int64 tensors of one length T: ``input_ids``, ``position_ids`` and
    ``loss_mask``, the mask 0 on the prompt and 1 on the completion and its end token. verl collates
    them unpadded (``data.pad_mode=no_padding``, its default).

    Raises:
        ValueError: ``data.truncation`` is neither ``error`` nor ``right``, a file lacks a column, or a
            row is longer than ``data.max_length`` under ``error``; the message names file and row.
    """

    def __init__(
        self,
        parquet_files: str | list[str],
        tokenizer: PreTrainedTokenizerBase,
        config: DictConfig,
        processor: object | None = None,
        max_samples: int = -1,
    ) -> None:
        files = parquet_files if isinstance(parquet_files, list | ListConfig) else [parquet_files]
        self._tokenizer = tokenizer
        self._max_length = config.max_length
        self._truncation = config.truncation
        if self._truncation not in ("error", "right"):
            raise ValueError(f"data.truncation={self._truncation}: error or right; left would cut the prompt")
        self._template_kwargs = dict(config.get("apply_chat_template_kwargs", {}))
        self._rows: list[tuple[str, int, list[dict], str]] = []
        for file in map(str, files):
            table = pq.read_table(Path(file).expanduser())
            missing = [column for column in COLUMNS if column not in table.column_names]
            if missing:
                raise ValueError(f"{file}: no column {missing}; it has {table.column_names}, need {list(COLUMNS)}")
            prompts, completions = (table.column(column).to_pylist() for column in COLUMNS)
            self._rows += [(file, row, *pair) for row, pair in enumerate(zip(prompts, completions, strict=True))]
        if max_samples > 0:
            self._rows = self._rows[:max_samples]
        if config.get("seed") is not None:
            random.Random(config.seed).shuffle(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        file, row, messages, completion = self._rows[index]
        prompt = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, **self._template_kwargs
        )
        prompt_ids = self._tokenizer.encode(prompt, add_special_tokens=False)
        completion_ids = self._tokenizer.encode(completion, add_special_tokens=False)
        ids = prompt_ids + completion_ids + [self._tokenizer.eos_token_id]
        mask = [0] * len(prompt_ids) + [1] * (len(completion_ids) + 1)
        if len(ids) > self._max_length:
            if self._truncation == "error":
                raise ValueError(
                    f"{file}, row {row}: {len(ids)} tokens, more than data.max_length={self._max_length}; "
                    "raise it, drop the row, or set data.truncation=right"
                )
            ids, mask = ids[: self._max_length], mask[: self._max_length]
        return {
            "input_ids": torch.tensor(ids, dtype=torch.int64),
            "position_ids": torch.arange(len(ids), dtype=torch.int64),
            "loss_mask": torch.tensor(mask, dtype=torch.int64),
        }
