"""An SFT dataset for verl whose loss covers the *whole* completion, thought included.

verl's own dataset renders assistant turns through the chat template. R1-style templates drop the thought
from them, so the loss would cover only the answer. Here the prompt is rendered with its generation prompt,
and the raw completion follows unchanged; only an opening ``<think>`` is left out where the generation prompt
ends with one already. The prompt's text never becomes control tokens.

Use: ``data.custom_cls.path=pkg://sinternal_verl.data.sft data.custom_cls.name=PromptCompletionDataset``.
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
import torch
from omegaconf import DictConfig, ListConfig
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from sinternal_verl.data.findings import Findings
from sinternal_verl.tokens import TextEncoder

THINK = "<think>"


class RowsTooLong(ValueError):
    """Rows have more tokens than ``data.max_length``.

    Attributes:
        overlong: which rows, and how many.
        next_step: what the user can change.
    """

    def __init__(self, overlong: Findings, max_length: int) -> None:
        self.overlong = overlong
        self.next_step = f"raise data.max_length={max_length}, drop the rows, or set data.truncation=right"
        super().__init__("\n".join([*overlong.lines(), f"{overlong.count:,} rows are too long: {self.next_step}"]))


class PromptCompletionDataset(Dataset):
    """Rows of ``prompt`` (list of ``{role, content}``) and ``completion`` (str, raw text).

    Each item holds three 1-D int64 tensors of one length T: ``input_ids``, ``position_ids`` and
    ``loss_mask``. The mask is 0 on the prompt and 1 on the completion and its end token. verl collates
    them unpadded (``data.pad_mode=no_padding``, its default). All rows are encoded when the dataset is
    made, before verl loads a model; a token takes four bytes.

    Args:
        max_samples: read only the first rows, so many; -1 reads all.
        within_s: for a check: encode the longest rows first, and stop after so many seconds.

    Attributes:
        rows: how many rows there are; ``len`` is how many are encoded.
        cut: how many rows are longer than ``data.max_length`` and lost their end.

    Raises:
        ValueError: ``data.truncation`` is neither ``error`` nor ``right``, or a file lacks a column.
        RowsTooLong: rows are longer than ``data.max_length``, and ``data.truncation`` is ``error``.
    """

    columns: ClassVar[tuple[str, ...]] = ("prompt", "completion")

    def __init__(
        self,
        parquet_files: str | list[str],
        tokenizer: PreTrainedTokenizerBase,
        config: DictConfig,
        processor: object | None = None,
        max_samples: int = -1,
        within_s: float | None = None,
    ) -> None:
        started = time.monotonic()
        self._tokenizer, self._max_length, self._truncation = tokenizer, config.max_length, config.truncation
        if self._truncation not in ("error", "right"):
            raise ValueError(f"data.truncation={self._truncation}: error or right; left would cut the prompt")
        self._encoder = TextEncoder(tokenizer, **config.get("apply_chat_template_kwargs", {}))
        rows = self._read(parquet_files if isinstance(parquet_files, list | ListConfig) else [parquet_files])
        if max_samples > 0:
            rows = rows[:max_samples]
        if config.get("seed") is not None:
            random.Random(config.seed).shuffle(rows)
        self.rows, overlong = len(rows), Findings()
        if within_s is not None:
            # The number of characters tells well enough which rows have the most tokens.
            rows.sort(key=lambda row: sum(len(str(value)) for value in row[1].values()), reverse=True)
            rows = _until(started + within_s, rows)
        self._items = [self._encode(where, *self.render(row), overlong) for where, row in rows]
        self.cut = overlong.count
        if overlong.count and self._truncation == "error":
            raise RowsTooLong(overlong, self._max_length)

    def render(self, row: dict[str, Any]) -> tuple[list[dict[str, str]], str]:
        """Messages and completion of a row with these `columns`."""
        return row["prompt"], row["completion"]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        ids, prompt = self._items[index]
        return {
            "input_ids": torch.tensor(ids, dtype=torch.int64),
            "position_ids": torch.arange(len(ids), dtype=torch.int64),
            "loss_mask": (torch.arange(len(ids)) >= prompt).long(),
        }

    def _read(self, files: list[str]) -> list[tuple[str, dict[str, Any]]]:
        rows = []
        for file in map(str, files):
            names = pq.read_schema(Path(file).expanduser()).names
            if missing := [column for column in self.columns if column not in names]:
                raise ValueError(f"{file}: no column {missing}; it has {names}, need {list(self.columns)}")
            table = pq.read_table(Path(file).expanduser(), columns=list(self.columns))
            rows += [(f"{file}, row {number}", row) for number, row in enumerate(table.to_pylist())]
        return rows

    def _encode(
        self, where: str, messages: list[dict[str, str]], completion: str, overlong: Findings
    ) -> tuple[np.ndarray, int]:
        """Token ids, and how many of them are the prompt's."""
        prompt_ids = self._encoder.encode_prompt(messages)
        # Where the template has opened the thought, the completion must not open it again.
        if completion.startswith(THINK) and self._tokenizer.decode(prompt_ids[-8:]).rstrip().endswith(THINK):
            completion = completion.removeprefix(THINK).lstrip("\n")
        completion_ids = self._tokenizer.encode(completion, add_special_tokens=False)
        ids = [*prompt_ids, *completion_ids, self._tokenizer.eos_token_id]
        if len(ids) > self._max_length:
            overlong.add(f"{where}: {len(ids)} tokens, more than data.max_length={self._max_length}")
        return np.array(ids[: self._max_length], dtype=np.int32), len(prompt_ids)


def _until(deadline: float, rows: list[Any]) -> Iterator[Any]:
    """The rows until the clock (`time.monotonic`) passes the deadline, but at least one."""
    for number, row in enumerate(rows):
        if number and time.monotonic() > deadline:
            return
        yield row
