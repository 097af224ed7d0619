"""One rollout of a step: what the failure policy and the curves need to know of it besides its tensors.

verl's key of a rollout is ``{uid}_{session}_{output}``: a prompt has a uid, each of its responses has a
session, and a session has several outputs where an agent loop returns several. The outputs of a session
share one reward. (verl 0.9.1)
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sinternal_verl.scoring.score import Outcome


@dataclass(frozen=True, slots=True)
class Row:
    """One rollout.

    Attributes:
        key: its key in TransferQueue; ``group`` is the prompt's uid, ``session`` the response within it.
        source: the row's ``data_source``.
        reward: what the reward manager returned; 0.0 where ``scored`` is False.
        length: response tokens; None where they are not known (validation).
        truncated: the response fills the whole length it may have.
        cut: tokens of the conversation that the guard did not see.
        safe_probability: how sure the guard was of Safe, 0 to 1; None where it was not measured.
        extra: everything in the reward manager's ``reward_extra_info``.
    """

    key: str
    source: str
    reward: float
    outcome: Outcome
    scored: bool
    length: int | None = None
    truncated: bool = False
    cut: int = 0
    safe_probability: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        return self.key.rsplit("_", 2)[0]

    @property
    def session(self) -> str:
        return self.key.rsplit("_", 1)[0]


def make_row(key: str, source: str, reward: float, info: Mapping[str, Any], **known: Any) -> Row:
    """Make a row from a reward manager's ``reward_extra_info``. Where that names no outcome, as with verl's own
    managers, the row counts as scored."""
    outcome = Outcome(int(info.get("outcome") or Outcome.SCORED))
    scored = bool(info.get("scored", True))
    sure = info.get("safe_probability")
    guard = {"cut": int(info.get("cut") or 0), "safe_probability": None if sure is None or math.isnan(sure) else sure}
    return Row(key, str(source), float(reward), outcome, scored, extra=dict(info), **guard, **known)
