"""Rules on the numbers of the update."""

from collections.abc import Iterator

import numpy as np

from sinternal_verl.report.alerts import Found, Rule
from sinternal_verl.report.curve import MIN_POINTS
from sinternal_verl.report.facts import Facts, Lacking
from sinternal_verl.report.words import figure, steps_in_words

EVERY_STEP = (
    ("actor/grad_norm", "grad_norm"),
    ("actor/loss", "loss"),
    ("actor/pg_loss", "loss"),
    ("train/loss", "sft_loss"),
    ("train/grad_norm", "sft_grad_norm"),
    ("critic/score/mean", "reward"),
)
"""Metrics that have a number in every step that trains, and the kinds of their charts."""


def _entropy(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    facts.need("actor/entropy")
    curve = facts.curve("actor/entropy")
    if len(curve) < MIN_POINTS or curve.before <= 0:
        return
    ratio, reward = curve.now / curve.before, facts.curve("critic/score/mean").now
    for limit, level in (("bad", "bad"), ("watch", "watch")):
        since = curve.fallen((1 - rule.limits[limit]) * curve.before)
        if since is not None and (reward is None or reward < rule.limits["solved"]):
            text = f"The entropy fell to {ratio:.0%} of what it was ({figure(curve.before, 'nats')} to "
            text += (
                f"{figure(curve.now, 'nats')} nats): responses to one prompt become alike, and nothing is learned from "
            )
            text += "groups without spread."
            yield Found(level, text, ("entropy",), since)
            return
    since = curve.risen((rule.limits["rise"] - 1) * curve.before)
    if since is not None:
        text = f"The entropy rose by a factor of {ratio:.1f} ({figure(curve.before, 'nats')} to "
        text += f"{figure(curve.now, 'nats')} "
        text += "nats): the policy writes more and more at random. A lower learning rate is the usual remedy."
        yield Found("bad", text, ("entropy",), since)


def _no_number(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    not_finite = facts.run.steps.not_finite
    # A run may have had no finite number from its first step on.
    if not any(name in not_finite for name, _ in EVERY_STEP):
        facts.need(*(name for name, _ in EVERY_STEP))
    for name, kind in EVERY_STEP:
        if steps := list(not_finite.get(name, ())):
            text = (
                f"{name} is no finite number in {steps_in_words(steps)}. Such an update can spoil all weights: compare "
            )
            text += "the reward before and after."
            yield Found("bad", text, (kind,), steps[0])


def _gradient_spikes(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    facts.need("actor/grad_norm", "train/grad_norm")
    history = int(rule.limits["history"])
    for name, kind in (("actor/grad_norm", "grad_norm"), ("train/grad_norm", "sft_grad_norm")):
        curve = facts.curve(name)
        if len(curve) <= history:
            continue
        past = np.lib.stride_tricks.sliding_window_view(curve.values, history)[:-1]
        usual, values = np.median(past, axis=1), curve.values[history:]
        # Below this the clipping leaves the gradient as it is.
        clip = facts.number("actor_rollout_ref.actor.optim.clip_grad") or facts.number("optim.clip_grad") or 0.0
        # A model that has converged has tiny gradients, and ten times as much is still little.
        spikes = (values >= rule.limits["factor"] * usual) & (values > max(clip, float(usual[0])))
        if spikes.any():
            steps = [int(step) for step in curve.steps[history:][spikes]]
            highest = int(np.argmax(np.where(spikes, values / np.maximum(usual, 1e-12), 0)))
            text = f"The gradient norm jumped in {steps_in_words(steps)}: to {values[highest]:.3g}, where "
            text += f"{usual[highest]:.3g} is usual."
            many = spikes[-history:].sum() >= rule.limits["many"]
            yield Found("bad" if many else "watch", text, (kind,), steps[0])


def _mismatch(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    name = "rollout_corr/k3_kl" if facts.has("rollout_corr/k3_kl") else "rollout_corr/kl"
    if not facts.has(name):
        raise Lacking("rollout_corr/kl, which actor_rollout_ref.rollout.calculate_log_probs=true logs")
    curve = facts.curve(name)
    level = rule.level(curve.now)
    grows = len(curve) >= MIN_POINTS and curve.now >= max(
        rule.limits["least"], rule.limits["factor"] * abs(curve.before)
    )
    since = curve.risen(rule.limits["least"] / 2) if grows else curve.above(rule.limits["watch"])
    if level or (grows and since is not None):
        text = f"The KL divergence between vLLM and the trainer is {figure(curve.now, 'nats')} nats a token"
        text += f", after {figure(curve.before, 'nats')} at the start." if grows else "."
        text += (
            " The policy that is updated is not the one that answered: compare dtype, attention and sampling of both."
        )
        yield Found(level or "watch", text, ("mismatch",), since)


def _loss_rises(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    facts.need("train/loss")
    curve = facts.curve("train/loss")
    if len(curve) < 2 * MIN_POINTS:
        return
    best = np.fmin.accumulate(np.nan_to_num(curve.trailing, nan=np.inf))
    rise = np.maximum(rule.limits["share"] * best, rule.limits["noise"] * curve.noise)
    since = curve.since(curve.trailing >= best + rise)
    if since is not None:
        text = f"The loss is {figure(curve.now, 'nats')} and was {figure(float(best[-1]), 'nats')}."
        yield Found("bad", text, ("sft_loss",), since)


def _overfits(facts: Facts, rule: Rule, now) -> Iterator[Found]:
    facts.need("val/loss")
    points, train = facts.curve("val/loss"), facts.curve("train/loss")
    if len(points) < 2:
        return
    lowest = int(np.argmin(points.values))
    rise = float(points.values[-1] - points.values[lowest])
    if rise >= rule.limits["watch"] * points.values[lowest] and train.fallen(0.0) is not None:
        text = f"The loss of held-out rows rose from {figure(points.values[lowest], 'nats')} (step "
        text += f"{points.steps[lowest]}) to "
        text += f"{figure(points.values[-1], 'nats')} while that of training fell: a checkpoint of about that step is "
        text += "better."
        yield Found("watch", text, ("sft_loss",), int(points.steps[lowest + 1]))


RULES = (
    Rule(
        "entropy",
        "The entropy of the last {window} steps is at most {watch:.0%} of that of the first {window} (bad at "
        "{bad:.0%}) and "
        "the reward is below {solved:g}; or it is {rise:g} times as high. Both by more than {sigmas:g} standard "
        "errors.",
        _entropy,
        # A policy that knows the answers has low entropy, too.
        {"watch": 0.25, "bad": 0.1, "solved": 0.9, "rise": 2.5},
    ),
    Rule(
        "no_number",
        "A loss, a gradient norm or the mean reward is no finite number in a step that trained.",
        _no_number,
        mains=("grpo", "sft"),
    ),
    Rule(
        "gradient_spikes",
        "The gradient norm is {factor:g} times the median of the {history:g} steps before it, above that of the first "
        "{history:g}, and above what it is clipped at. With {many:g} such steps among the last {history:g} it is bad.",
        _gradient_spikes,
        {"factor": 10, "history": 20, "many": 3},
        mains=("grpo", "sft"),
    ),
    Rule(
        "rollout_mismatch",
        "The KL divergence between rollout and trainer is at least {watch:g} nats a token in the last {window} steps "
        "(bad "
        "from {bad:g}), or at least {least:g} and {factor:g} times that of the first {window}.",
        _mismatch,
        {"watch": 0.01, "bad": 0.1, "least": 0.002, "factor": 5},
    ),
    Rule(
        "loss_rises",
        "The loss of {window} steps of SFT exceeds the lowest such mean before it by at least {share:.0%}, and by "
        "more than "
        "{noise:g} standard errors.",
        _loss_rises,
        # The best of many means is low by chance, so more is asked.
        {"share": 0.2, "noise": 4},
        mains=("sft",),
    ),
    Rule(
        "overfits",
        "The loss of held-out rows is at least {watch:.0%} above its lowest while that of training fell.",
        _overfits,
        {"watch": 0.05},
        mains=("sft",),
    ),
)
