"""The scores of two runs, item by item. Only answers to the same prompt in the same epoch are a pair."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sinternal_verl.evaluation.results.logs import Log, label
from sinternal_verl.evaluation.results.rows import OTHER, Row, phrase, rows_of
from sinternal_verl.evaluation.results.statistics import (
    UNKNOWN,
    Estimate,
    Interval,
    difference,
    mean,
    pass_at_k,
    sign_test,
)
from sinternal_verl.evaluation.results.summary import NO_SCORER, Tally, tally

Key = tuple[str, int]
"""Which answer: an item's id, and its epoch."""

JUDGING = ("judge", "judge_model", "judged")


@dataclass(frozen=True, slots=True)
class Scored:
    """The rows of one scorer of one log."""

    log: Log
    scorer: str
    tally: Tally

    def by_key(self) -> dict[Key, Row]:
        return {(row.id, row.epoch): row for row in self.tally.all()}

    @property
    def share(self) -> bool:
        """Whether all values lie from 0 to 1."""
        return all(0 <= value <= 1 for values in self.tally.values() for value in values)

    @property
    def unscored(self) -> int:
        return sum(row.value is None for row in self.tally.all())

    def reasons(self) -> str:
        """Why answers have no value, in a line; empty where all have one."""
        why = Counter(row.reason for row in self.tally.all() if row.value is None)
        said = ", ".join(f"{reason} {times:,}" for reason, times in why.most_common())
        of = sum(map(len, self.tally.rows.values()))
        return f"{self.log.set} {self.scorer or NO_SCORER}: {why.total():,} of {of:,} unscored: {said}" if why else ""

    def estimate(self) -> Estimate:
        """The mean of its values."""
        return mean(self.tally.values())

    def judging(self, name: str) -> str:
        return ", ".join(sorted({getattr(row, name) for row in self.tally.all()} - {""}))

    def at(self, k: int) -> "Scored":
        """With one value for each item, its pass@k; an item with fewer scored tries has none."""
        found = Tally()
        for rows in self.tally.rows.values():
            values = [row.value for row in rows if row.value is not None]
            chance = pass_at_k(len(values), sum(value >= 1 for value in values), k)
            found.add(replace(rows[0], epoch=1, value=None if math.isnan(chance) else chance))
        return Scored(self.log, self.scorer, found)


