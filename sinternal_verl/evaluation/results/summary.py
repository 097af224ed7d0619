"""From rows to figures: what a log's scorers add up to, each with an interval and with what is not in it.

A scorer gives one figure: the mean of its values. There is more than that where

1. epochs are reduced to pass@k: the mean over items of the unbiased estimate, beside the mean (pass@1);
2. a model judged its own answers (``self_verification``): F1 of its verdicts by `sinternal_verl.verify.evaluate`;
3. thoughts were rated (``proactive``): how safe the answers are whose thoughts check, and those whose do not.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sinternal_verl.evaluation.results.logs import Log
from sinternal_verl.evaluation.results.rows import Row, in_order
from sinternal_verl.evaluation.results.statistics import BOOTSTRAP, UNKNOWN, Estimate, Interval, mean, pass_at_k
from sinternal_verl.verify.account import Item
from sinternal_verl.verify.evaluate import assess

ARROWS = {"lower": "↓", "higher": "↑"}
NO_SCORER = "no scorer"
SELF_VERIFICATION, PROACTIVE = "self_verification", "proactive"
SEED = 1
"""Of the bootstrap of F1, as in ``recipes/verify/build.yaml``."""

_PASS_AT = re.compile(r"pass(?:@|_at_)(\d+)")


@dataclass(frozen=True, slots=True)
class Result:
    """One line of a table.

    Attributes:
        log: the log that it comes from.
        scorer, metric: who scored, and what the figure is called.
        direction: ``lower`` or ``higher`` is better; empty where that is not known.
        estimate: value and interval; the value is NaN where nothing is scored.
        epochs: tries of each item.
        answers: how many answers the run was to have.
        items: how many items.
        unscored: by reason, how many answers are not in the value.
        bounds: what the value could be if all of those were 0, or all 1; NaN where nothing is unscored, or values are
            no shares.
        share: values lie from 0 to 1, so the figure is a percentage.
        empty, truncated: how many answers.
        judge, judge_model, judged: who judged what; several are joined by commas.
    """

    log: Log
    scorer: str
    metric: str
    direction: str
    estimate: Estimate
    epochs: int
    answers: int
    items: int
    unscored: Mapping[str, int] = field(default_factory=dict)
    bounds: Interval = UNKNOWN
    share: bool = True
    empty: int = 0
    truncated: int = 0
    judge: str = ""
    judge_model: str = ""
    judged: str = ""

    @property
    def name(self) -> str:
        return f"{self.metric} {ARROWS.get(self.direction, '')}".strip()


class Tally:
    """The rows of one scorer."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {}

    def add(self, row: Row) -> None:
        self.rows.setdefault(row.id, []).append(row)

    def values(self, fill: float | None = None) -> list[list[float]]:
        """The values of each item; what is not scored is left out, or taken for ``fill``."""
        found = ([fill if row.value is None else row.value for row in rows] for rows in self.rows.values())
        return [[value for value in values if value is not None] for values in found]

    def all(self) -> Iterator[Row]:
        for rows in self.rows.values():
            yield from rows


def tally(rows: Iterable[Row]) -> dict[str, Tally]:
    """Rows by their scorer, in order."""
    found: dict[str, Tally] = {}
    for row in in_order(rows):
        found.setdefault(row.scorer, Tally()).add(row)
    return found


def results_of(log: Log, rows: Iterable[Row]) -> Iterator[Result]:
    """The figures of a log's rows, scorer by scorer."""
    for scorer, found in tally(rows).items():
        yield from _figures(log, scorer, found)


def metric_of(log: Log, scorer: str) -> tuple[str, str, list[int]]:
    """What the mean of a scorer's values is called, which way is better, and each k of which there is pass@k, too."""
    told = log.figures.get(scorer, {})
    metric = told.get("metric", scorer or NO_SCORER)
    tries = sorted({int(found[1]) for name in (metric, *log.reducers) if (found := _PASS_AT.fullmatch(name))} - {1})
    return "pass@1" if _PASS_AT.fullmatch(metric) and tries else metric, told.get("direction", ""), tries


def _figures(log: Log, scorer: str, tally: Tally) -> Iterator[Result]:
    metric, direction, tries = metric_of(log, scorer)
    facts = _facts(log, scorer, direction, tally)
    values = tally.values()
    share = all(0 <= value <= 1 for item in values for value in item)
    bounds = _bounds(tally, lambda tries: math.fsum(tries) / len(tries)) if share else UNKNOWN
    yield Result(metric=metric, estimate=mean(values), bounds=bounds, share=share, **facts)
    for k in tries:
        bounds = _bounds(tally, lambda tries, k=k: _pass_at(tries, k))
        yield Result(metric=f"pass@{k}", estimate=_pass_rate(values, k), bounds=bounds, **facts)
    if scorer == SELF_VERIFICATION and any("expert" in row.details for row in tally.all()):
        yield from _f1(facts, tally)
    if scorer == PROACTIVE and any("safe" in row.details for row in tally.all()):
        yield _safe_where(facts, tally, "safe where it checks", 1.0)
        yield _safe_where(facts, tally, "safe where it does not check", 0.0)


