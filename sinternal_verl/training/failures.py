"""What rows without a score do to training. A failed judge is not a verdict, so a placeholder 0 must
not move the policy unless the user says so.

``drop``     unscored rows leave the batch before verl pads it, and so does what remains of a group
             with fewer than two scored responses: one response has no group to be compared with
             (verl would take its raw reward for its advantage).
``neutral``  the same rows stay in the batch and count in no group; their advantage is 0.
``zero``     a failure counts as reward 0.

Under each of them the run ends when too little is left to learn from: verl itself would train on the
few rows it still gets, or wait.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sinternal_verl.training.rows import Row

Policy = Literal["drop", "neutral", "zero"]
POLICIES = get_args(Policy)


class TooManyFailures(RuntimeError):
    """The run ends: `FailurePolicy.check` says why."""


@dataclass
class FailurePolicy:
    """``sinternal.failures`` of the configuration.

    Attributes:
        policy: see the module.
        min_share: smallest share of a step's expected rows that must have a score (ours).
        abort_after: rows without a score, of the whole run, after which it ends; None never ends it.
        failed: rows without a score so far, missing ones included.
    """

    policy: Policy = "drop"
    min_share: float = 0.5
    abort_after: int | None = None
    failed: int = 0

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(f"sinternal.failures.policy = {self.policy}: choose one of {', '.join(POLICIES)}")
        if not 0 <= self.min_share <= 1:
            raise ValueError(f"sinternal.failures.min_share = {self.min_share}: it is a share, 0 to 1")
        if self.abort_after is not None and (not isinstance(self.abort_after, int) or self.abort_after < 1):
            raise ValueError(f"sinternal.failures.abort_after = {self.abort_after}: give a count of rows, or null")

    def check(self, rows: Sequence[Row], expected: int) -> None:
        """Count the step's failures and end the run when they are too many.

        Args:
            rows: every rollout that came.
            expected: rollouts that were asked for; the rest are missing (their session failed).

        Raises:
            TooManyFailures: with the counts and what to do.
        """
        scored = sum(row.scored for row in rows)
        self.failed += max(expected - scored, 0)
        if scored < self.min_share * expected or not scored:
            raise TooManyFailures(
                f"{scored} of {expected} rollouts have a score, less than sinternal.failures.min_share="
                f"{self.min_share}: {_account(rows, expected)}. The log above says why; mend it and start again, "
                "the run resumes from its last checkpoint"
            )
        if self.abort_after is not None and self.failed >= self.abort_after:
            raise TooManyFailures(
                f"{self.failed} rollouts of this run have no score, sinternal.failures.abort_after="
                f"{self.abort_after}; in this step: {_account(rows, expected)}"
            )

    def set_aside(self, rows: Sequence[Row], responses: int) -> set[str]:
        """Keys of the rows that must not move the policy; empty under ``zero``.

        Args:
            rows: every rollout of the step.
            responses: responses per prompt, ``rollout.n``; with one there are no groups.
        """
        if self.policy == "zero":
            return set()
        sessions: defaultdict[str, set[str]] = defaultdict(set)
        for row in rows:
            if row.scored:
                sessions[row.group].add(row.session)
        needed = min(2, responses)
        return {row.key for row in rows if not row.scored or len(sessions[row.group]) < needed}


def _account(rows: Sequence[Row], expected: int) -> str:
    counts: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        if not row.scored:
            counts[f"{row.outcome.name} ({row.source})"] += 1
    missing = expected - len(rows)
    parts = [f"{count} {name}" for name, count in sorted(counts.items())]
    return ", ".join(parts + ([f"{missing} never came"] if missing > 0 else [])) or "none failed"
