"""How often the rules of a report speak where only chance is at work, and from what size of a fault on they speak.

A run of 10 to 120 steps trains on three sources with 2 to 30 prompts of each in a step, and 8 responses to each prompt.
Prompts differ in how hard they are (a normal distribution of log-odds), so the responses to one are alike; validations
have the same prompts each time. Half of the runs learn. Nothing else happens, so each alert is a false one.

Then each fault comes in at the middle of such runs, in several sizes, and the share of runs in which its rule speaks is
printed beside the share without the fault. The runs that learn stand for held-out rewards, whose rule asks for that.
"""

import argparse
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from arguments import parser_of

from sinternal_verl.report.alerts import find_alerts
from sinternal_verl.report.derived import with_derived
from sinternal_verl.report.facts import Facts
from sinternal_verl.report.rules import RULES
from sinternal_verl.report.run import Run, Steps

SOURCES = {"math": 0.4, "safety/harmful/x": 0.6, "safety/benign/x": 0.8}
"""By source, the mean reward at the start."""

BENIGN = "safety/benign/x"
RESPONSES, SPREAD = 8, 1.5
HELD_OUT, HELD_OUT_RESPONSES, EVERY = 50, 4, 10
LEARNED = 0.3

FAULTS = {
    "refusal_rises": (f"train/{BENIGN}/refused", (0.05, 0.1, 0.2, 0.4)),
    "reward_falls": ("train/math/reward/mean", (-0.1, -0.2, -0.4)),
    "truncated": ("train/math/truncated", (0.05, 0.1, 0.2)),
    "scored_falls": ("train/math/scored", (-0.02, -0.05, -0.2)),
    "held_out_falls": ("val/math/reward/mean", (-0.1, -0.2, -0.4)),
}
"""By rule, the metric that changes, and by how much."""


def share_of(chance: np.random.Generator, share: float, hardness: np.ndarray, responses: int) -> float:
    """The share of responses that hit.

    Args:
        share: of a prompt of middle hardness.
        hardness: standard normal, one for each prompt.
    """
    chances = 1 / (1 + np.exp(np.log((1 - share) / share) + SPREAD * hardness))
    return float(chance.binomial(responses, chances).mean() / responses)


def metrics_of(seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The steps and the metrics of a run."""
    chance = np.random.default_rng(seed)
    steps = np.arange(1, int(chance.integers(10, 121)) + 1)
    count, learned = len(steps), LEARNED * (chance.random() < 0.5)
    validated = steps % EVERY == 0
    found: dict[str, np.ndarray] = {}
    for source, reward in SOURCES.items():
        prompts = chance.integers(2, 31, size=count)
        batches, same = [chance.normal(size=each) for each in prompts], chance.normal(size=HELD_OUT)
        rewards = np.minimum(reward + learned * steps / count, 0.97)
        found[f"train/{source}/rows"] = prompts * float(RESPONSES)
        found[f"train/{source}/scored"] = np.ones(count)
        trained = [share_of(chance, *each, RESPONSES) for each in zip(rewards, batches, strict=True)]
        found[f"train/{source}/reward/mean"] = np.array(trained)
        found[f"train/{source}/truncated"] = np.array([share_of(chance, 0.03, each, RESPONSES) for each in batches])
        found[f"train/{source}/response_length/mean"] = chance.normal(2000, 200, count)
        held_out = [share_of(chance, each, same, HELD_OUT_RESPONSES) for each in rewards]
        found[f"val/{source}/reward/mean"] = np.where(validated, held_out, np.nan)
        found[f"val/{source}/rows"] = np.where(validated, HELD_OUT * HELD_OUT_RESPONSES, np.nan)
        if source == BENIGN:
            refused = [share_of(chance, 0.08, each, RESPONSES) for each in batches]
            found[f"train/{source}/refused"] = np.array(refused)
    found["actor/entropy"] = (0.6 - 0.3 * steps / count) * chance.lognormal(0, 0.2, count)
    found["actor/grad_norm"] = chance.lognormal(-1.5, 0.6, count)
    found["rollout_corr/kl"] = chance.lognormal(-7.5, 0.3, count)
    found["timing_s/step"], found["timing_s/gen"] = chance.lognormal(5, 0.2, count), chance.lognormal(4.5, 0.2, count)
    found["guard/wait/mean"] = chance.lognormal(0.5, 0.8, count)
    return steps, found


def spoken(steps: np.ndarray, metrics: dict[str, np.ndarray]) -> set[str]:
    """The names of the rules that speak."""
    config = {"actor_rollout_ref": {"rollout": {"val_kwargs": {"n": HELD_OUT_RESPONSES}}}}
    run = Run("run", Path("run"), "grpo", Steps(steps, metrics), config=config)
    alerts = find_alerts(Facts(with_derived(run)), RULES, datetime.now(timezone.utc))
    return {alert.name for alert in alerts if alert.level != "good"}


def main(arguments: argparse.Namespace) -> None:
    """Print both tables."""
    runs = [metrics_of(seed) for seed in range(arguments.runs)]
    false = Counter(name for run in runs for name in spoken(*run))
    print(f"{arguments.runs} runs in which only chance is at work; runs in which a rule speaks:")
    for rule in RULES:
        if "grpo" in rule.mains:
            print(f"  {rule.name:<24} {false[rule.name]:5d}  {false[rule.name] / len(runs):6.1%}")
    print("\nshare of runs in which a rule speaks, by the size of the fault from the middle of the run on:")
    for rule, (name, sizes) in FAULTS.items():
        shares = [f"none {false[rule] / len(runs):.1%}"]
        # Those whose reward rises and that were validated before the fault.
        chosen = [run for run in runs if rule != "held_out_falls" or (run[0][-1] >= 4 * EVERY and _learns(run[1]))]
        for size in sizes:
            faulty = [metrics | {name: _changed(steps, metrics[name], size)} for steps, metrics in chosen]
            hits = sum(rule in spoken(steps, metrics) for (steps, _), metrics in zip(chosen, faulty, strict=True))
            shares.append(f"{size:+.2f} {hits / len(chosen):.0%}")
        print(f"  {rule:<16} {', '.join(shares)}")


def _learns(metrics: dict[str, np.ndarray]) -> bool:
    rewards = metrics["train/math/reward/mean"]
    return rewards[-10:].mean() > rewards[:10].mean() + LEARNED / 2


def _changed(steps: np.ndarray, values: np.ndarray, by: float) -> np.ndarray:
    return np.clip(values + by * (steps > len(steps) / 2), 0, 1)


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--runs", type=int, default=400, help="runs without and with each fault")
    main(parser.parse_args())
