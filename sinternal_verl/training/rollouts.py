"""One rollout of a step: what the failure policy and the curves need to know of it besides its tensors.

verl's key of a rollout is ``{uid}_{session}_{output}``: a prompt has a uid, each of its responses has a
session, and a session has several outputs where an agent loop returns several. The outputs of a session
share one reward. (verl 0.9.1)
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sinternal_verl.scoring.plain import number, plain
from sinternal_verl.scoring.score import GUARD_TIMES, Outcome
from sinternal_verl.training.wire import DETAILS, LABEL, LENGTH, OUTCOMES, OWN_NAMES, is_ours


@dataclass(frozen=True, slots=True)
class Row:
    """One rollout.

    Attributes:
        key: its key in TransferQueue; ``group`` is the prompt's uid, ``session`` the response within it.
        source: the row's ``data_source``.
        reward: what the reward manager returned; 0.0 where ``scored`` is False.
        length: response tokens; None where they are not known.
        truncated: the response fills the whole length it may have.
        cut: tokens of the conversation that the guard did not see.
        safe_probability: how sure the guard was of Safe, 0 to 1; None where it was not measured.
        benign: whether the prompt is labelled benign; None where it has no label of a safety prompt.
        guard_times: `GUARD_TIMES` of a sample that asked a guard; None for any other.
        extra: the scorer's own numbers by name.
        details: for the dumps: ``index``, ``reason``, and the scorer's ``extra`` that are no numbers.
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
    benign: bool | None = None
    guard_times: tuple[float, ...] | None = None
    extra: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        return self.key.rsplit("_", 2)[0]

    @property
    def session(self) -> str:
        return self.key.rsplit("_", 1)[0]


def make_row(
    key: str, source: str, reward: float, info: Mapping[str, Any], length: int | None = None, longest: int | None = None
) -> Row:
    """Make a row from a reward manager's ``reward_extra_info``. Where it is not ours (`is_ours`), as with verl's own
    managers, the row counts as scored, and all of ``info`` is extra, whatever its names are. Apart from that are
    ``score``, and ``outcome`` where it is one of ours, as our plain reward functions return it.

    Args:
        length: response tokens; without it what ``info`` says.
        longest: tokens a response may have.
    """
    told = {"score", "outcome"} if number(info.get("outcome")) in OUTCOMES else {"score"}
    own = {name: info.get(name) for name in (OWN_NAMES if is_ours(info) else told)}
    known = {name: number(value) for name, value in own.items()}
    if length is None and (counted := known.get(LENGTH)) is not None:
        length = int(counted)
    label, times = known.get(LABEL), tuple(known.get(name) for name in GUARD_TIMES)
    others = {str(name): value for name, value in info.items() if name not in own and value is not None}
    numbers = {name: found for name, value in others.items() if (found := number(value)) is not None}
    details = own.get(DETAILS)
    return Row(
        key,
        str(source),
        float(reward),
        outcome=Outcome(int(known.get("outcome") or Outcome.SCORED)),
        scored=known.get("scored") != 0,
        length=length,
        truncated=length is not None and longest is not None and length >= longest,
        cut=int(known.get("cut") or 0),
        safe_probability=known.get("safe_probability"),
        benign=None if label is None else bool(label),
        guard_times=None if None in times else times,
        extra=numbers,
        details=json.loads(details)
        if isinstance(details, str)
        else {"extra": plain({name: value for name, value in others.items() if name not in numbers})},
    )
