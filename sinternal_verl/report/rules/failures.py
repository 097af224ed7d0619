"""Rules on responses that have no score, never came, or are cut."""

from collections.abc import Iterator, Sequence

import numpy as np

from sinternal_verl.report.alerts import Found, Rule
from sinternal_verl.report.curve import Curve
from sinternal_verl.report.facts import HELD_OUT, TRAIN, Facts, Lacking, metric
from sinternal_verl.report.words import figure, steps_in_words
from sinternal_verl.scoring.score import UNSCORED, Outcome

FAILURES = tuple(sorted(outcome.name.lower() for outcome in UNSCORED - {Outcome.NOT_APPLICABLE}))
"""Outcomes that are a judge's or the data's failure. A function that does not score a sample has not failed."""

OF_A_GUARD = {"unparsable", "cut"}
"""Failures that only a guard has."""

GUARDED = ("safe", "unsafe", "controversial", "refused")

WITHOUT_ANSWER = ("thought_unclosed", "no_box", "unclosed", "empty", "no_verdict")
"""Outcomes of responses that hold no answer to judge; they count as wrong."""


def _guard_fails(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    yield from _judge_fails(facts, rule, guarded=True)


def _scorer_fails(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    yield from _judge_fails(facts, rule, guarded=False)


def _judge_fails(facts: Facts, rule: Rule, guarded: bool) -> Iterator[Found]:
    sources = [source for source in facts.sources if _is_guarded(facts, source) == guarded]
    sources = [source for source in sources if len(facts.of(source, "rows"))]
    if not sources:
        raise Lacking(f"sources {'with' if guarded else 'without'} a guard, and their outcomes")
    for source in sources:
        rows = facts.of(source, "rows")
        counts = {name: count for name, count in _counts(facts, source, FAILURES).items() if count.any()}
        if not counts:
            continue
        failed = sum(counts.values())
        share = Curve(rows.steps, failed / np.maximum(rows.values, 1))
        worst = max(counts, key=lambda name: counts[name].sum())
        names = ", ".join(f"{name} {count.sum():.0f}" for name, count in counts.items())
        text = (
            f"{source}: {failed.sum():.0f} of {rows.values.sum():.0f} responses have no score ({names}); in the last "
        )
        text += f"steps {figure(share.now, 'share')}."
        level = rule.level(share.now) or ("watch" if failed.sum() >= rule.limits["all"] * rows.values.sum() else None)
        if level:
            yield Found(level, text, ("failure", worst), int(rows.steps[np.flatnonzero(failed)[0]]))


def _counts(facts: Facts, source: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """By outcome, how often a source had it in each step that trained on it. An outcome that a start has not seen yet
    is not logged."""
    rows = np.isfinite(facts.values[metric(TRAIN, source, "rows")])
    nothing = np.full(len(rows), np.nan)
    values = {name: facts.values.get(metric(TRAIN, source, f"outcome/{name}"), nothing) for name in names}
    return {name: np.nan_to_num(column[rows]) for name, column in values.items()}


def _is_guarded(facts: Facts, source: str) -> bool:
    return any(
        facts.has(metric(prefix, source, f"outcome/{name}"))
        for prefix in (TRAIN, HELD_OUT)
        for name in {*GUARDED, *OF_A_GUARD}
    )


def _scored_falls(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    for source in facts.need_of_a_source("scored"):
        curve = facts.of(source, "scored")
        since = curve.fallen(rule.limits["watch"])
        # A function that returns None for a share of the samples has no failures.
        if since is not None and not len(facts.of(source, "outcome/not_applicable")):
            text = f"{source}: {figure(curve.now, 'share')} of the responses have a score, after "
            text += f"{figure(curve.before, 'share')} at the start."
            least = facts.number("sinternal.failures.min_share")
            if least:
                text += f" The run ends below {figure(least, 'share')}."
            bad = -curve.trend >= rule.limits["bad"]
            yield Found("bad" if bad else "watch", text, ("scored",), since)


def _missing(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    names = {source: (facts.of(source, "missing"), facts.of(source, "rows")) for source in facts.sources}
    names = {source: curves for source, curves in names.items() if len(curves[0])}
    if not names:
        raise Lacking("train/<source>/missing")
    for source, (missing, rows) in names.items():
        lost = missing.values.sum()
        if lost > 0:
            share = lost / max(lost + rows.values.sum(), 1)
            steps = [int(step) for step in missing.steps[missing.values > 0]]
            text = (
                f"{source}: {lost:.0f} responses never came ({steps_in_words(steps)}). Their sessions died: the run's "
            )
            text += "log names the cause."
            yield Found("bad" if share >= rule.limits["bad"] else "watch", text, ("missing",), steps[0])


def _truncated(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    curves = {source: facts.of(source, "truncated") for source in facts.sources}
    curves |= {"all rows": facts.curve("report/truncated")}
    curves = {source: curve for source, curve in curves.items() if len(curve)}
    if not curves:
        raise Lacking("truncated shares, or data.max_response_length beside response_length/clip_ratio")
    for source, curve in curves.items():
        # A few prompts of a step may reach a limit by chance.
        level, risen = rule.level(curve.now - curve.noise), curve.risen(rule.limits["rise"])
        text = f"{source}: {figure(curve.now, 'share')} of the responses reach the length limit"
        if limit := facts.number("data.max_response_length"):
            text += f" of {figure(limit, 'tokens')} tokens"
        if risen is not None:
            text += f", after {figure(curve.before, 'share')} at the start"
        text += ". A cut thought or answer counts as wrong."
        if level or risen is not None:
            yield Found(level or "watch", text, ("truncated",), curve.above(rule.limits["watch"]) if level else risen)


def _without_answer(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    sources = [source for source in facts.sources if len(facts.of(source, "rows"))]
    if not sources:
        raise Lacking("outcomes of each source")
    for source in sources:
        rows = facts.of(source, "rows")
        counts = _counts(facts, source, WITHOUT_ANSWER)
        none = sum(counts.values())
        share = Curve(rows.steps, none / np.maximum(rows.values, 1))
        if level := rule.level(share.now):
            worst = max(counts, key=lambda name: counts[name][-share.window :].sum())
            text = f"{source}: {figure(share.now, 'share')} of the responses hold no answer, most of them {worst}. "
            text += "A model that does not think needs thought=none in its scorer; a thought that never ends needs "
            text += (
                "more tokens." if worst == "thought_unclosed" else "No answer was found where the scorer looks for it."
            )
            yield Found(level, text, ("outcomes", source), share.above(rule.limits["watch"]))


def _unreadable(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    # The last line of a run under way is often still being written.
    if len(facts.run.skipped) > rule.limits["most"]:
        text = (
            f"{len(facts.run.skipped)} lines could not be read, and their numbers are not here: {facts.run.skipped[0]}."
        )
        yield Found("watch", text, ("reward",))


RULES = (
    Rule(
        "guard_fails",
        "Of a source that a guard judges, at least {watch:.0%} of the responses of the last {window} steps have no "
        "verdict, "
        "or {all:.1%} of all; from {bad:.0%} it is bad.",
        _guard_fails,
        {"watch": 0.01, "bad": 0.1, "all": 0.01},
    ),
    Rule(
        "scorer_fails",
        "Of a source without a guard, at least {watch:.0%} of the responses of the last {window} steps have no score, "
        "or "
        "{all:.1%} of all; from {bad:.0%} it is bad.",
        _scorer_fails,
        {"watch": 0.01, "bad": 0.1, "all": 0.01},
    ),
    Rule(
        "scored_falls",
        "The scored share of a source is at least {watch:.0%} lower in the last {window} steps than in the first "
        "{window}, "
        "and by more than {sigmas:g} standard errors. From {bad:.0%} it is bad.",
        _scored_falls,
        {"watch": 0.02, "bad": 0.2},
    ),
    Rule(
        "responses_missing",
        "A response that was asked for never came. From {bad:.0%} of a source's responses it is bad.",
        _missing,
        {"bad": 0.02},
    ),
    Rule(
        "truncated",
        "At least {watch:.0%} of a source's responses of the last {window} steps fill the whole length (bad from "
        "{bad:.0%}), and by more than a standard error; or {rise:.0%} more than in the first {window}, and by more "
        "than "
        "{sigmas:g} standard errors.",
        _truncated,
        {"watch": 0.1, "bad": 0.3, "rise": 0.05},
    ),
    Rule(
        "without_answer",
        "At least {watch:.0%} of a source's responses of the last {window} steps hold no answer. From {bad:.0%} it is "
        "bad.",
        _without_answer,
        {"watch": 0.5, "bad": 0.9},
    ),
    Rule(
        "lines_unreadable",
        "More than {most:g} line of the run's files cannot be read; one may still be being written.",
        _unreadable,
        {"most": 1},
        mains=("grpo", "sft"),
    ),
)
