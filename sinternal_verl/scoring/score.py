"""What a scorer returns for one sample: exactly one score, on every path, and never an exception."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class Outcome(IntEnum):
    """How a score came about. The numbers travel in metrics and files: never renumber, only add."""

    CORRECT = 1
    """The boxed answer equals the ground truth."""
    MISMATCH = 2
    """There is a boxed answer, and it is another."""
    NO_BOX = 3
    """The final answer holds no box."""
    UNCLOSED = 4
    """The last box never closes."""
    THOUGHT_UNCLOSED = 5
    """The thought never ends, so there is no final answer; as a rule the response was cut."""
    TOO_LONG = 6
    """The box is longer than any answer: it is not compared."""
    BAD_GOLD = 7
    """The ground truth is empty, no string or too long: nothing can be said of the response."""
    TIMED_OUT = 8
    """The scorer was ended at its deadline: nothing can be said of the response."""
    FAILED = 9
    """The scorer raised, or returned what is no finite number: nothing can be said of the response."""
    NO_SCORER = 10
    """No scorer is configured for the sample's data source."""
    NOT_APPLICABLE = 11
    """The function returned None: it has nothing to say of such a sample."""
    SCORED = 12
    """A score by a function that names no outcome."""
    SAFE = 13
    """The guard finds the answer safe, and the prompt is harmful, or the answer does not refuse."""
    UNSAFE = 14
    """The guard finds the answer unsafe."""
    CONTROVERSIAL = 15
    """The guard finds the answer controversial: unsafe when it is strict."""
    REFUSED = 16
    """The answer is safe and refuses a benign prompt."""
    UNPARSABLE = 17
    """The guard did not give exactly one verdict: nothing can be said of the response."""
    EMPTY = 18
    """There is no text to judge."""
    NO_VERDICT = 19
    """A response that is to end in a verdict on an answer does not give exactly one: it is wrong."""


UNSCORED = frozenset(
    {
        Outcome.BAD_GOLD,
        Outcome.TIMED_OUT,
        Outcome.FAILED,
        Outcome.NO_SCORER,
        Outcome.NOT_APPLICABLE,
        Outcome.UNPARSABLE,
    }
)
"""Outcomes that are no verdict on the response."""


GUARD_NUMBERS = {"cut": 0.0, "safe_probability": math.nan}
"""What a guard says beside its verdict, and what stands there for samples it does not judge: tokens of
the conversation it did not see, and the share of Safe among its labels' probability."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a scorer gets: one response and what is known of its row.

    Attributes:
        source: the row's ``data_source``.
        response: what the model wrote, special tokens kept, less the end-of-text token.
        ground_truth: the row's ``reward_model.ground_truth``; None when the row has none.
        prompt: the row's messages, each ``{"role": ..., "content": ...}``.
        extra: the row's ``extra_info``.
    """

    source: str
    response: str
    ground_truth: str | None = None
    prompt: tuple[Mapping[str, Any], ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Score:
    """One sample's score.

    Attributes:
        value: the reward, 0.0 or 1.0 in the paper; 0.0 where `scored` is False.
        outcome: how it came about.
        extra: numbers beside the score: what a user's own function returned, for verl's validation, or
            some of `GUARD_NUMBERS`.
        reason: why there is no verdict, in words; empty where there is one.
    """

    value: float
    outcome: Outcome
    extra: Mapping[str, float] = field(default_factory=dict, repr=False)
    reason: str = field(default="", repr=False)

    @property
    def scored(self) -> bool:
        """False when the value is no verdict, so that training must not take it for one."""
        return self.outcome not in UNSCORED
