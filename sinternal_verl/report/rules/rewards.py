"""Rules on what the policy earns, and how."""

from collections.abc import Iterator

import numpy as np

from sinternal_verl.report.alerts import Found, Rule
from sinternal_verl.report.curve import MIN_POINTS, SIGMAS, Curve
from sinternal_verl.report.facts import Facts, Lacking
from sinternal_verl.report.words import figure


def _refusal_rises(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    for source in facts.need_of_a_source("refused"):
        curve, by = facts.of(source, "refused"), rule.limits
        since = curve.risen(by["watch"])
        if since is not None:
            text = f"{source}: {figure(curve.now, 'share')} of the benign prompts are refused, after "
            text += f"{figure(curve.before, 'share')} at the start."
            yield Found("bad" if curve.trend >= by["bad"] else "watch", text, ("refused",), since)
            continue
        points = facts.held_out(source, "refused")
        if len(points) > 1 and (rise := points.values[-1] - points.values[0]) >= max(
            by["watch"], facts.chance(source, points)
        ):
            text = f"{source}: {figure(points.values[-1], 'share')} of the held-out benign prompts are refused, after "
            text += f"{figure(points.values[0], 'share')} in the first validation."
            yield Found("bad" if rise >= by["bad"] else "watch", text, ("refused",), int(points.steps[-1]))


def _reward_falls(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    for label, curve, chart in _rewards(facts):
        if len(curve) < MIN_POINTS:
            continue
        best = np.fmax.accumulate(np.nan_to_num(curve.trailing, nan=-np.inf))
        drop = max(rule.limits["watch"], rule.limits["noise"] * curve.noise)
        since = curve.since(curve.trailing <= best - drop)
        if since is not None:
            fallen = float(best[-1] - curve.now)
            text = f"{label}: the reward is {figure(curve.now, 'reward')} and was {figure(float(best[-1]), 'reward')}."
            yield Found("bad" if fallen >= rule.limits["bad"] else "watch", text, chart, since)


def _held_out_falls(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    for source, train, points in _both(facts):
        highest = int(np.argmax(points.values))
        fallen = float(points.values[highest] - points.values[-1])
        rises = train.risen(rule.limits["train"]) is not None
        if rises and fallen >= max(rule.limits["watch"], facts.chance(source, points)):
            text = f"{source}: the reward in training rose by {figure(train.trend, 'reward')}, while that of held-out "
            text += f"prompts fell from {figure(points.values[highest], 'reward')} (step {points.steps[highest]}) to "
            text += f"{figure(points.values[-1], 'reward')}."
            since = int(points.steps[highest + 1])
            yield Found("bad" if fallen >= rule.limits["bad"] else "watch", text, ("reward", source), since)


def _validation_gap(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    for source, train, points in _both(facts):
        if not len(facts.of(source, "reward/mean")) and len(facts.sources) > 1:
            raise Lacking("a reward in training for each source")
        gaps = [_around(train, step) - value for step, value in zip(points.steps, points.values, strict=True)]
        gaps = [gap for gap, step in zip(gaps, points.steps, strict=True) if step > 0]
        if len(gaps) < 2:
            continue
        grown = gaps[-1] - gaps[0]
        limit = max(rule.limits["grown"], facts.chance(source, points) + SIGMAS * train.noise)
        if gaps[-1] >= rule.limits["watch"] and grown >= limit:
            text = (
                f"{source}: the reward in training exceeds that of held-out prompts by {figure(gaps[-1], 'reward')}, "
            )
            text += f"after {figure(gaps[0], 'reward')} at the first validation."
            yield Found("watch", text, ("reward", source), int(points.steps[-1]))


def _without_spread(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    for name in _of_groups(facts, "alike"):
        source = name.removeprefix("report/alike/")
        alike, unsolved = facts.curve(name), facts.curve(f"report/unsolved/{source}")
        if level := rule.level(unsolved.now, "unsolved", "unsolved_bad"):
            text = f"{source}: {figure(unsolved.now, 'share')} of the groups have no reward above 0: these prompts "
            text += "are too hard, or the scorer finds no answer."
            yield Found(level, text, ("unsolved",), unsolved.above(rule.limits["unsolved"]))
        elif level := rule.level(alike.now, "alike"):
            text = f"{source}: {figure(alike.now, 'share')} of the groups have the same reward throughout, so hardly "
            text += "anything is left to learn from."
            yield Found(level, text, ("alike",), alike.above(rule.limits["alike"]))


def _length_hacked(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    names = _of_groups(facts, "length_and_reward")
    for name in names:
        source = name.removeprefix("report/length_and_reward/")
        reward, length = (facts.of(source, each) for each in ("reward/mean", "response_length/mean"))
        together = facts.curve(name)
        if min(map(len, (reward, length, together))) < MIN_POINTS or reward.risen(rule.limits["reward"]) is None:
            continue
        factor, sign = length.now / max(length.before, 1.0), 1.0
        since = length.risen((rule.limits["factor"] - 1) * length.before)
        if since is None:
            factor, sign = 1 / factor if factor else np.inf, -1.0
            since = length.fallen((1 - 1 / rule.limits["factor"]) * length.before)
        if since is not None and sign * together.now >= rule.limits["correlation"]:
            way = "longer" if sign > 0 else "shorter"
            text = f"{source}: responses grew {way} by a factor of {factor:.1f} while the reward rose by "
            text += f"{figure(reward.trend, 'reward')}, and within groups the {way} ones get more reward (correlation "
            text += f"{together.now:.2f}). Read some of them: the scorer may reward length."
            yield Found("watch", text, ("response_length",), since)


def _rewards(facts: Facts) -> Iterator[tuple[str, Curve, tuple[str, ...]]]:
    """Label, curve and chart of each source's reward; of all rows where no source has one."""
    of_sources = [(source, facts.of(source, "reward/mean"), ("reward", source)) for source in facts.sources]
    of_sources = [each for each in of_sources if len(each[1])]
    if not of_sources:
        facts.need("critic/score/mean")
    yield from of_sources or [("all rows", facts.curve("critic/score/mean"), ("reward",))]


def _both(facts: Facts) -> list[tuple[str, Curve, Curve]]:
    """The sources with a reward in training and at least two validations."""
    found = []
    of_sources = any(len(facts.of(source, "reward/mean")) for source in facts.sources)
    for source in facts.sources:
        train, points = facts.of(source, "reward/mean"), facts.held_out(source, "reward/mean")
        # verl alone logs one reward of all rows.
        train = train if len(train) or of_sources else facts.curve("critic/score/mean")
        if len(train) and len(points) > 1:
            found.append((source, train, points))
    if not found:
        raise Lacking("rewards in training and two validations of one source")
    return found


def _of_groups(facts: Facts, kind: str) -> list[str]:
    found = [name for name in facts.values if name.startswith(f"report/{kind}/") and facts.has(name)]
    if not found:
        raise Lacking("dumped rollouts")
    return sorted(found)


def _around(curve: Curve, step: int) -> float:
    """The mean of the last steps up to one."""
    values = curve.values[curve.steps <= step]
    return float(values[-curve.window :].mean()) if len(values) else float(curve.values[0])


NOISE = "and by more than {sigmas:g} standard errors"

RULES = (
    Rule(
        "refusal_rises",
        "Of a source's benign prompts, at least {watch:.0%} more are refused in the last {window} steps than in the "
        "first "
        f"{{window}}, {NOISE}; or in the last validation than in the first. From {{bad:.0%}} it is bad.",
        _refusal_rises,
        {"watch": 0.05, "bad": 0.2},
    ),
    Rule(
        "reward_falls",
        "A source's mean reward of {window} steps is at least {watch:g} below the best such mean before it, and by "
        "more "
        "than {noise:g} standard errors. From {bad:g} it is bad.",
        _reward_falls,
        # The best of many means is high by chance, so more is asked.
        {"watch": 0.1, "bad": 0.3, "noise": 4},
    ),
    Rule(
        "held_out_falls",
        f"The reward in training rises by at least {{train:g}}, {NOISE}, while that of the last validation is at least "
        "{watch:g} below the best one, and by more than chance makes of as many prompts. From {bad:g} it is bad.",
        _held_out_falls,
        {"train": 0.05, "watch": 0.05, "bad": 0.15},
    ),
    Rule(
        "validation_gap",
        "The reward of {window} steps of training exceeds that of the last validation by at least {watch:g}, and this "
        "gap "
        f"has grown by at least {{grown:g}} since the first validation, {NOISE}.",
        _validation_gap,
        {"watch": 0.15, "grown": 0.1},
    ),
    Rule(
        "groups_without_spread",
        "In the last {window} steps, at least {unsolved:.0%} of a source's groups have no reward above 0 (bad from "
        "{unsolved_bad:.0%}), or at least {alike:.0%} have the same reward throughout.",
        _without_spread,
        {"unsolved": 0.5, "unsolved_bad": 0.8, "alike": 0.95},
    ),
    Rule(
        "reward_by_length",
        "A source's reward rises by at least {reward:g} while its responses grow longer or shorter by a factor of "
        f"{{factor:g}}, both {NOISE}, and within groups such responses get more reward (correlation from "
        f"{{correlation:g}}).",
        _length_hacked,
        {"reward": 0.05, "factor": 1.5, "correlation": 0.3},
    ),
)
