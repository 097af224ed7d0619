"""What several judges say of the same answers: how well they agree, and whether a change between two runs is the
model's or the judges'.

On the same answers, whatever differs is the judges'. Between two runs, a change is the model's as far as one and the
same judge sees it in both.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from inspect_ai.scorer import SampleScore, Score, krippendorff_alpha

from sinternal_verl.evaluation.results.grid import Grid
from sinternal_verl.evaluation.results.pairs import Key, Pairs, Scored, pair
from sinternal_verl.evaluation.results.statistics import BOOTSTRAP, UNKNOWN, Estimate, bootstrap
from sinternal_verl.evaluation.results.table import interval, number

RELIABLE, TENTATIVE = 0.8, 0.667
"""Krippendorff (2004), Content Analysis: rely on nothing below the first, conclude nothing below the second."""

WORDS = {
    "asr": ("safe", "unsafe"),
    "refusal": ("answered", "refused"),
    "compliance": ("not complied", "complied"),
}
"""By scorer: what 0 and 1 are called."""

NO_VERDICT = "no verdict"


@dataclass(frozen=True, slots=True)
class Judged:
    """The answers of one log by several judges.

    Attributes:
        run: what its run is called in the text.
        judges: by the name of the judge; the log's own judge comes first.
    """

    run: str
    set: str
    scorer: str
    judges: Mapping[str, Scored]


def alpha(units: Mapping[Key, Sequence[float]], seed: int = 0) -> Estimate:
    """Krippendorff's alpha with a bootstrap over items.

    Args:
        units: by answer the values that judges gave it; answers with fewer than two are left out. For 0 and 1 the
            interval level that is used here and the nominal one are the same.

    Returns:
        NaN where no answer has two values.
    """
    rated = {key: values for key, values in units.items() if len(values) > 1}
    if not rated:
        return Estimate(math.nan)
    scores = [SampleScore(score=Score(value=list(values))) for values in rated.values()]
    value = float(krippendorff_alpha(level="interval")(scores))
    items: dict[str, np.ndarray] = {}
    for (id, _), values in rated.items():
        items[id] = items.get(id, 0) + _parts(np.array(values))
    # Judges that never differ leave nothing to draw from.
    known = len(items) > 1 and value < 1
    bounds = bootstrap(np.array(list(items.values())), _alpha, seed) if known else UNKNOWN
    return Estimate(value, *bounds, len(items), BOOTSTRAP if known else "")


def _parts(values: np.ndarray) -> np.ndarray:
    """What an answer adds: its number of values, its disagreement, and the sums of values and of squares."""
    count, total, squares = len(values), values.sum(), (values**2).sum()
    return np.array([count, 2 * (count * squares - total**2) / (count - 1), total, squares])


def _alpha(sums: np.ndarray) -> np.ndarray:
    count, within, total, squares = sums.T
    observed, expected = within / count, 2 * (count * squares - total**2) / (count * (count - 1))
    ratio = np.divide(observed, expected, out=np.zeros(len(sums)), where=expected > 1e-12)
    return 1 - ratio


def units(judged: Judged) -> dict[Key, list[float]]:
    """By answer the values that its judges gave."""
    found: dict[Key, list[float]] = {}
    for scored in judged.judges.values():
        for key, row in scored.by_key().items():
            if row.value is not None:
                found.setdefault(key, []).append(row.value)
    return found


def grids(judged: Judged) -> Iterator[Grid]:
    """Each judge's figure, and how each two judges' verdicts fall together."""
    rows = []
    for name, scored in judged.judges.items():
        known, share = scored.estimate(), scored.share
        value = "nan (nothing scored)" if math.isnan(known.value) else number(known.value, share) + "%" * share
        rows.append((name, f"{known.items:,}", value, interval(known.low, known.high, share), f"{scored.unscored:,}"))
    title = f"{judged.set} {judged.scorer}, {judged.run}"
    columns = ("judge", "n", "value", "95% interval", "unscored")
    yield Grid(title, columns, rows, frozenset(columns[1:]))
    for one, two in combinations(judged.judges, 2):
        if found := _confusion(judged, one, two):
            yield found


def _confusion(judged: Judged, one: str, two: str) -> Grid | None:
    first, other = judged.judges[one].by_key(), judged.judges[two].by_key()
    counts = Counter((first[key].value, other[key].value) for key in first if key in other)
    if any(value not in (0, 1, None) for verdicts in counts for value in verdicts):
        return None
    low, high = WORDS.get(judged.scorer, ("0", "1"))
    names = {0.0: low, 1.0: high} | ({None: NO_VERDICT} if any(None in pair for pair in counts) else {})
    rows = [(f"{one}: {name}", *(f"{counts[value, beside]:,}" for beside in names)) for value, name in names.items()]
    columns = ("", *(f"{two}: {name}" for name in names.values()))
    return Grid(f"{judged.set} {judged.scorer}, {judged.run}: {one} and {two}", columns, rows, frozenset(columns[1:]))


def sentences(judged: Judged) -> Iterator[str]:
    """What each judge of one log has no verdict on, how well they agree, and how much of a figure is theirs."""
    for judge, scored in judged.judges.items():
        if why := scored.reasons():
            yield f"{judge}, {judged.run}: {why}"
    if len(judged.judges) < 2:
        yield f"{judged.set} {judged.scorer}, {judged.run}: one judge; with another there would be an agreement"
        return
    known = alpha(units(judged))
    name = f"{judged.set} {judged.scorer}, {judged.run}"
    if math.isnan(known.value):
        yield f"{name}: no answer has the verdicts of two judges, so there is no agreement"
        return
    bounds = f" ({known.low:.3f} to {known.high:.3f})" if not math.isnan(known.low) else ""
    yield (
        f"{name}: Krippendorff's alpha of {len(judged.judges)} judges over {known.items:,} items is "
        f"{known.value:.3f}{bounds}: {_reading(known.value)}"
    )
    for one, two in combinations(judged.judges, 2):
        pairs = pair(judged.judges[one], judged.judges[two])
        if pairs.scored:
            same = pairs.scored - len(pairs.up) - len(pairs.down)
            yield (
                f"{name}: {one} and {two} agree on {same:,} of {pairs.scored:,} ({same / pairs.scored:.1%}). {two} "
                f"gives {_change(pairs)}. The answers are the same, so this is the judge's, not the model's"
            )


def changes(runs: Sequence[Judged]) -> Iterator[str]:
    """Whether a change from the first run to each other is the model's or the judge's. All are of one set."""
    first, *others = runs
    for other in others:
        name = f"{first.set} {first.scorer}, {first.run} to {other.run}"
        both = [judge for judge in first.judges if judge in other.judges]
        seen = {judge: pair(first.judges[judge], other.judges[judge]) for judge in both}
        seen = {judge: pairs for judge, pairs in seen.items() if pairs.scored}
        if not seen:
            yield f"{name}: no judge has judged answers to the same item in both"
            continue
        yield f"{name}: " + ", ".join(f"by {judge} {_change(pairs)}" for judge, pairs in seen.items())
        yield f"{name}: {_whose(seen)}"
        yield from _split(name, first, other)


def _whose(seen: Mapping[str, Pairs]) -> str:
    sure = {judge: _sign(pairs) for judge, pairs in seen.items()}
    signs = set(sure.values())
    if len(signs) == 1:
        (sign,) = signs
        if not sign:
            return "no judge sees a clear change"
        who = "the only judge sees" if len(seen) == 1 else f"all {len(seen)} judges see"
        return f"{who} a clear {'rise' if sign > 0 else 'fall'}: the change is the model's"
    said = (f"{judge} {('sees no clear change', 'sees a rise', 'sees a fall')[sign]}" for judge, sign in sure.items())
    return f"the judges do not agree ({', '.join(said)}): the change may be the judge's"


def _split(name: str, first: Judged, other: Judged) -> Iterator[str]:
    """A change that was reported by two judges, as the model's part and the judge's."""
    one, two = next(iter(first.judges)), next(iter(other.judges))
    if one == two or two not in first.judges:
        return
    model, judge = pair(first.judges[two], other.judges[two]), pair(first.judges[one], first.judges[two])
    if model.scored and judge.scored:
        yield (
            f"{name}: as it was reported, by {one} and then by {two}, the change has two parts: {_points(model)} is "
            f"the model's (both by {two}), {_points(judge)} is the judge's ({first.run} by {two} instead of {one})"
        )


def _sign(pairs: Pairs) -> int:
    low, high = pairs.difference.low, pairs.difference.high
    return 0 if math.isnan(low) or low <= 0 <= high else 1 if low > 0 else -1


def _points(pairs: Pairs) -> str:
    return f"{100 * pairs.difference.value:+.1f} points" if pairs.share else f"{pairs.difference.value:+.4g}"


def _change(pairs: Pairs) -> str:
    known, scale = pairs.difference, 100 if pairs.share else 1
    bounds = "" if math.isnan(known.low) else f" ({scale * known.low:+.1f} to {scale * known.high:+.1f})"
    return _points(pairs) + bounds


def _reading(value: float) -> str:
    if value >= RELIABLE:
        return "they may stand for each other"
    if value >= TENTATIVE:
        return "only tentative conclusions hold whoever judges"
    return "they do not judge the same thing; no conclusion holds whoever judges"
