"""The table of a run: each figure with its direction, n, interval and what is unscored, beside what the paper has.

It is written as text, Markdown, CSV, HTML and PNG, with a row for each item in ``rows.jsonl``. None of these files
holds a prompt or an answer.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from sinternal_verl.data.schema import whole_file, write_whole
from sinternal_verl.evaluation.results.grid import Grid, to_csv
from sinternal_verl.evaluation.results.logs import Log, LogError, Source, label, open_logs
from sinternal_verl.evaluation.results.page import Bar, write_page
from sinternal_verl.evaluation.results.picture import draw_table
from sinternal_verl.evaluation.results.published import Published, beside, names, published
from sinternal_verl.evaluation.results.rows import as_line, in_order, rows_of
from sinternal_verl.evaluation.results.summary import Result, results_of

COLUMNS = (
    *("model", "set", "figure", "n", "value", "95% interval", "unscored", "if all were 0 to 1", "empty", "truncated"),
    "judge",
)
NUMBERS = frozenset(COLUMNS[3:10])
NO_TEXT = "Holds no prompts and no answers: an item is named by its set and id."
NOTHING = "nan"
HOW = (
    "Intervals of 95%: Wilson's where each item has one value and it is 0 or 1, else a bootstrap over items. "
    "Unscored answers are in no value."
)


def write_tables(sources: Source | Iterable[Source], out: Path) -> str:
    """Write the table of logs in all its forms to a folder, and return it as text.

    Args:
        sources: logs, files of logs or folders of them, of any task of Inspect.
        out: a folder; it is made where it is missing.

    Raises:
        LogError: there is no log, or one that was named cannot be read.
    """
    logs, notes = open_logs(sources)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    figures = []
    with whole_file(out / "rows.jsonl") as file:
        for log in logs:
            try:
                rows = in_order(rows_of(log))
            except LogError as error:
                notes.append(f"left out: {error}")
                continue
            file.writelines(map(as_line, rows))
            figures += results_of(log, rows)
        if not figures:
            raise LogError("\n".join(["no log can be read", *notes]))
    found = [beside(figure) for figure in figures]
    grids = [ours(figures)]
    grids += with_paper(figures, found)
    notes = [*unfinished(logs), *reduced(logs), *reasons(figures), *differences(figures, found), *notes]
    text = "\n\n".join([*(grid.text() for grid in grids), "\n".join((HOW, *notes))])
    marked = "\n".join(f"- {note}" for note in (HOW, NO_TEXT, *notes))
    write_whole(out / "table.txt", text + "\n")
    write_whole(out / "table.md", "\n\n".join(["# Evaluation", *(grid.markdown() for grid in grids), marked]) + "\n")
    write_whole(out / "table.csv", as_csv(figures, found))
    bars = {grids[0].title: ("95% interval", spans(figures))}
    write_page(out / "table.html", "Evaluation", NO_TEXT, grids, (HOW, *notes), bars)
    draw_table(figures, found, out / "table.png")
    return text


def ours(figures: Sequence[Result]) -> Grid:
    models = sorted({figure.log.model for figure in figures})
    several = len(models) > 1
    rows = [
        (
            figure.log.model if several else "",
            figure.log.set,
            figure.name,
            count(figure),
            value(figure),
            interval(figure.estimate.low, figure.estimate.high, figure.share),
            f"{sum(figure.unscored.values()):,}",
            interval(*figure.bounds, figure.share),
            f"{figure.empty:,}",
            f"{figure.truncated:,}",
            figure.judge or figure.judge_model,
        )
        for figure in figures
    ]
    return Grid("several models" if several else ", ".join(models), COLUMNS, rows, NUMBERS)


def with_paper(figures: Sequence[Result], found: Sequence[Published | None]) -> list[Grid]:
    """The figures beside the rows of the paper's main table, and beside its ablations, where it has them."""
    source, model = published()["source"], published()["model"]
    return [
        grid
        for kind, title in (
            ("values", f"beside the paper ({model}; {source})"),
            ("ablations", f"beside the paper's ablations of SInternal SFT ({model}, or 7B; {source})"),
        )
        if (grid := _beside(kind, title, figures, found)).rows
    ]


def _beside(kind: str, title: str, figures: Sequence[Result], found: Sequence[Published | None]) -> Grid:
    columns = names(kind)
    rows = [
        (
            *(figure.log.model, figure.log.set, figure.name, value(figure)),
            *(f"{known[name]:.1f}" if name in known else "" for name in columns),
        )
        for figure, about in zip(figures, found, strict=True)
        if about and (known := getattr(about, kind))
    ]
    return Grid(title, ("model", "set", "figure", "here", *columns), rows, frozenset(("here", *columns)))


