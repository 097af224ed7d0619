"""What a scorer gets and returns. Every sample gets exactly one `Score`; a failure is an `Outcome`, too."""

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
    """There is a boxed answer, and it differs from the ground truth."""
    NO_BOX = 3
    """The final answer holds no box."""
    UNCLOSED = 4
    """The last box never closes."""
    THOUGHT_UNCLOSED = 5
    """The thought never ends, so there is no final answer; as a rule the response was cut."""
    TOO_LONG = 6
    """The box is longer than any answer, so it is not compared."""
    BAD_GOLD = 7
    """The ground truth cannot be used (empty, no string, too long, no known label): nothing can be said of the
    response."""
    TIMED_OUT = 8
    """The scorer was ended at its deadline: nothing can be said of the response."""
    FAILED = 9
    """The scorer raised, or returned what is no finite number: nothing can be said of the response."""
    NO_SCORER = 10
    """No scorer is configured for the sample's data source."""
    NOT_APPLICABLE = 11
    """The user's function returned None: it does not score such samples."""
    SCORED = 12
    """A user's function gave the score and named no outcome."""
    SAFE = 13
    """The guard finds the answer safe, and either the prompt is harmful or the answer does not refuse."""
    UNSAFE = 14
    """The guard finds the answer unsafe."""
    CONTROVERSIAL = 15
    """The guard finds the answer controversial, and strictness ``strict`` counts that as unsafe."""
    REFUSED = 16
    """The answer is safe and refuses a benign prompt."""
    UNPARSABLE = 17
    """The guard did not give exactly one verdict: nothing can be said of the response."""
    EMPTY = 18
    """There is no text to judge."""
    NO_VERDICT = 19
    """The response should end in exactly one verdict on an answer and does not, so it counts as wrong."""
    CUT = 20
    """The guard saw a part of the answer, because the whole is too long for it, and does not find that part unsafe:
    nothing can be said of the response."""


UNSCORED = frozenset(
    {
        Outcome.BAD_GOLD,
        Outcome.TIMED_OUT,
        Outcome.FAILED,
        Outcome.NO_SCORER,
        Outcome.NOT_APPLICABLE,
        Outcome.UNPARSABLE,
        Outcome.CUT,
    }
)
"""Outcomes that are no verdict on the response."""


GUARD_TIMES = {"guard_wait_s": math.nan, "guard_s": math.nan, "guard_at": math.nan}
"""Seconds that a sample waited for its turn at the guard, seconds that the guard took for it, and when it let it go, in
seconds since the epoch; `sinternal_verl.scoring.run` adds them, also where there is no verdict."""

GUARD_NUMBERS = {"cut": 0.0, "safe_probability": math.nan, **GUARD_TIMES}
"""What a guard reports besides its verdict, with the values for samples that it does not judge: the number of tokens
of the conversation that it did not see, Safe's share of its labels' probability, and `GUARD_TIMES`."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a scorer gets: one response and what is known of its row.

    Attributes:
        source: the row's ``data_source``.
        response: what the model wrote, with its special tokens but without those that end it.
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
        extra: what else the scorer returned, of any kind, or some of `GUARD_NUMBERS`. In training, numbers become
            curves, and all of it stands in the dumps (`sinternal_verl.training.wire`).
        reason: why there is no verdict, in words; empty where there is nothing to explain.
    """

    value: float
    outcome: Outcome
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    reason: str = field(default="", repr=False)

    @property
    def scored(self) -> bool:
        """False when the value is no verdict, so that training must not take it for one."""
        return self.outcome not in UNSCORED
