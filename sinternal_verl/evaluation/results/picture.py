"""The figures of a run as a picture: each share with its interval, and the paper's beside it."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

from sinternal_verl.data.schema import write_whole
from sinternal_verl.evaluation.results.published import Published, published
from sinternal_verl.evaluation.results.summary import Result

PAPER_MARKS = {"base": "o", "STAR-1 + GRPO": "s", "SInternal SFT": "D", "SInternal + GRPO": "^"}
"""The published rows that are drawn, and their marks; all seven would hide one another."""

MAX_NAME = 60


def draw(figures: Sequence[Result], found: Sequence[Published | None], path: Path) -> None:
    """Draw the shares as a PNG. Figures that are no shares, or have no value, are named without a mark."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    lines = list(dict.fromkeys((figure.log.set, figure.name) for figure in figures))
    models = sorted({figure.log.model for figure in figures})
    height = 1.6 + 0.28 * max(len(figures), len(lines)) + 0.2 * len(lines) + 0.2 * len(models)
    canvas, axes = plt.subplots(figsize=(9, height), layout="constrained")
    marks = {}
    for place, line in enumerate(lines):
        here = [pair for pair in zip(figures, found, strict=True) if (pair[0].log.set, pair[0].name) == line]
        for number, (figure, known) in enumerate(here):
            y = place + (number - (len(here) - 1) / 2) * 0.7 / len(here)
            _point(axes, figure, y, f"C{models.index(figure.log.model)}")
            for name, mark in PAPER_MARKS.items():
                if known and name in known.values:
                    below = y + 0.25 / len(here)
                    axes.plot(known.values[name], below, mark, color="grey", fillstyle="none", markersize=5)
                    marks[name] = mark
    axes.set_yticks(range(len(lines)), [f"{set}\n{name}" for set, name in lines])
    says = "percent; bars: intervals of 95%; dotted: if all unscored were 0 to 1"
    axes.set(xlim=(-3, 103), ylim=(len(lines) - 0.5, -0.5), xlabel=says)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    entries = [Line2D([], [], marker="o", color=f"C{place}", label=_short(name)) for place, name in enumerate(models)]
    entries += [
        Line2D([], [], linestyle="", marker=mark, color="grey", fillstyle="none", label=f"paper: {name}")
        for name, mark in PAPER_MARKS.items()
        if name in marks
    ]
    canvas.legend(handles=entries, loc="outside lower center", ncols=1 if len(entries) < 3 else 2, frameon=False)
    if marks:
        axes.set_title(f"grey: {published()['source']}, {published()['model']}", fontsize=9, loc="left")
    # The file holds no date and no version, so the same logs give the same picture.
    content = io.BytesIO()
    canvas.savefig(content, dpi=130, format="png", metadata={"Software": None})
    plt.close(canvas)
    write_whole(path, content.getvalue())


def _point(axes, figure: Result, y: float, colour: str) -> None:
    known = figure.estimate
    if not figure.share or math.isnan(known.value):
        why = "nothing scored" if math.isnan(known.value) else f"no share: {known.value:.4g}"
        axes.annotate(why, (0, y), color=colour, va="center", fontsize=9)
        return
    if not math.isnan(known.low):
        axes.plot([100 * known.low, 100 * known.high], [y, y], color=colour, linewidth=2.5, alpha=0.5, zorder=2)
    if not math.isnan(figure.bounds[0]):
        low, high = (100 * bound for bound in figure.bounds)
        axes.plot([low, high], [y, y], linestyle=":", color=colour, linewidth=1.2, zorder=2)
    axes.plot(100 * known.value, y, "o", color=colour, markersize=7, zorder=3)
    unscored = sum(figure.unscored.values())
    note = f"n={known.items:,}" + (f", {unscored:,} unscored" if unscored else "")
    axes.annotate(note, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=8, color="grey")


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else "…" + name[1 - MAX_NAME :]
