"""Metrics that a run did not log, reckoned from those that it did and from its rollouts.

Each rollout's numbers give what our trainer logs for each data source, where the trainer was another one. Names that
begin with ``report/`` are of this module alone:

``report/{train,val}/<source>/safe``    safe share of the guard's verdicts, refusals included
``report/alike/<source>``               share of the groups whose rewards are all the same: they teach nothing
``report/unsolved/<source>``            share of the groups of which all responses have the lowest reward
``report/length_and_reward/<source>``   correlation of length and reward within groups, -1 to 1
``report/truncated``                    share of responses at the length limit, where no source's is known
``report/seconds/other``                seconds of a step outside of its phases
"""

from dataclasses import replace

import numpy as np

from sinternal_verl.report.facts import HELD_OUT, TRAIN, Facts, metric
from sinternal_verl.report.run import UNKNOWN, Rollouts, Run

SAFE, UNSAFE = ("safe", "refused"), ("unsafe", "controversial")
"""Outcomes that are a guard's verdicts on an answer."""

ALL = "all"
"""Stands for the source where the rollouts name none."""

TESTING = "timing_s/testing"
"""A validation. verl's trainers make it after the time of the step has been taken, and its older one
(``trainer.use_v1=false``) within. (verl 0.9.1)"""

LIMIT = "data.max_response_length"


def with_derived(run: Run) -> Run:
    """The run with the metrics of this module."""
    values = dict(run.steps.values)
    if run.rollouts is not None and len(run.rollouts):
        # What was logged wins.
        values = _of_rollouts(run.steps.numbers, run.rollouts) | values
    facts = Facts(replace(run, steps=replace(run.steps, values=values)))
    values |= {name: found for name, found in _of_metrics(facts).items() if np.isfinite(found).any()}
    return replace(run, steps=replace(run.steps, values=values))


def _of_metrics(facts: Facts) -> dict[str, np.ndarray]:
    found = {}
    for source in facts.sources:
        for prefix in (TRAIN, HELD_OUT):
            counts = {name: facts.values.get(metric(prefix, source, f"outcome/{name}")) for name in (*SAFE, *UNSAFE)}
            counts = {name: np.nan_to_num(count) for name, count in counts.items() if count is not None}
            safe = sum((counts[name] for name in SAFE if name in counts), np.zeros(len(facts.numbers)))
            verdicts = safe + sum(counts[name] for name in UNSAFE if name in counts)
            with np.errstate(invalid="ignore"):
                found[f"report/{metric(prefix, source, 'safe')}"] = np.where(verdicts > 0, safe / verdicts, np.nan)
    if not any(facts.has(metric(TRAIN, source, "truncated")) for source in facts.sources):
        found["report/truncated"] = _truncated(facts)
    phases = [facts.values[name] for name in phases_of(facts.values) if name != TESTING]
    if facts.has("timing_s/step") and phases:
        rest = np.maximum(facts.values["timing_s/step"] - np.nansum(phases, axis=0), 0)
        testing = np.nan_to_num(facts.values.get(TESTING, np.zeros(len(rest))))
        found["report/seconds/other"] = np.where(rest >= testing, rest - testing, rest)
    return found


def phases_of(values: dict[str, np.ndarray]) -> list[str]:
    """The metrics of the phases of a step, longest first; ``timing_s/agent_loop/...`` and the like are within one."""
    names = [
        name for name in values if name.startswith("timing_s/") and name.count("/") == 1 and name != "timing_s/step"
    ]
    means = {name: np.nanmean(values[name]) for name in names if np.isfinite(values[name]).any()}
    return sorted(means, key=means.__getitem__, reverse=True)


def _truncated(facts: Facts) -> np.ndarray:
    """verl's ``response_length/clip_ratio`` is the share at the length of the batch's longest response, which is the
    limit only where that response reaches it. (verl 0.9.1)"""
    nothing = np.full(len(facts.numbers), np.nan)
    limit = facts.number(LIMIT)
    share, longest = (facts.values.get(f"response_length/{name}", nothing) for name in ("clip_ratio", "max"))
    if limit is None:
        return nothing
    return np.where(np.isfinite(share) & np.isfinite(longest), np.where(longest >= limit, share, 0.0), np.nan)


def _of_rollouts(numbers: np.ndarray, rollouts: Rollouts) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for held_out, prefix in ((False, TRAIN), (True, HELD_OUT)):
        # One pass over the rollouts of each source, step by step.
        for code in np.unique(rollouts.source[rollouts.held_out == held_out]):
            chosen = np.flatnonzero((rollouts.held_out == held_out) & (rollouts.source == code))
            source = ALL if code == UNKNOWN else rollouts.names["source"][code]
            for name, by_step in _of_source(rollouts, chosen, prefix, source, named=code != UNKNOWN).items():
                column = found.setdefault(name, np.full(len(numbers), np.nan))
                for step, value in by_step.items():
                    column[numbers == step] = value
    return found


def _of_source(rollouts: Rollouts, chosen, prefix: str, source: str, named: bool) -> dict[str, dict[int, float]]:
    """What the rollouts of a source say, by metric and step."""
    found: dict[str, dict[int, float]] = {}
    outcomes = [code for code in np.unique(rollouts.outcome[chosen]) if code != UNKNOWN]
    order = chosen[np.argsort(rollouts.step[chosen], kind="stable")]
    steps, starts = np.unique(rollouts.step[order], return_index=True)
    for step, rows in zip(steps, np.split(order, starts[1:]), strict=True):
        said: dict[str, float] = {}
        scored = (rollouts.scored[rows] != 0) & np.isfinite(rollouts.score[rows])
        if named:
            said |= {"rows": len(rows), "scored": scored.mean()}
            if scored.any():
                said["reward/mean"] = rollouts.score[rows][scored].mean(dtype=float)
            for name, column in (("truncated", rollouts.truncated), ("response_length/mean", rollouts.length)):
                known = column[rows] != UNKNOWN
                if known.any():
                    said[name] = column[rows][known].mean(dtype=float)
            for code in outcomes:
                said[f"outcome/{rollouts.names['outcome'][code]}"] = (rollouts.outcome[rows] == code).sum()
        said = {metric(prefix, source, name): value for name, value in said.items()}
        if prefix == TRAIN:
            said |= {f"report/{name}/{source}": value for name, value in _of_groups(rollouts, rows[scored]).items()}
        for name, value in said.items():
            found.setdefault(name, {})[int(step)] = float(value)
    return found


def _of_groups(rollouts: Rollouts, rows: np.ndarray) -> dict[str, float]:
    """What a source's scored rows of a step say of its groups; those with fewer than two rows are left out."""
    if not len(rows):
        return {}
    _, group, sizes = np.unique(rollouts.group[rows], return_inverse=True, return_counts=True)
    score, length = rollouts.score[rows].astype(float), rollouts.length[rows].astype(float)
    lowest, highest = (np.full(len(sizes), end) for end in (np.inf, -np.inf))
    np.minimum.at(lowest, group, score)
    np.maximum.at(highest, group, score)
    compared = sizes > 1
    if not compared.any():
        return {}
    alike = (lowest == highest)[compared]
    found = {"alike": alike.mean(), "unsolved": (alike & (lowest[compared] <= 0)).mean()}
    if (rollouts.length[rows] != UNKNOWN).all():
        own = [column - (np.bincount(group, column) / sizes)[group] for column in (score, length)]
        spread = np.sqrt((own[0] ** 2).sum() * (own[1] ** 2).sum())
        if spread > 0:
            found["length_and_reward"] = (own[0] * own[1]).sum() / spread
    return found
