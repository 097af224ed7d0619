"""Rules on time."""

from collections.abc import Iterator
from datetime import datetime

import numpy as np

from sinternal_verl.report.alerts import Found, Rule
from sinternal_verl.report.curve import Curve
from sinternal_verl.report.facts import Facts, Lacking
from sinternal_verl.report.words import duration, figure, seconds_between

LAST_STEP = "last_step"


def _guard_holds_up(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    if not facts.has("guard/wait/mean") or not facts.has("timing_s/gen"):
        raise Lacking("guard/wait/mean and timing_s/gen")
    waits, seconds = facts.values["guard/wait/mean"], facts.values["timing_s/gen"]
    both = np.isfinite(waits) & np.isfinite(seconds) & (seconds > 0)
    share = Curve(facts.numbers[both], waits[both] / seconds[both])
    if len(share) and (level := rule.level(share.now)):
        text = f"A sample waits {figure(facts.curve('guard/wait/mean').now, 'seconds')} for its turn at the guard, "
        text += "which is "
        text += f"{figure(share.now, 'share')} of the time of generation. More replicas help "
        text += "(sinternal.guard.replicas), or a smaller guard."
        yield Found(level, text, ("guard_wait",), share.above(rule.limits["watch"]))


def _steps_get_slower(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    curve = facts.seconds
    if not len(curve):
        raise Lacking("timing_s/step")
    since = curve.risen((rule.limits["factor"] - 1) * (curve.before or 0))
    if since is not None:
        text = f"A step takes {duration(curve.now)}, after {duration(curve.before)} at the start."
        length = facts.curve("response_length/mean")
        if length.risen(0.0) is not None:
            text += f" Responses grew from {figure(length.before, 'tokens')} to {figure(length.now, 'tokens')} tokens."
        yield Found("watch", text, ("phases",), since)


def _silent(facts: Facts, rule: Rule, now: datetime) -> Iterator[Found]:
    run = facts.run
    if run.updated is None or run.finished is None:
        raise Lacking("the time of the last step, and whether it was the last")
    if run.finished:
        return
    quiet, usual = seconds_between(run.updated, now), facts.seconds
    # The longest step holds a checkpoint, and a validation comes besides.
    longest = float(usual.values.max()) if len(usual) else rule.limits["unknown"]
    testing = facts.curve("timing_s/testing").values
    longest += float(testing.max()) if len(testing) else 0.0
    if quiet >= max(rule.limits["least"], rule.limits["factor"] * longest):
        last = int(facts.numbers[-1]) if len(facts.numbers) else 0
        goal = run.record.get(LAST_STEP)
        text = f"No step has come for {duration(quiet)}, since step {last}{f' of {goal}' if goal else ''}; the "
        text += "longest took "
        text += f"{duration(longest)}. The run was ended, has died or hangs: its log says which. The command that "
        text += "started it "
        text += "goes on from the last checkpoint."
        yield Found("bad", text, ("step_seconds",), last)


RULES = (
    Rule(
        "guard_holds_up",
        "A sample's mean wait for the guard is at least {watch:.0%} of the time of generation in the last {window} "
        "steps. "
        "From {bad:.0%} it is bad.",
        _guard_holds_up,
        {"watch": 0.2, "bad": 0.5},
    ),
    Rule(
        "steps_get_slower",
        "A step takes {factor:g} times as long in the last {window} steps as in the first {window}, and by more than "
        "{sigmas:g} standard errors.",
        _steps_get_slower,
        {"factor": 2},
    ),
    Rule(
        "silent",
        "The run has not reached its last step, and no step has come for {factor:g} times the longest step with its "
        "validation ({unknown:g} s where the time of a step is not known), and for at least {least:g} s.",
        _silent,
        {"factor": 3, "least": 600, "unknown": 1200},
        mains=("grpo", "sft"),
    ),
)
