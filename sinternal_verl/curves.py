"""Read the metrics verl's file logger writes, and draw them."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Step:
    """One logged step: its number and verl's metrics by name (step 0 is the validation before)."""

    number: int
    metrics: dict[str, float]


def read_steps(path: Path) -> list[Step]:
    """The steps in a metrics JSONL so far; empty when the file is not there yet.

    A last line without its end is still being written and left out.
    """
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]
    records = [json.loads(line) for line in lines]
    return [Step(record["step"], record["data"]) for record in records]


def series(steps: list[Step], key: str) -> tuple[list[int], list[float]]:
    """Step numbers and values of one metric, where it was logged."""
    points = [(step.number, step.metrics[key]) for step in steps if key in step.metrics]
    return [number for number, _ in points], [value for _, value in points]


def draw_learning_curve(steps: list[Step], reward: str, held_out: str, path: Path, title: str) -> None:
    """Training reward a step, and held-out accuracy where it was measured, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(*series(steps, reward), color="tab:blue", alpha=0.8, label="training reward (mean of the batch)")
    # Marks without a line: nothing was measured between them.
    axes.plot(*series(steps, held_out), "o", color="tab:orange", label="held-out accuracy (sampled)")
    axes.set(xlabel="GRPO step", ylabel="share correct", ylim=(0, 1), title=title)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)
    plt.close(figure)
