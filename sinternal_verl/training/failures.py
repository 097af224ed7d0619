"""What rows without a score do to training. A judge that failed gave no verdict, so its placeholder 0 must
not move the policy unless the user says so.

``drop``     unscored rows leave the batch before verl pads it. So do the rows of a group with fewer than
             two scored responses, because a single response has nothing to be compared with (verl would
             take its raw reward for its advantage).
``neutral``  the same rows stay in the batch and count in no group; their advantage is 0.
``zero``     a failure counts as reward 0.

Under each policy the run ends when too few rows have a score. verl itself would train on the few rows it
still gets, or wait.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sinternal_verl.training.rollouts import Row

Policy = Literal["drop", "neutral", "zero"]
POLICIES = get_args(Policy)


class TooManyFailures(RuntimeError):
    """The run ends, because too few responses have a score; the message has the counts."""


@dataclass
class FailurePolicy:
    """``sinternal.failures`` of the configuration.

    Attributes:
        policy: one of `POLICIES`; see the module.
        min_share: share of a step's expected responses that must have a score, 0 to 1 (our default).
        abort_after: number of responses without a score, counted from this start of the run, at which the
            run ends; None sets no limit.
        failed: responses without a score so far, missing ones included.
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

    def check(self, rows: Sequence[Row], expected: int) -> int:
        """Count the step's failures and end the run when they are too many.

        Args:
            rows: every rollout that came.
            expected: responses that were asked for.

        Returns:
            How many responses never came. Their session died, which verl does not report.

        Raises:
            TooManyFailures: fewer than ``min_share`` have a score, none has, or ``abort_after`` is reached.
        """
        came = list({row.session: row for row in rows}.values())
        scored, missing = sum(row.scored for row in came), max(expected - len(came), 0)
        self.failed += len(came) - scored + missing
        if scored < self.min_share * expected or not scored:
            raise TooManyFailures(
                f"{scored} of {expected} responses have a score, less than sinternal.failures.min_share="
                f"{self.min_share}: {_account(came, missing)}. The log above shows the cause. Mend it and give "
                "the same command again: the run resumes from its last checkpoint"
            )
        if self.abort_after is not None and self.failed >= self.abort_after:
            raise TooManyFailures(
                f"{self.failed} responses of this run have no score, sinternal.failures.abort_after="
                f"{self.abort_after}; in this step: {_account(came, missing)}"
            )
        return missing

    def set_aside(self, rows: Sequence[Row], responses: int) -> set[str]:
        """The keys of the rows that must not move the policy; none under ``zero``.

        Args:
            rows: every rollout of the step.
            responses: responses per prompt, ``rollout.n``; 1 means that there are no groups.

        Raises:
            TooManyFailures: no row is left to learn from.
        """
        if self.policy == "zero":
            return set()
        sessions: defaultdict[str, set[str]] = defaultdict(set)
        for row in rows:
            if row.scored:
                sessions[row.group].add(row.session)
        needed = min(2, responses)
        aside = {row.key for row in rows if not row.scored or len(sessions[row.group]) < needed}
        if len(aside) == len(rows):
            raise TooManyFailures(f"no prompt of this step has {needed} scored responses: {_account(rows, 0)}")
        return aside


def _account(rows: Sequence[Row], missing: int) -> str:
    """What failed, in words: ``4 FAILED (math), 1 never came``."""
    counts = Counter(f"{row.outcome.name} ({row.source})" for row in rows if not row.scored)
    parts = [f"{count} {name}" for name, count in sorted(counts.items())]
    return ", ".join(parts + ([f"{missing} never came"] if missing else [])) or "none failed"
