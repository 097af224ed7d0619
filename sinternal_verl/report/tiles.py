"""The figures at the top of the page: where each stands now, and how it changed."""

from collections.abc import Iterator

import numpy as np

from sinternal_verl.report.charts import chart_id
from sinternal_verl.report.curve import SIGMAS, Curve
from sinternal_verl.report.facts import HELD_OUT, TRAIN, Facts, metric
from sinternal_verl.report.view import Tile

SPARK = 40
"""Points of the small line beside a value, each the mean of as many steps."""

HIGHER, LOWER = "higher", "lower"

OF_A_SOURCE = (
    ("reward", "reward/mean", "reward", HIGHER, "reward"),
    ("safe share", "report/safe", "share", HIGHER, "safe"),
    ("refused benign", "refused", "share", LOWER, "refused"),
    ("scored share", "scored", "share", HIGHER, "scored"),
    ("truncated", "truncated", "share", LOWER, "truncated"),
    ("length", "response_length/mean", "tokens", "", "response_length"),
)
"""Label, metric after the source, unit, which direction is better, and kind of the chart."""

OF_THE_RUN = (
    ("reward", "critic/score/mean", "reward", HIGHER, "reward"),
    ("length", "response_length/mean", "tokens", "", "response_length"),
    ("truncated", "report/truncated", "share", LOWER, "truncated"),
    ("entropy", "actor/entropy", "nats", "", "entropy"),
    ("gradient norm", "actor/grad_norm", "", "", "grad_norm"),
    ("loss", "train/loss", "nats", LOWER, "sft_loss"),
    ("held-out loss", "val/loss", "nats", LOWER, "sft_loss"),
    ("gradient norm", "train/grad_norm", "", "", "sft_grad_norm"),
    ("tokens of a step", "train/global_tokens", "tokens", "", "sft_tokens"),
)


def make_tiles(facts: Facts) -> tuple[Tile, ...]:
    """The tiles of the whole run, then those of each source."""
    return (*_of_the_run(facts), *(tile for source in facts.sources for tile in _of_source(facts, source)))


def _of_the_run(facts: Facts) -> Iterator[Tile]:
    for label, name, unit, direction, kind in OF_THE_RUN:
        if facts.has(name):
            yield _tile("", label, facts.curve(name), unit, direction, chart_id(kind))
    if len(facts.seconds):
        yield _tile("", "time of a step", facts.seconds, "seconds", LOWER, chart_id("step_seconds"))


def _of_source(facts: Facts, source: str) -> Iterator[Tile]:
    for label, name, unit, direction, kind in OF_A_SOURCE:
        ours = name.removeprefix("report/")
        begin = "report/" if ours != name else ""
        train, held_out = (facts.curve(f"{begin}{metric(prefix, source, ours)}") for prefix in (TRAIN, HELD_OUT))
        if name == "reward/mean":
            held_out = facts.held_out(source, name)
        chart = chart_id(kind, source) if kind == "reward" else chart_id(kind)
        if len(train):
            yield _tile(source, label, train, unit, direction, chart)
        # A validation is one measurement, so it is shown where it says what training does not.
        if len(held_out) and (name == "reward/mean" or not len(train)):
            # Lengths are no shares, and have no direction.
            chance = facts.chance(source, held_out)
            yield _of_validations(source, f"held-out {label}", held_out, unit, direction, chart, chance)


def _tile(source: str, label: str, curve: Curve, unit: str, direction: str, chart: str) -> Tile:
    # A change within the noise is neither better nor worse.
    moved = curve.trend is not None and abs(curve.trend) > SIGMAS * curve.noise
    return Tile(source, label, curve.now, curve.trend, unit, direction if moved else "", chart, _spark(curve))


def _of_validations(
    source: str, label: str, curve: Curve, unit: str, direction: str, chart: str, chance: float
) -> Tile:
    """A tile of the last validation, and its change from the first."""
    last, first = float(curve.values[-1]), float(curve.values[0])
    direction = direction if abs(last - first) > chance else ""
    return Tile(source, label, last, last - first if len(curve) > 1 else None, unit, direction, chart, _spark(curve))


def _spark(curve: Curve) -> tuple[float, ...]:
    if not len(curve):
        return ()
    return tuple(float(part.mean()) for part in np.array_split(curve.values, min(SPARK, len(curve))))