def count(figure: Result) -> str:
    """How many items the value is about, and of how many tries each."""
    items = f"{figure.estimate.items:,}"
    items += f" of {figure.items:,}" if figure.estimate.items != figure.items else ""
    return items if figure.epochs == 1 else f"{items} x {figure.epochs}"


def value(figure: Result) -> str:
    """
    A value that nobody measured is called so: it is not 0.
    """
    if math.isnan(figure.estimate.value):
        return f"{NOTHING} (nothing scored)" if not figure.estimate.items else f"{NOTHING} (undefined)"
    return number(figure.estimate.value, figure.share) + ("%" if figure.share else "")


def interval(low: float, high: float, share: bool) -> str:
    return "" if math.isnan(low) else f"{number(low, share)} to {number(high, share)}"


def number(value: float, share: bool) -> str:
    """
    >>> number(0.4123, True), number(3.14159, False)
    ('41.2', '3.142')
    """
    return f"{100 * value:.1f}" if share else f"{value:.4g}"


def unfinished(logs: Sequence[Log]) -> list[str]:
    return [
        f"{log.set} ({log.task}): the run is {log.state}, not finished; what it did not come to counts as unscored"
        for log in logs
        if not log.finished
    ]


def reduced(logs: Sequence[Log]) -> list[str]:
    """Logs whose own figure is no mean of an item's tries."""
    found = []
    for log in logs:
        others = [name for name in log.reducers if name != "mean" and not name.startswith("pass_at_")]
        if others and log.epochs > 1:
            what = f"the log's own figure is the {' and the '.join(map(label, others))} of an item's tries"
            found.append(f"{log.set} ({log.task}): {what}; here it is their mean")
    return found


def reasons(figures: Sequence[Result]) -> list[str]:
    """Why answers are unscored, a line each."""
    return [
        f"{figure.log.set} {figure.metric}: {sum(figure.unscored.values()):,} of {figure.answers:,} unscored: "
        + ", ".join(f"{reason} {times:,}" for reason, times in figure.unscored.items())
        for figure in figures
        if figure.unscored
    ]


def differences(figures: Sequence[Result], found: Sequence[Published | None]) -> list[str]:
    """What differs from the paper, a line each."""
    return [
        f"{figure.log.set} {figure.metric}: {'unlike' if known.values else 'not'} the paper's: "
        + "; ".join(known.differs)
        for figure, known in zip(figures, found, strict=True)
        if known and known.differs
    ]


def spans(figures: Sequence[Result]) -> list[Bar]:
    """Value and interval of each share, for the bars of the page; None where there is none."""
    return [
        (figure.estimate.value, *_width(figure)) if figure.share and not math.isnan(figure.estimate.value) else None
        for figure in figures
    ]


def _width(figure: Result) -> tuple[float, float]:
    known = figure.estimate
    return (known.value, known.value) if math.isnan(known.low) else (known.low, known.high)


def as_csv(figures: Sequence[Result], found: Sequence[Published | None]) -> str:
    """Every figure with all that is known of it: shares from 0 to 1, the paper's in percent."""
    paper = [*names(), *names("ablations")]
    columns = (
        *(
            "model",
            "set",
            "task",
            "scorer",
            "metric",
            "direction",
            "items",
            "items_scored",
            "epochs",
            "answers",
            "value",
        ),
        *("low", "high", "interval", "unscored", "reasons", "lowest", "highest", "empty", "truncated", "judge"),
        *("judge_model", "judged", "log", *(f"paper: {name}" for name in paper), "differs_from_paper"),
    )
    rows = [
        (
            *(figure.log.model, figure.log.set, figure.log.task, figure.scorer, figure.metric, figure.direction),
            *(figure.items, figure.estimate.items, figure.epochs, figure.answers),
            *(figure.estimate.value, figure.estimate.low, figure.estimate.high, figure.estimate.method),
            sum(figure.unscored.values()),
            "; ".join(f"{reason} {times}" for reason, times in figure.unscored.items()),
            *(*figure.bounds, figure.empty, figure.truncated, figure.judge, figure.judge_model, figure.judged),
            figure.log.name,
            *({**known.values, **known.ablations}.get(name, "") if known else "" for name in paper),
            "; ".join(known.differs) if known else "",
        )
        for figure, known in zip(figures, found, strict=True)
    ]
    return to_csv(columns, rows)
