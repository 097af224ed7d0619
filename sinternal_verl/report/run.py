"""What was read of a run: its steps, its starts, its rollouts and its configuration.

Readers make these, and the page is made of these alone. Whatever a run did not leave is empty here, and ``lacks`` says
so in words.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Steps:
    """The metrics of a run.

    Attributes:
        numbers: the steps that were logged, ascending, each once; step 0 is the validation before training. (int64, n)
        values: by metric, a value for each step; NaN where the step logged no finite number. (float64, n each)
        not_finite: by metric, the steps that logged NaN or an infinity, which verl and we write as null.
    """

    numbers: np.ndarray
    values: dict[str, np.ndarray]
    not_finite: dict[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Start:
    """A start of the run, or a resume.

    Attributes:
        step: the step that it goes on from; 0 for a run from scratch.
        time: when, in ISO 8601 in UTC; None where the run did not leave it.
    """

    step: int
    time: str | None = None

    @property
    def resumed(self) -> bool:
        return self.step > 0


UNKNOWN = -1
"""In a whole-number column of `Rollouts`: the run does not say."""


@dataclass(frozen=True)
class Rollouts:
    """All rollouts of a run, training and validation, as columns of n values; training first, then by step and place.

    Attributes:
        held_out: whether a validation made it. (bool)
        step: (int32)
        within: its place in the step, among those of its kind, from 0. (int32)
        source, outcome, reason, row: names, as numbers into ``names[column]``; row is the prompt's index in its file.
            (int32; UNKNOWN)
        group: number of the prompt's group of responses, unique in the run. (int32)
        place: the response's place within its group, from 0. (int32)
        score, advantage, safe_probability: NaN where there is none. (float32)
        length: tokens of the response. (int32; UNKNOWN)
        scored, truncated, set_aside, cut: 1, 0 or UNKNOWN. (int8)
        extra: numbers that a scorer returned besides, by name. (float32)
        names: the names of each named column.
        texts: what was written, of a sample of whole groups.
        files: the files that were read, less those without a rollout: one for each ``held_out`` and ``step``, in their
            order.
    """

    held_out: np.ndarray
    step: np.ndarray
    within: np.ndarray
    source: np.ndarray
    outcome: np.ndarray
    reason: np.ndarray
    row: np.ndarray
    group: np.ndarray
    place: np.ndarray
    score: np.ndarray
    advantage: np.ndarray
    safe_probability: np.ndarray
    length: np.ndarray
    scored: np.ndarray
    truncated: np.ndarray
    set_aside: np.ndarray
    cut: np.ndarray
    extra: dict[str, np.ndarray]
    names: dict[str, list[str]]
    texts: dict[int, "Texts"]
    files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.step)


def places_within(held_out: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The place of each rollout in its step, among those of its kind. (int32, n)

    >>> places_within(np.array([False, False, False, True]), np.array([1, 1, 2, 2]))
    array([0, 1, 0, 0], dtype=int32)
    """
    begins = np.flatnonzero(np.diff(step, prepend=-1) | np.diff(held_out, prepend=False))
    counts = np.diff(begins, append=len(step))
    return (np.arange(len(step)) - np.repeat(begins, counts)).astype(np.int32)


@dataclass(frozen=True)
class Texts:
    """The texts of one rollout; ``Rollouts.texts`` has them by the rollout's number.

    Attributes:
        thought: what stands before the first ``</think>``; empty where the model does not think.
        answer: what stands after it, which is what a user sees and a guard judges; None where a thought was never
            closed.
        extra: text that a scorer returned besides, by name; the guard's own words among it.
    """

    prompt: str
    thought: str
    answer: str | None
    truth: str | None = None
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A run of one of verl's mains, ours or plain.

    Attributes:
        name: short, and different for each run of a page.
        folder: where it was found.
        kind: ``grpo`` or ``sft``.
        config: the resolved configuration of its last start; None where it left none.
        record: `sinternal_verl.runs.record.RECORD` as a dict; empty for a run of plain verl.
        skipped: lines that could not be read, in words, with file and line.
        lacks: what the run left nothing of, in words, each with how to have it next time.
        finished: whether it reached its last step; None where it does not say.
        updated: when its metrics were last written, in ISO 8601 in UTC.
    """

    name: str
    folder: Path
    kind: str
    steps: Steps
    starts: tuple[Start, ...] = ()
    rollouts: Rollouts | None = None
    config: dict[str, Any] | None = None
    record: dict[str, Any] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    finished: bool | None = None
    updated: str | None = None
