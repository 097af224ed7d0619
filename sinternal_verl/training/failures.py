"""What rows without a score do to training. A judge that failed gave no verdict, so its placeholder 0 must
not move the policy unless the user says so.

``drop``     unscored rows leave the batch before verl pads it. So do the rows of a group with fewer than
             two scored responses, because a single response has nothing to be compared with (verl would
             take its raw reward for its advantage).
``neutral``  the same rows stay in the batch and count in no group; their advantage is 0.
``zero``     a failure counts as reward 0. Of a group of which a single response came, its advantage is 0.

Under each policy the run ends when too few rows of a source have a score. verl itself would train on the few rows
it still gets, or wait. A source whose judge is dead would not show among others that are scored. A response that the
user's function does not score, `Outcome.NOT_APPLICABLE`, is no failure: nothing is judged by it.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from sinternal_verl.scoring.score import Outcome
from sinternal_verl.training.rollouts import Row

Policy = Literal["drop", "neutral", "zero"]
POLICIES = get_args(Policy)

MIN_ROWS = 64
"""The fewest expected rows of a source from which its share of scored ones is judged."""

ALL = "all sources"
MISSING = "never came"
MIN_SHARE = "sinternal.failures.min_share"
THE_LOG = "The log above shows the cause."
RESUMES = f"{THE_LOG} Mend it and give the same command again: the run resumes from its last checkpoint"
WITH_CHECKPOINT = "where the folder holds a checkpoint, add 'sinternal.accept_changes=[{}]'"
"""For a key that counts in the run's identity (`sinternal_verl.runs.identity`)."""
TOO_LONG = (
    "Most failures of {} are responses that are too long for the guard. Raise sinternal.guard.engine.max_model_len or "
    f"lower data.max_response_length; {WITH_CHECKPOINT.format('the changed key')}"
)


class TooManyFailures(RuntimeError):
    """The run ends, because too few responses have a score; the message has the counts."""


@dataclass
class Tally:
    """Responses of a source.

    Attributes:
        expected: how many should have a score: those that were asked for, without ``unjudged``.
        scored: how many have one.
        failed: what became of the others, by name.
        unjudged: how many the user's function does not score.
    """

    expected: int = 0
    scored: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    unjudged: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.expected + other.expected,
            self.scored + other.scored,
            self.failed + other.failed,
            self.unjudged + other.unjudged,
        )

    def __str__(self) -> str:
        others = [f"{count} {name}" for name, count in sorted(self.failed.items())]
        if self.unjudged:
            others.append(f"{self.unjudged} {Outcome.NOT_APPLICABLE.name}, which do not count")
        return f"{self.scored} of {self.expected} responses have a score: {', '.join(others) or 'none failed'}"


