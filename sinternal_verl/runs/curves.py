"""Reads metrics files, ours or those of verl's file logger, and draws them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Step:
    """One logged step: its number and its metrics by name (step 0 is the validation before training)."""

    number: int
    metrics: dict[str, float]


def read_steps(path: Path) -> list[Step]:
    """The steps that a metrics file has so far; none when the file is not there yet.

    A last line without its end is still being written and is left out.
    """
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]
    records = [json.loads(line) for line in lines]
    return [Step(record["step"], record["data"]) for record in records]


def series(steps: list[Step], key: str) -> tuple[list[int], list[float]]:
    """Step numbers and values of one metric, for the steps that logged it."""
    points = [(step.number, step.metrics[key]) for step in steps if key in step.metrics]
    return [number for number, _ in points], [value for _, value in points]


@dataclass(frozen=True)
class Curve:
    """A metric that is logged both for training batches and for held-out rows."""

    label: str
    metric: str

    @property
    def train(self) -> str:
        return f"train/{self.metric}"

    @property
    def held_out(self) -> str:
        return f"val/{self.metric}"


def draw_curves(steps: list[Step], curves: Sequence[Curve], path: Path, title: str) -> None:
    """Draw shares in 0..1 as a PNG: a line for the training batches, marks where held-out rows were measured."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for number, curve in enumerate(curves):
        axes.plot(*series(steps, curve.train), color=f"C{number}", alpha=0.8, label=curve.label)
        # Marks without a line, because nothing was measured between them.
        axes.plot(*series(steps, curve.held_out), "o", color=f"C{number}")
    axes.plot([], [], "o", color="grey", label="the same on held-out prompts")
    axes.set(xlabel="GRPO step", ylabel="share", ylim=(-0.02, 1.02), title=title)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