def _facts(log: Log, scorer: str, direction: str, tally: Tally) -> dict[str, Any]:
    rows = list(tally.all())
    return {
        "log": log,
        "scorer": scorer,
        "direction": direction,
        "epochs": max(Counter(row.id for row in rows).values()),
        "answers": len(rows),
        "items": len(tally.rows),
        "unscored": dict(Counter(row.reason for row in rows if row.value is None).most_common()),
        "empty": sum(row.empty is True for row in rows),
        "truncated": sum(row.truncated is True for row in rows),
        **{name: _joined(rows, name) for name in ("judge", "judge_model", "judged")},
    }


def _joined(rows: Iterable[Row], name: str) -> str:
    return ", ".join(sorted({getattr(row, name) for row in rows} - {""}))


def _bounds(tally: Tally, of_item: Callable[[Sequence[float]], float]) -> Interval:
    """The mean over all items if every unscored answer were 0, and if every one were 1."""
    if all(row.value is not None for row in tally.all()):
        return UNKNOWN
    return tuple(_mean([[of_item(tries)] for tries in tally.values(fill)]) for fill in (0.0, 1.0))


def _mean(values: Sequence[Sequence[float]]) -> float:
    return math.fsum(math.fsum(item) / len(item) for item in values) / len(values)


def _pass_rate(values: Iterable[Sequence[float]], k: int) -> Estimate:
    """pass@k over items; those with fewer than k scored tries have none."""
    chances = (_pass_at(tries, k) for tries in values)
    return mean([[chance] for chance in chances if not math.isnan(chance)])


def _pass_at(tries: Sequence[float], k: int) -> float:
    """pass@k of one item. A try hits where its value is at least 1, as in Inspect's ``pass_at``."""
    return pass_at_k(len(tries), sum(value >= 1 for value in tries), k)


def _f1(facts: dict[str, Any], tally: Tally) -> Iterator[Result]:
    """F1 over the answers with both verdicts; and over those with the judge's, where no verdict of the model's counts
    as the wrong one. The bounds of the second are those where every other answer is unsafe, and missed or found."""
    items = [
        Item("", row.id, "harmful", row.epoch, row.details.get("expert"), row.details.get("verdict"), _why(row))
        for row in tally.all()
    ]
    found = assess(items, SEED)
    unread = found.judged - found.unparsable
    no_verdict = {"no verdict of the model's": found.unparsable} if found.unparsable else {}
    for name, (value, low, high), scored, unscored, bounds in (
        ("F1", found.f1, unread, {**facts["unscored"], **no_verdict}, UNKNOWN),
        (
            *("F1, no verdict counted as wrong", found.strict_f1, found.judged, facts["unscored"]),
            found.f1_bounds if facts["unscored"] else UNKNOWN,
        ),
    ):
        # Where no resample differs there is nothing to know of the interval.
        known = low < high
        estimate = Estimate(value, low, high, scored, BOOTSTRAP) if known else Estimate(value, items=scored)
        yield Result(metric=name, estimate=estimate, bounds=bounds, **(facts | {"unscored": unscored}))


def _why(row: Row) -> str:
    return row.reason if "expert" not in row.details else str(row.details.get("verdict_reason", ""))


def _safe_where(facts: dict[str, Any], tally: Tally, metric: str, value: float) -> Result:
    """Of the answers whose thoughts have this value, the share that is safe; those without a verdict are unscored."""
    where = {id: [row for row in rows if row.value == value] for id, rows in tally.rows.items()}
    where = {id: rows for id, rows in where.items() if rows}
    known = [[row.details["safe"] for row in rows if "safe" in row.details] for rows in where.values()]
    answers = sum(map(len, where.values()))
    left, bounds = answers - sum(map(len, known)), UNKNOWN
    if left:
        filled = ([[row.details.get("safe", fill) for row in rows] for rows in where.values()] for fill in (0.0, 1.0))
        bounds = tuple(_mean(values) for values in filled)
    own = {
        "direction": "higher",
        "answers": answers,
        "items": len(where),
        "unscored": {"no verdict on the answer": left} if left else {},
        "judged": "answer",
        "judge": _told(tally, "safety_judge"),
        "judge_model": _told(tally, "safety_judge_model"),
    }
    return Result(metric=metric, estimate=mean(known), bounds=bounds, **(facts | own))


def _told(tally: Tally, name: str) -> str:
    return ", ".join(sorted({str(row.details[name]) for row in tally.all() if name in row.details}))