@dataclass
class FailurePolicy:
    """``sinternal.failures`` of the configuration.

    Attributes:
        policy: one of `POLICIES`; see the module.
        min_share: share of a source's expected responses that must have a score, 0 to 1 (our default). It is taken
            over the last steps in which at least `MIN_ROWS` of them were expected, and over all sources alike.
        abort_after: number of responses without a score, counted from this start of the run, at which the
            run ends; None sets no limit.
        failed: responses without a score so far, missing ones included and those that need none left out.
    """

    policy: Policy = "drop"
    min_share: float = 0.5
    abort_after: int | None = None
    failed: int = 0
    _recent: defaultdict[str, deque[Tally]] = field(
        default_factory=lambda: defaultdict(deque), init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(f"sinternal.failures.policy = {self.policy}: choose one of {', '.join(POLICIES)}")
        if not 0 <= self.min_share <= 1:
            raise ValueError(f"sinternal.failures.min_share = {self.min_share}: it is a share, 0 to 1")
        if self.abort_after is not None and (not isinstance(self.abort_after, int) or self.abort_after < 1):
            raise ValueError(f"sinternal.failures.abort_after = {self.abort_after}: give a count of rows, or null")

    def check(self, rows: Sequence[Row], expected: Mapping[str, int]) -> dict[str, int]:
        """Count the step's failures and end the run when they are too many.

        Args:
            rows: every rollout that came.
            expected: by source, responses that were asked for.

        Returns:
            By source, how many responses never came. Their session died, which verl does not report.

        Raises:
            TooManyFailures: fewer than ``min_share`` of a source have a score, no response of the step has one, or
                ``abort_after`` is reached.
        """
        tallies = tally(rows, expected)
        step = sum(tallies.values(), Tally())
        self.failed += sum(step.failed.values())
        if not step.scored:
            raise TooManyFailures(f"no response of this step has a score: {_account(tallies)}. {_next_step(tallies)}")
        too_few = {}
        for source, own in {ALL: step, **tallies}.items():
            recent = self._over_recent(source, own)
            if recent.expected >= MIN_ROWS and recent.scored < self.min_share * recent.expected:
                too_few[source] = recent
        if too_few:
            # What is wrong with all sources is said of each where that is known.
            named = {source: of for source, of in too_few.items() if source != ALL} or too_few
            raise TooManyFailures(
                f"too few responses have a score, {MIN_SHARE}={self.min_share}: {_account(named)}. {_next_step(named)}"
            )
        if self.abort_after is not None and self.failed >= self.abort_after:
            raise TooManyFailures(
                f"{self.failed} responses of this run have no score, sinternal.failures.abort_after="
                f"{self.abort_after}; in this step: {_account(tallies)}"
            )
        return {source: own.failed[MISSING] for source, own in tallies.items()}

    def check_held_out(self, rows: Sequence[Row], expected: Mapping[str, int]) -> None:
        """After the first validation, end the run where nothing of a source is scored: its judge is dead, and training
        would go on without it. ``min_share=0`` allows it.

        Args:
            rows, expected: as for `check`.

        Raises:
            TooManyFailures: nothing of a source has a score.
        """
        dead = {source: own for source, own in tally(rows, expected).items() if own.expected and not own.scored}
        if dead and self.min_share > 0:
            raise TooManyFailures(
                f"at the first validation nothing of a source has a score: {_account(dead)}. "
                f"{_next_step(dead, f'{THE_LOG} Mend it and start again')}. Or give {MIN_SHARE}=0 to go on without; "
                f"{WITH_CHECKPOINT.format(MIN_SHARE)}"
            )

    def _over_recent(self, source: str, step: Tally) -> Tally:
        """The tally of the fewest last steps in which at least `MIN_ROWS` rows were expected."""
        if not step.expected:
            return step
        steps = self._recent[source]
        steps.append(step)
        expected = sum(each.expected for each in steps)
        while expected - steps[0].expected >= MIN_ROWS:
            expected -= steps.popleft().expected
        return sum(steps, Tally())

    def set_aside(self, rows: Sequence[Row], responses: int) -> set[str]:
        """The keys of the rows that must not move the policy. Under ``zero`` a failure counts as a response.

        Args:
            rows: every rollout of the step.
            responses: responses per prompt, ``rollout.n``; 1 means that there are no groups.

        Raises:
            TooManyFailures: no row is left to learn from.
        """
        sessions: defaultdict[str, set[str]] = defaultdict(set)
        counts = {row.key for row in rows if row.scored or self.policy == "zero"}
        for row in rows:
            if row.key in counts:
                sessions[row.group].add(row.session)
        # verl takes the reward of a response that is alone in its group for its advantage.
        needed = min(2, responses)
        aside = {row.key for row in rows if row.key not in counts or len(sessions[row.group]) < needed}
        if len(aside) == len(rows):
            raise TooManyFailures(f"no prompt of this step has {needed} scored responses: {_account(tally(rows, {}))}")
        return aside


def tally(rows: Sequence[Row], expected: Mapping[str, int]) -> dict[str, Tally]:
    """Count the responses of each source. Several rows of a session are one response."""
    tallies = {source: Tally(count) for source, count in expected.items()}
    came: Counter[str] = Counter()
    for row in {row.session: row for row in rows}.values():
        own = tallies.setdefault(row.source, Tally())
        came[row.source] += 1
        if row.scored:
            own.scored += 1
        elif row.outcome is Outcome.NOT_APPLICABLE:
            own.unjudged += 1
        else:
            own.failed[row.outcome.name] += 1
    for source, own in tallies.items():
        if (missing := own.expected - came[source]) > 0:
            own.failed[MISSING] = missing
        own.expected = max(own.expected, came[source]) - own.unjudged
    return tallies


def _account(tallies: Mapping[str, Tally]) -> str:
    """What failed, in words: ``math: 4 of 8 responses have a score: 3 FAILED, 1 never came``."""
    shown = {source: own for source, own in tallies.items() if own.failed or own.unjudged} or tallies
    return "; ".join(f"{source}: {own}" for source, own in sorted(shown.items()))


def _next_step(tallies: Mapping[str, Tally], otherwise: str = RESUMES) -> str:
    """What to change where most failures of a source are `Outcome.CUT`, which no log explains, and ``otherwise``."""
    failed = {source: own.failed for source, own in sorted(tallies.items()) if own.failed}
    cut = [source for source, names in failed.items() if 2 * names[Outcome.CUT.name] > names.total()]
    steps = [otherwise] if len(cut) < len(failed) or not cut else []
    return ". ".join([*steps, *([TOO_LONG.format(", ".join(cut))] if cut else [])])
