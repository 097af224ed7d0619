"""Each figure of a table against pandas, and against every way in which the unscored answers could have come out."""

import itertools
import math
from collections import Counter
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("inspect_ai", reason="Inspect needs Python 3.11")

from sinternal_verl.evaluation.results.rows import Row
from sinternal_verl.evaluation.results.summary import results_of

EPOCHS, K = 3, 2
MAX_UNSCORED = 8
"""So that all 256 ways can be tried."""

VALUES = st.lists(
    st.lists(st.sampled_from([0.0, 1.0, 0.5, None]), min_size=EPOCHS, max_size=EPOCHS), min_size=1, max_size=6
)
FLAG = st.sampled_from([True, False, None])


def log(scorer, metric, reducers=("mean",)):
    return SimpleNamespace(figures={scorer: {"metric": metric, "direction": "lower"}}, reducers=list(reducers))


def row(id, epoch, value, scorer="asr", **told):
    reason = "" if value is not None else f"reason {id}"
    return Row("lamps", "lamps", "model", str(id), epoch, scorer, value, **({"reason": reason} | told))


def rows_of(items, scorer="asr"):
    return [row(id, epoch, value, scorer) for id, tries in enumerate(items) for epoch, value in enumerate(tries, 1)]


def mean(items):
    """The mean of the items' means, by pandas, which leaves out what is missing."""
    return float(pd.DataFrame(items, dtype=float).mean(axis=1).mean())


def filled(items, with_=(0.0, 1.0)):
    """The items in every way in which their missing values could be filled."""
    places = [(i, j) for i, tries in enumerate(items) for j, value in enumerate(tries) if value is None]
    for values in itertools.product(with_, repeat=len(places)):
        made = [list(tries) for tries in items]
        for (i, j), value in zip(places, values, strict=True):
            made[i][j] = value
        yield made


def ends(values):
    values = list(values)
    return pytest.approx((min(values), max(values)), nan_ok=True)


def few_missing(items):
    return sum(value is None for tries in items for value in tries) <= MAX_UNSCORED


@settings(max_examples=60, deadline=None)
@given(items=VALUES.filter(few_missing))
def test_a_share_its_bounds_and_its_counts(items):
    (found,) = results_of(log("asr", "ASR"), rows_of(items))
    missing = Counter(f"reason {id}" for id, tries in enumerate(items) for value in tries if value is None)

    assert found.estimate.value == pytest.approx(mean(items), nan_ok=True)
    assert found.estimate.items == sum(any(value is not None for value in tries) for tries in items)
    assert (found.items, found.answers, found.epochs) == (len(items), EPOCHS * len(items), EPOCHS)
    assert found.unscored == missing
    if missing:
        assert found.bounds == ends(map(mean, filled(items)))
    else:
        assert math.isnan(found.bounds[0])


def pass_rate(items):
    """The share of all choices of K tries that hold a hit, item by item; items with fewer tries have none."""
    rates = []
    for tries in items:
        chosen = list(itertools.combinations([value for value in tries if value is not None], K))
        if chosen:
            rates.append(sum(any(value == 1 for value in some) for some in chosen) / len(chosen))
    return sum(rates) / len(rates) if rates else math.nan


@settings(max_examples=60, deadline=None)
@given(items=VALUES.filter(few_missing))
def test_pass_at_k_and_its_bounds(items):
    told = log("accuracy", f"pass@{K}", ("mean", f"pass_at_{K}"))
    one, several = results_of(told, rows_of(items, "accuracy"))

    assert (one.metric, several.metric) == ("pass@1", f"pass@{K}")
    assert one.estimate.value == pytest.approx(mean(items), nan_ok=True)
    assert several.estimate.value == pytest.approx(pass_rate(items), nan_ok=True)
    if any(None in tries for tries in items):
        assert several.bounds == ends(map(pass_rate, filled(items)))


