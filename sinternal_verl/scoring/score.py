"""What a scorer returns for one sample: exactly one score, on every path, and never an exception."""

from dataclasses import dataclass
from enum import IntEnum


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
    """The comparison was ended at its deadline: nothing can be said of the response."""


UNSCORED = frozenset({Outcome.BAD_GOLD, Outcome.TIMED_OUT})
"""Outcomes that are no verdict on the response."""


@dataclass(frozen=True, slots=True)
class Score:
    """One sample's score.

    Attributes:
        value: the reward, 0.0 or 1.0 (paper); 0.0 where `scored` is False.
        outcome: how it came about.
    """

    value: float
    outcome: Outcome

    @property
    def scored(self) -> bool:
        """False when the value is no verdict, so that training must not take it for one."""
        return self.outcome not in UNSCORED
