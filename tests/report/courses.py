"""Runs in memory: metrics by name, as values over the steps 1, 2, ...; a value for all steps, or one for each."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from sinternal_verl.report.compose import make_view
from sinternal_verl.report.run import UNKNOWN, Rollouts, Run, Steps
from sinternal_verl.report.view import Alert

NOW = datetime(2026, 11, 26, 18, 0, 0, tzinfo=timezone.utc)
STEPS = 30
BENIGN, HARMFUL, SUMS = "safety/benign/lighthouse", "safety/harmful/lighthouse", "world/addition"


def noisy(level: float | Sequence[float], by: float, seed: int = 1) -> np.ndarray:
    """A course with noise of this deviation."""
    return np.broadcast_to(np.asarray(level, dtype=float), STEPS) + np.random.default_rng(seed).normal(0, by, STEPS)


def course(begin: float, end: float, turn: int = 10) -> np.ndarray:
    """``begin`` up to a step, and from then on a straight line to ``end``."""
    return np.concatenate([np.full(turn, begin), np.linspace(begin, end, STEPS - turn)])


def healthy() -> dict[str, Any]:
    """Metrics of a run of which no rule has anything to say."""
    metrics: dict[str, Any] = {
        "actor/entropy": noisy(course(0.6, 0.4), 0.02),
        "actor/grad_norm": noisy(0.3, 0.03),
        "actor/pg_loss": noisy(0.0, 0.01),
        "rollout_corr/kl": noisy(0.0005, 0.0001),
        "rollout_corr/k3_kl": noisy(0.0005, 0.0001),
        "critic/score/mean": noisy(course(0.5, 0.8), 0.02),
        "timing_s/step": noisy(60, 3),
        "timing_s/gen": noisy(40, 2),
        "guard/wait/mean": noisy(2, 0.3),
    }
    for source in (BENIGN, HARMFUL, SUMS):
        own = {
            "rows": 64.0,
            "missing": 0.0,
            "scored": 1.0,
            "reward/mean": noisy(course(0.5, 0.8), 0.03),
            "truncated": noisy(0.03, 0.005),
            "response_length/mean": noisy(2000, 50),
        }
        if source != SUMS:
            own |= {"outcome/safe": 60.0, "outcome/unsafe": 4.0, "outcome/unparsable": 0.0}
        metrics |= {f"train/{source}/{name}": value for name, value in own.items()}
        points = validations({9: 0.55, 19: 0.65, 29: 0.75})
        metrics |= {f"val/{source}/reward/mean": points, f"val/{source}/rows": np.where(np.isnan(points), np.nan, 400)}
    metrics[f"train/{BENIGN}/refused"] = noisy(0.05, 0.01)
    return metrics


def validations(at: Mapping[int, float]) -> np.ndarray:
    """A value in some steps, by place, and none in the others."""
    values = np.full(STEPS, np.nan)
    values[list(at)] = list(at.values())
    return values


def run_of(metrics: Mapping[str, Any], **attributes: Any) -> Run:
    """A run with these metrics; one that is None is left out."""
    values = {
        name: np.broadcast_to(np.asarray(value, dtype=float), STEPS)
        for name, value in metrics.items()
        if value is not None
    }
    attributes = {"kind": "grpo", "finished": True, "updated": NOW.isoformat()} | attributes
    steps = Steps(np.arange(1, STEPS + 1), values, attributes.pop("not_finite", {}))
    return Run(name="run", folder=Path("run"), steps=steps, **attributes)


def alerts_of(metrics: Mapping[str, Any], **attributes: Any) -> dict[str, Alert]:
    """The alerts by the name of their rule; the last one says how many rules could look."""
    return {alert.name: alert for alert in make_view(run_of(metrics, **attributes), NOW).alerts}


def rollouts_of(scores: np.ndarray, lengths: np.ndarray, source: str = SUMS) -> Rollouts:
    """Rollouts of training.

    Args:
        scores, lengths: shape (steps, groups, responses).
    """
    steps, groups, responses = scores.shape
    count = scores.size
    step = np.repeat(np.arange(1, steps + 1), groups * responses).astype(np.int32)
    unknown = np.full(count, UNKNOWN, np.int32)
    nothing = np.full(count, np.nan, np.float32)
    return Rollouts(
        held_out=np.zeros(count, bool),
        step=step,
        within=np.tile(np.arange(groups * responses), steps).astype(np.int32),
        source=np.zeros(count, np.int32),
        outcome=unknown,
        reason=unknown,
        row=unknown,
        group=np.repeat(np.arange(steps * groups), responses).astype(np.int32),
        place=np.tile(np.arange(responses), steps * groups).astype(np.int32),
        score=scores.reshape(-1).astype(np.float32),
        advantage=nothing,
        safe_probability=nothing,
        length=lengths.reshape(-1).astype(np.int32),
        scored=np.ones(count, np.int8),
        truncated=np.zeros(count, np.int8),
        set_aside=np.zeros(count, np.int8),
        cut=np.zeros(count, np.int8),
        extra={},
        names={"source": [source], "outcome": [], "reason": [], "row": []},
        texts={},
        files=(),
    )