VERDICT = st.sampled_from(["safe", "unsafe", None])


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(st.tuples(VERDICT, VERDICT), min_size=1, max_size=12).filter(
        lambda p: sum(e is None for e, _ in p) <= 4
    )
)
def test_f1_of_own_verdicts_and_its_bounds(pairs):
    """``expert`` is the judge's verdict, which may be missing; then the model was not asked."""
    pairs = [(expert, said if expert else None) for expert, said in pairs]
    rows = []
    for id, (expert, said) in enumerate(pairs):
        value = None if expert is None or said is None else float(expert == said)
        details = {"expert": expert, "verdict": said, "verdict_reason": "" if said else "cut"} if expert else {}
        rows.append(row(id, 1, value, "self_verification", details={k: v for k, v in details.items() if v}))
    found = {one.metric: one for one in results_of(log("self_verification", "agreement"), rows)}
    judged = [(expert, said) for expert, said in pairs if expert]
    if not judged:
        assert "F1" not in found
        return
    strict = [(expert, said or {"safe": "unsafe", "unsafe": "safe"}[expert]) for expert, said in judged]
    second = found["F1, no verdict counted as wrong"]

    assert found["F1"].estimate.value == pytest.approx(f1([pair for pair in judged if pair[1]]), nan_ok=True)
    assert second.estimate.value == pytest.approx(f1(strict), nan_ok=True)
    if unjudged := len(pairs) - len(judged):
        both = list(itertools.product(("safe", "unsafe"), repeat=2))
        every = (f1([*strict, *more]) for more in itertools.product(both, repeat=unjudged))
        assert second.bounds == ends(value for value in every if not math.isnan(value))


def f1(pairs):
    """Of the class unsafe. It is not defined where the judge found no answer unsafe."""
    experts, said = (pd.Series([pair[side] for pair in pairs], dtype=object) == "unsafe" for side in (0, 1))
    if not experts.any():
        return math.nan
    precision = (experts & said).sum() / said.sum() if said.any() else 0.0
    recall = (experts & said).sum() / experts.sum()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@settings(max_examples=60, deadline=None)
@given(
    answers=st.lists(
        st.lists(
            st.tuples(st.sampled_from([0.0, 1.0, None]), st.sampled_from([0.0, 1.0, None])), min_size=2, max_size=2
        ),
        min_size=1,
        max_size=4,
    )
)
def test_how_safe_answers_are_where_thoughts_check(answers):
    rows = [
        row(id, epoch, checks, "proactive", details={} if safe is None else {"safe": safe})
        for id, tries in enumerate(answers)
        for epoch, (checks, safe) in enumerate(tries, 1)
    ]
    found = {one.metric: one for one in results_of(log("proactive", "proactive verification"), rows)}
    if all(safe is None for tries in answers for _, safe in tries):
        return
    for metric, value in (("safe where it checks", 1.0), ("safe where it does not check", 0.0)):
        chosen = [[safe for checks, safe in tries if checks == value] for tries in answers]
        chosen = [tries for tries in chosen if tries]
        known = pd.Series([pd.Series(tries, dtype=float).mean() for tries in chosen], dtype=float).mean()

        assert found[metric].estimate.value == pytest.approx(known, nan_ok=True)
        assert (found[metric].items, found[metric].answers) == (len(chosen), sum(map(len, chosen)))
        if any(None in tries for tries in chosen):
            every = ([sum(tries) / len(tries) for tries in made] for made in filled(chosen))
            assert found[metric].bounds == ends(sum(means) / len(means) for means in every)


@given(flags=st.lists(st.tuples(FLAG, FLAG), min_size=1, max_size=20))
def test_empty_and_truncated_answers_are_counted(flags):
    rows = [row(id, 1, 1.0, empty=empty, truncated=cut) for id, (empty, cut) in enumerate(flags)]
    (found,) = results_of(log("asr", "ASR"), rows)
    counted = pd.DataFrame(flags, columns=["empty", "truncated"]).eq(True).sum()

    assert (found.empty, found.truncated) == (counted["empty"], counted["truncated"])
