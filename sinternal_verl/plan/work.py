"""What a step works on: how many rows, of which kinds and lengths. Files say it where they are; else it is assumed."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import DictConfig, ListConfig

from sinternal_verl.config import get
from sinternal_verl.plan.factors import Factors
from sinternal_verl.plan.generation import lengths_of
from sinternal_verl.plan.training import Batch

PAPER_PROMPTS, PAPER_SAFETY = 6000, 0.5
"""Prompts of the paper's mix, and the share of safety prompts in it."""

PAPER_SAMPLES = 6000
"""Rows of the paper's verification data."""

PAPER_RESPONSE = 8192
"""Tokens of a response in the paper: the assumed means are those under this limit."""

READ_ROWS = 1000
"""Rows that are read for their lengths, the first of a file."""

SAFETY = "safety/"


@dataclass(frozen=True)
class Rows:
    """Rows of training or validation files.

    Attributes:
        count: their number; None where it is not known.
        safety: share whose source begins with ``safety/``; None where no source is known.
        characters: mean length in characters; None where no text was read.
        source: where this comes from, in words.
    """

    count: int | None
    safety: float | None = None
    characters: float | None = None
    source: str = ""


def rows_of(config: DictConfig, key: str, columns: Iterable[str], source_column: str | None = None) -> Rows:
    """Count the rows of the parquet files at ``key``, and read the first for their lengths and sources.

    Args:
        columns: whose text makes the length: strings, or lists of messages with content.
        source_column: holds the data source; None where the rows have none.
    """
    value = get(config, key)
    paths = [str(path) for path in (value if isinstance(value, list | ListConfig) else [value] if value else [])]
    files = [Path(path).expanduser() for path in paths]
    if not files or not all(file.is_file() and file.suffix == ".parquet" for file in files):
        said = ", ".join(paths) if paths else "not given"
        return Rows(None, source=f"{key} ({said}) is not here as parquet")
    count, lengths, sources = 0, [], []
    try:
        for file in files:
            parquet = pq.ParquetFile(file)
            count += parquet.metadata.num_rows
            there = set(parquet.schema_arrow.names)
            wanted = [name for name in columns if name in there]
            for batch in parquet.iter_batches(READ_ROWS, columns=wanted):
                lengths += [sum(_characters(row[name]) for name in wanted) for row in batch.to_pylist()]
                break
            if source_column in there:
                sources += pq.read_table(file, columns=[source_column])[source_column].to_pylist()
    except (OSError, pa.ArrowException) as error:
        return Rows(None, source=f"{key} cannot be read: {error}")
    safety = sum(str(name).startswith(SAFETY) for name in sources) / len(sources) if sources else None
    return Rows(count, safety, float(np.mean(lengths)) if lengths else None, f"the files of {key}")


def taken(config: DictConfig, rows: int, part: str = "train") -> int:
    """How many of a file's rows the run takes: ``data.<part>_max_samples``, where it is above 0."""
    limit = int(get(config, f"data.{part}_max_samples", -1))
    return min(rows, limit) if limit > 0 else rows


def steps_of(config: DictConfig, epoch: int) -> int:
    """Steps of a run of ``epoch`` steps an epoch. verl's loops end with the last epoch, even where
    ``trainer.total_training_steps`` asks for more. (verl 0.9.1)"""
    steps, asked = epoch * int(get(config, "trainer.total_epochs", 1)), get(config, "trainer.total_training_steps")
    return min(int(asked), steps) if asked else steps


def _characters(text: object) -> int:
    if isinstance(text, str):
        return len(text)
    if isinstance(text, list):
        return sum(_characters(part) for part in text)
    return _characters(text.get("content")) if isinstance(text, dict) else 0


@dataclass(frozen=True)
class Rollouts:
    """The rollouts of a step.

    Attributes:
        lengths: tokens of each response.
        prompt: tokens of a prompt.
        safety: number of those that the guard judges.
    """

    lengths: np.ndarray
    prompt: float
    safety: int

    @property
    def batch(self) -> Batch:
        return Batch(self.lengths + self.prompt)


@dataclass(frozen=True)
class Asked:
    """Lengths that the user gives; None leaves one to the files and to the assumptions."""

    response_tokens: float | None = None
    prompt_tokens: float | None = None
    prompts: int | None = None


def rollouts(config: DictConfig, factors: Factors, train: Rows, asked: Asked, prompts: int | None = None) -> Rollouts:
    """The rollouts of ``prompts`` prompts; by default those of a training step."""
    limit = int(get(config, "data.max_response_length", PAPER_RESPONSE))
    count = int(prompts or get(config, "data.train_batch_size", 1)) * int(get(config, "actor_rollout_ref.rollout.n", 1))
    guarded = get(config, "sinternal.guard.backend") is not None
    share = (PAPER_SAFETY if train.safety is None else train.safety) if guarded else 0.0
    safety = round(count * share)
    if asked.response_tokens is not None:
        lengths = lengths_of(asked.response_tokens, factors["spread"], limit, count)
    else:
        means = (factors["safety_tokens"], factors["math_tokens"])
        parts = [
            lengths_of(mean, factors["spread"], PAPER_RESPONSE, number, seed)
            for seed, (mean, number) in enumerate(zip(means, (safety, count - safety), strict=True), 1)
        ]
        lengths = np.minimum(np.random.default_rng(0).permutation(np.concatenate(parts)), limit)
    return Rollouts(lengths, prompt_tokens(config, factors, train, asked), safety)


def prompt_tokens(config: DictConfig, factors: Factors, train: Rows, asked: Asked) -> float:
    """Tokens of a prompt: those given, those of the file, or the assumed ones; at most the configuration's limit."""
    if asked.prompt_tokens is not None:
        tokens = asked.prompt_tokens
    elif train.characters is not None:
        tokens = train.characters / factors["characters"]
    else:
        tokens = factors["prompt_tokens"]
    return min(tokens, get(config, "data.max_prompt_length", tokens))