def scored_in(log: Log) -> list[Scored]:
    """
    Raises:
        LogError: the log cannot be read.
    """
    return [Scored(log, scorer, found) for scorer, found in tally(rows_of(log)).items()]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two runs of one scorer on one set.

    Attributes:
        difference: of the second less the first, over the pairs that both have scored.
        first, other: the values of each over those pairs; NaN where there are none.
        up, down: the pairs whose value rose or fell, as the first run names them.
        p: of the sign test over items whose mean rose or fell; for pairs of 0 and 1 it is McNemar's exact test.
        unscored: by ``first``, ``other`` and ``both``: pairs that have no value there.
        bounds: of the difference, whatever the unscored ones are; NaN where there are none or values are no shares.
        share: values lie from 0 to 1.
        ones: they are 0 or 1.
        scored: pairs that both have scored.
        alone: by ``first`` and ``other``: answers that only this run has.
        other_prompt: answers of both that have one id, and no partner because their prompts differ.
    """

    difference: Estimate
    first: float
    other: float
    up: Sequence[Key]
    down: Sequence[Key]
    p: float
    unscored: Mapping[str, int]
    bounds: Interval
    share: bool
    ones: bool
    scored: int
    alone: Mapping[str, int]
    other_prompt: int

    @property
    def pairs(self) -> int:
        return sum(self.unscored.values()) + self.scored


def pair(first: Scored, other: Scored, seed: int = 0) -> Pairs:
    """Pair two runs. They may have nothing in common: then there are no pairs."""
    one, two = first.by_key(), other.by_key()
    partners = _partners(one, two)
    left, left_there = one.keys() - partners.keys(), two.keys() - set(partners.values())
    same = [(key, one[key].value, two[partner].value) for key, partner in partners.items()]
    lacking, values = Counter(), {}
    for key, before, after in same:
        if before is None or after is None:
            lacking["both" if before is after else "first" if before is None else "other"] += 1
        else:
            values[key] = (before, after)
    by_item: dict[str, list[tuple[float, float]]] = {}
    for (id, _), both in values.items():
        by_item.setdefault(id, []).append(both)
    runs = [[[both[side] for both in tries] for tries in by_item.values()] for side in (0, 1)]
    gaps = [sum(after - before for before, after in tries) for tries in by_item.values()]
    known = [row.value for row in (*one.values(), *two.values()) if row.value is not None]
    share = all(0 <= value <= 1 for value in known)
    return Pairs(
        difference(*runs, seed=seed),
        *(_mean(run) for run in runs),
        up=[key for key, (before, after) in values.items() if after > before],
        down=[key for key, (before, after) in values.items() if after < before],
        p=sign_test(sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps)),
        unscored={side: lacking[side] for side in ("first", "other", "both")},
        bounds=_bounds(same) if share and lacking else UNKNOWN,
        share=share,
        ones=all(value in (0, 1) for both in values.values() for value in both),
        scored=len(values),
        alone={"first": len(left - left_there), "other": len(left_there - left)},
        other_prompt=len(left & left_there),
    )


def _partners(one: Mapping[Key, Row], two: Mapping[Key, Row]) -> dict[Key, Key]:
    """By answer of the first run, the answer of the other one to the same item.

    The id names an item where the prompts, as far as they are known, are the same. Else the prompt does, if no other
    answer of the same epoch has it: two files of one set may number it otherwise.
    """
    found = {
        key: key
        for key, row in one.items()
        if (other := two.get(key)) and (row.prompt == other.prompt or not (row.prompt and other.prompt))
    }
    left = [{key: row for key, row in run.items() if key not in found} for run in (one, two)]
    first, other = (_by_prompt(run) for run in left)
    return found | {first[asked]: other[asked] for asked in first if asked in other}


def _by_prompt(run: Mapping[Key, Row]) -> dict[tuple[str, int], Key]:
    """The answers whose prompt and epoch no other has."""
    times = Counter((row.prompt, row.epoch) for row in run.values())
    asked = {(row.prompt, row.epoch): key for key, row in run.items() if row.prompt}
    return {one: key for one, key in asked.items() if times[one] == 1}


def differences(first: Scored, other: Scored) -> list[str]:
    """In what two runs differ beside their model: the set's origin, the judge, the decoding, the task's parameters, and
    what code they are of."""
    found = [
        f"{name.replace('_', ' ')}: {one or 'not known'} / {two or 'not known'}"
        for name in JUDGING
        if (one := first.judging(name)) != (two := other.judging(name))
    ]
    told = (
        ("origin", first.log.origin, other.log.origin),
        ("decoding", first.log.decoding, other.log.decoding),
        ("task", first.log.parameters, other.log.parameters),
        ("made by", made_by(first), made_by(other)),
    )
    for what, one, two in told:
        for name in sorted({*one, *two}):
            if one.get(name) != two.get(name) and name not in JUDGING:
                shown = (_shown(run, name, what == "origin") for run in (one, two))
                found.append(f"{what}, {label(name)}: {' / '.join(shown)}")
    if first.log.epochs != other.log.epochs:
        found.append(f"epochs: {first.log.epochs} / {other.log.epochs}")
    return found


def made_by(run: Scored) -> dict[str, object]:
    """The code of a run, as far as its log tells: versions, and of a task of someone else its solvers and its scorer,
    which our own tasks tell as parameters."""
    told = run.log.header.eval
    found: dict[str, object] = {"version": told.task_version, **told.packages}
    if told.revision:
        found["commit"] = told.revision.commit
    if run.log.told:
        return found
    steps = run.log.header.plan.steps
    found["solvers"] = ",".join(step.solver for step in steps) or None
    found["solver_settings"] = [step.params for step in steps if step.params] or None
    for scorer in told.scorers or ():
        if label(scorer.name.rpartition("/")[2]) in (run.scorer, run.scorer.partition(".")[0]):
            found |= {f"scorer.{name}": value for name, value in (scorer.options or {}).items()}
    return found


def _shown(told: Mapping[str, object], name: str, words: bool) -> str:
    """
    Args:
        words: whether it may be a sentence of ours: an origin says in words how a file differs from the paper's.
    """
    if told.get(name) is None:
        return "not said"
    said = phrase(told[name], ours=True) if words else OTHER
    return label(told[name]) if said == OTHER else said


def _mean(run: Sequence[Sequence[float]]) -> float:
    return math.fsum(math.fsum(tries) / len(tries) for tries in run) / len(run) if run else math.nan


def _bounds(pairs: Sequence[tuple[Key, float | None, float | None]]) -> Interval:
    """The least and the greatest difference there can be."""
    bounds = []
    for before, after in ((1.0, 0.0), (0.0, 1.0)):
        gaps: dict[str, list[float]] = {}
        for key, start, end in pairs:
            gap = (after if end is None else end) - (before if start is None else start)
            gaps.setdefault(key[0], []).append(gap)
        bounds.append(_mean(list(gaps.values())))
    return bounds[0], bounds[1]
