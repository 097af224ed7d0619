"""An SFT dataset for verl whose loss covers the *whole* completion, thought included, and its end token.

verl's own dataset renders assistant turns through the chat template. R1-style templates drop the thought
from them, so the loss would cover only the answer. Here the prompt is rendered with its generation prompt, as at
inference, and the completion follows it (`sinternal_verl.data.turn`). The prompt's text never becomes control tokens.

Use: ``data.custom_cls.path=pkg://sinternal_verl.data.sft data.custom_cls.name=PromptCompletionDataset``.
"""

import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from sinternal_verl.data.adapter import RowError, misnamed
from sinternal_verl.data.findings import Findings
from sinternal_verl.data.readers import read_parquet
from sinternal_verl.data.turn import TurnEncoder


class Refused:
    """Rows that cannot be trained on, gathered by reason: a setting that fits no row has one reason and many rows.

    >>> refused = Refused()
    >>> for row in range(3):
    ...     refused.add(f"rows.parquet, row {row}", "its completion is empty")
    >>> refused.count, refused.lines()
    (3, ['rows.parquet, row 0 and 2 more: its completion is empty'])
    """

    def __init__(self) -> None:
        self.count = 0
        self._rows: dict[str, tuple[str, int]] = {}

    def add(self, where: str, reason: str) -> None:
        self.count += 1
        first, count = self._rows.get(reason, (where, 0))
        self._rows[reason] = first, count + 1

    def lines(self) -> list[str]:
        """The first row of each reason, and how many more have it."""
        lines = Findings()
        for reason, (first, count) in self._rows.items():
            lines.add(f"{first}{f' and {count - 1:,} more' if count > 1 else ''}: {reason}")
        return lines.lines()


class RowsRefused(ValueError):
    """Rows cannot be trained on.

    Attributes:
        refused: which rows, and why.
    """

    def __init__(self, refused: Refused) -> None:
        self.refused = refused
        super().__init__("\n".join([*refused.lines(), f"{refused.count:,} rows cannot be trained on"]))


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

    A row's prompt is what a server makes of its messages, and its completion ends with the one end token at which the
    server stops. A completion may hold its end token already. What the template has written of the assistant's turn,
    such as an opening ``<think>``, is not repeated.

    Args:
        max_samples: read only the first rows, so many; -1 reads all.
        within_s: for a check: encode the longest rows first, and stop after so many seconds.

    Attributes:
        rows: how many rows there are; ``len`` is how many are encoded.
        cut: how many rows are longer than ``data.max_length`` and lost their end.

    Raises:
        ValueError: a setting cannot be used, a file lacks a column, or the tokenizer has no chat template.
        RowsRefused: a row has a null, messages that the template does not take, or a completion that does not fit it.
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
        self._max_length, self._truncation = config.max_length, config.truncation
        _check_settings(config)
        kwargs = OmegaConf.to_container(OmegaConf.create(config.get("apply_chat_template_kwargs") or {}))
        self._encoder = TurnEncoder(tokenizer, **kwargs)
        rows = self._read(parquet_files if isinstance(parquet_files, list | ListConfig) else [parquet_files])
        rows = list(islice(rows, max_samples) if max_samples > 0 else rows)
        self.rows, refused, overlong = len(rows), Refused(), Findings()
        if within_s is not None:
            # The number of characters tells well enough which rows have the most tokens.
            rows.sort(key=lambda row: sum(len(str(value)) for value in row[1].values()), reverse=True)
            rows = _until(started + within_s, rows)
        self._items = []
        for where, row in rows:
            try:
                self._items.append(self._encode(where, row, overlong))
            except RowError as error:
                refused.add(where, str(error))
        if config.get("seed") is not None:
            random.Random(config.seed).shuffle(self._items)
        self.cut = overlong.count
        if refused.count:
            raise RowsRefused(refused)
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

    def _read(self, files: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        for file in map(str, files):
            names = pq.read_schema(Path(file).expanduser()).names
            if missing := [column for column in self.columns if column not in names]:
                near = misnamed(missing[0], names)
                step = f"; {near}" if near else ""
                raise ValueError(f"{file}: no column {missing}; it has {names}, need {list(self.columns)}{step}")
            for number, row in read_parquet(file, list(self.columns)):
                yield f"{file}, row {number}", row

    def _encode(self, where: str, row: dict[str, Any], overlong: Findings) -> tuple[np.ndarray, int]:
        """Token ids, and how many of them are the prompt's."""
        if nulls := [column for column in self.columns if row[column] is None]:
            raise RowError(f"it has no {' and no '.join(nulls)}")
        messages, completion = self.render(row)
        if not isinstance(completion, str):
            raise RowError(f"its completion is no text but {completion!r:.60}")
        prompt, written = self._encoder.encode(messages, completion)
        if (length := len(prompt) + len(written)) > self._max_length:
            overlong.add(f"{where}: {length} tokens, more than data.max_length={self._max_length}")
            if len(prompt) >= self._max_length and self._truncation == "right":
                raise RowError(f"its prompt alone fills data.max_length={self._max_length}, and nothing is learned")
        return np.array([*prompt, *written][: self._max_length], dtype=np.int32), len(prompt)


def _check_settings(config: DictConfig) -> None:
    if config.truncation not in ("error", "right"):
        raise ValueError(f"data.truncation={config.truncation}: error or right; left would cut the prompt")
    if config.get("pad_mode", "no_padding") != "no_padding":
        raise ValueError(f"data.pad_mode={config.pad_mode}: no_padding, which verl packs without padding")
    # verl's default is the word none.
    if (thinking := config.get("enable_thinking_default")) not in (None, "none"):
        raise ValueError(
            f"data.enable_thinking_default={thinking} is only for verl's own dataset; "
            f"set +data.apply_chat_template_kwargs.enable_thinking={str(thinking).lower()}"
        )


def _until(deadline: float, rows: list[Any]) -> Iterator[Any]:
    """The rows until the clock (`time.monotonic`) passes the deadline, but at least one."""
    for number, row in enumerate(rows):
        if number and time.monotonic() > deadline:
            return
        yield row
