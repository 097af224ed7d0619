"""Metrics of the tasks, held against their formulas and against what Inspect makes of nothing."""

import math
import statistics

import pytest

pytest.importorskip("inspect_ai", reason="Inspect needs Python 3.11")

from hypothesis import given
from hypothesis import strategies as st
from inspect_ai.scorer import SampleScore, Score

from sinternal_verl.evaluation.tasks.metrics import error, interval

Z = statistics.NormalDist().inv_cdf(0.975)


def scores(values):
    return [SampleScore(score=Score(value=float(value)), sample_id=number) for number, value in enumerate(values)]


@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_wilsons_bounds_solve_their_equation(values):
    """(p - q)^2 = z^2 q (1 - q) / n at both bounds q."""
    share, n = sum(values) / len(values), len(values)
    bounds = interval()(scores(values))

    for bound in bounds.values():
        assert (share - bound) ** 2 == pytest.approx(Z**2 * bound * (1 - bound) / n, abs=1e-12)
    assert bounds["lower"] - 1e-12 <= share <= bounds["upper"] + 1e-12


@given(st.lists(st.floats(0, 1), min_size=2, max_size=100))
def test_the_error_of_a_mean(values):
    assert error()(scores(values)) == pytest.approx(statistics.stdev(values) / math.sqrt(len(values)), abs=1e-9)


def test_of_nothing_there_is_no_number():
    assert all(math.isnan(bound) for bound in interval()([]).values())
    assert math.isnan(error()([])) and math.isnan(error()(scores([1])))
