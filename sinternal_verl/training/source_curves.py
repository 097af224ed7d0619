"""The metrics of one step for each data source, which verl does not log while it trains.

>>> rows = [Row("a_0_0", "math", 1.0, Outcome.CORRECT, True), Row("a_1_0", "math", 0.0, Outcome.FAILED, False)]
>>> metrics = SourceCurves("train").step(rows)
>>> metrics["train/math/reward/mean"], metrics["train/math/scored"], metrics["train/math/outcome/failed"]
(1.0, 0.5, 1)
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sinternal_verl.scoring.score import Outcome
from sinternal_verl.training.rollouts import Row

GUARDED = {
    Outcome.SAFE,
    Outcome.UNSAFE,
    Outcome.CONTROVERSIAL,
    Outcome.REFUSED,
    Outcome.UNPARSABLE,
    Outcome.CUT,
}
"""Outcomes that come from a guard."""

_UNSAFE = {Outcome.UNSAFE, Outcome.CONTROVERSIAL}
_VERDICTS = {Outcome.SAFE, Outcome.REFUSED, *_UNSAFE}
_BOXED = {Outcome.CORRECT, Outcome.MISMATCH, Outcome.NO_BOX, Outcome.UNCLOSED, Outcome.TOO_LONG}


class SourceCurves:
    """Metrics per data source, under ``{prefix}/{data_source}/``:

    ``rows``                  rollouts
    ``missing``               rollouts that were asked for and never came
    ``reward/mean``           over the scored ones; absent when there is none
    ``scored``                share with a score
    ``outcome/{name}``        count, for every outcome the source has had so far
    ``refused``               share of the scored answers to benign prompts that refuse, where a guard scores; absent
                              where there is no benign prompt. Its rise is the first sign that a policy learns to
                              refuse everything
    ``asr``                   attack success rate: share of the guard's verdicts on answers to harmful prompts that are
                              unsafe; absent where there is none
    ``compliance``            share of the guard's verdicts on answers to benign prompts that are safe and do not
                              refuse; absent where there is none
    ``accuracy``              share of the scored answers that are correct, where a box is compared. A thought that
                              never ends counts as wrong here, and not at all in ``asr`` and ``compliance``
    ``safe_probability/mean`` the guard's probability of Safe, where it was measured
    ``cut``                   share whose conversation was too long for the guard, where a guard scores
    ``truncated``             share that fills the whole response length
    ``response_length/mean``  tokens
    ``{name}/mean``           a number of the scorer's own, over the scored rows that have it
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._outcomes: defaultdict[str, set[Outcome]] = defaultdict(set)

    def step(self, rows: Sequence[Row], missing: Mapping[str, int] | None = None) -> dict[str, float]:
        """One step's metrics.

        Args:
            missing: by source, rollouts that never came; a source may have no others.
        """
        by_source: defaultdict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_source[row.source].append(row)
        metrics: dict[str, float] = {}
        for source in sorted(by_source.keys() | (missing or {}).keys()):
            own = self._of(source, by_source[source])
            if missing is not None:
                own["missing"] = missing.get(source, 0)
            metrics |= {f"{self._prefix}/{source}/{name}": value for name, value in own.items()}
        return metrics

    def _of(self, source: str, rows: list[Row]) -> dict[str, float]:
        scored = [row.reward for row in rows if row.scored]
        lengths = [row.length for row in rows if row.length is not None]
        # First, so that a scorer's number never stands in the place of one of ours.
        metrics: dict[str, float] = _means_of_extras(rows)
        metrics |= {"rows": len(rows), "scored": len(scored) / max(len(rows), 1)}
        if scored:
            metrics["reward/mean"] = sum(scored) / len(scored)
        if lengths:
            metrics["response_length/mean"] = sum(lengths) / len(lengths)
            metrics["truncated"] = sum(row.truncated for row in rows) / len(rows)
        # Once seen, an outcome is logged in every step: without its zeros a curve would not show that it went away.
        seen = self._outcomes[source]
        seen.update(row.outcome for row in rows)
        benign = [row for row in rows if row.scored and row.benign]
        if benign and seen & {Outcome.SAFE, Outcome.REFUSED}:
            metrics["refused"] = sum(row.outcome is Outcome.REFUSED for row in benign) / len(benign)
        metrics |= _figures(rows, seen)
        if rows and seen & GUARDED:
            metrics["cut"] = sum(row.cut > 0 for row in rows) / len(rows)
        sure = [row.safe_probability for row in rows if row.safe_probability is not None]
        if sure:
            metrics["safe_probability/mean"] = sum(sure) / len(sure)
        return metrics | {f"outcome/{o.name.lower()}": sum(row.outcome is o for row in rows) for o in sorted(seen)}


def _figures(rows: Sequence[Row], seen: set[Outcome]) -> dict[str, float]:
    """The figures of an evaluation, as it reports them (`sinternal_verl.evaluation`)."""
    verdicts = [row for row in rows if row.outcome in _VERDICTS]
    harmful, benign = ([row.outcome for row in verdicts if row.benign is label] for label in (False, True))
    scored = [row.outcome for row in rows if row.scored]
    figures = {}
    if harmful:
        figures["asr"] = sum(outcome in _UNSAFE for outcome in harmful) / len(harmful)
    if benign:
        figures["compliance"] = benign.count(Outcome.SAFE) / len(benign)
    if scored and seen & _BOXED:
        figures["accuracy"] = scored.count(Outcome.CORRECT) / len(scored)
    return figures


def _means_of_extras(rows: Sequence[Row]) -> dict[str, float]:
    values: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.scored:
            for name, value in row.extra.items():
                values[name].append(value)
    return {f"{name}/mean": sum(found) / len(found) for name, found in sorted(values.items())}
