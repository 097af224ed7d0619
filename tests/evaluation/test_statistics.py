"""Intervals and estimators against straightforward code of another kind, and against Inspect's own."""

import itertools
import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("inspect_ai", reason="Inspect needs Python 3.11")

from inspect_ai.scorer import SampleScore, Score, krippendorff_alpha, pass_at

from sinternal_verl.evaluation.results import statistics
from sinternal_verl.evaluation.results.agreement import _alpha, _parts, alpha
from sinternal_verl.evaluation.results.statistics import (
    bootstrap,
    difference,
    mean,
    newcombe,
    pass_at_k,
    sign_test,
    wilson,
)

ZERO_OR_ONE = st.sampled_from([0.0, 1.0])


@given(trials=st.integers(1, 5000), share=st.floats(0, 1))
def test_wilsons_bounds_solve_the_equation_that_defines_them(trials, share):
    hits = round(share * trials)
    square = statistics.Z**2
    # (share - p)^2 = z^2 p (1 - p) / n, for p.
    roots = np.roots([1 + square / trials, -(2 * hits / trials + square / trials), (hits / trials) ** 2])

    assert wilson(hits, trials) == pytest.approx(sorted(roots.real), abs=1e-6)


def test_an_interval_holds_its_value_also_at_the_ends():
    for trials in (1, 7, 313, 10_000):
        assert wilson(0, trials)[0] == 0
        assert wilson(trials, trials)[1] == 1


def naive_bootstrap(items: list[list[float]], resamples: int, seed: int) -> tuple[float, float]:
    draw, values = random.Random(seed), []
    for _ in range(resamples):
        drawn = [draw.choice(items) for _ in items]
        values.append(sum(sum(item) / len(item) for item in drawn) / len(drawn))
    values.sort()
    return values[int(0.025 * resamples)], values[int(0.975 * resamples)]


def test_the_bootstrap_draws_items_and_not_epochs():
    draw = random.Random(7)
    # The epochs of an item are alike, so that drawing epochs would give less than half of the width.
    items = [[float(draw.random() < chance) for _ in range(8)] for chance in (0.02, 0.98) for _ in range(20)]
    found, by_hand = mean(items), naive_bootstrap(items, 4000, seed=3)
    flat = [[value] for item in items for value in item]
    too_narrow = naive_bootstrap(flat, 1000, seed=3)

    assert found.method == "bootstrap by item"
    assert (found.low, found.high) == pytest.approx(by_hand, abs=0.015)
    assert found.high - found.low > 2 * (too_narrow[1] - too_narrow[0])


def test_a_seed_gives_the_same_interval_and_another_gives_another():
    values = np.random.default_rng(1).random((50, 1))

    def average(sums):
        return sums[:, 0] / 50

    assert bootstrap(values, average, seed=4) == bootstrap(values, average, seed=4)
    assert bootstrap(values, average, seed=4) != bootstrap(values, average, seed=5)


def test_many_items_are_drawn_in_pieces(monkeypatch):
    values = np.random.default_rng(1).random((50, 1))
    whole = bootstrap(values, lambda sums: sums[:, 0] / 50)
    monkeypatch.setattr(statistics, "MAX_CELLS", 120)

    assert bootstrap(values, lambda sums: sums[:, 0] / 50) == pytest.approx(whole, abs=0.01)


def test_resamples_without_a_value_are_left_out():
    rare = np.array([[1, 1]] + [[0, 0]] * 9)  # the ratio is undefined where the first item is not drawn

    def ratio(sums):
        return np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0)

    assert bootstrap(rare, ratio) == (1.0, 1.0)
    assert all(map(math.isnan, bootstrap(rare[1:], ratio)))


@pytest.mark.parametrize(
    ("epochs", "method", "low", "high"),
    [
        ([[1], [0], [1], [0]], "Wilson", 0.15, 0.85),
        ([[0.5], [0.25]], "bootstrap by item", 0.25, 0.5),
        # Sixteen epochs that are all 0 are no evidence of 16 items.
        ([[0] * 16] * 4, "Wilson, by item", 0, 0.49),
        ([[1] * 16] * 4, "Wilson, by item", 0.51, 1),
    ],
)
def test_the_interval_fits_the_values(epochs, method, low, high):
    found = mean(epochs)

    assert found.method == method
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)


def test_values_that_are_all_alike_have_no_interval():
    found = mean([[0.5], [0.5]])
    assert found.value == 0.5
    assert math.isnan(found.low)


def test_nothing_scored_is_no_zero():
    for nothing in ([], [[]], [[], []]):
        assert math.isnan(mean(nothing).value)
        assert mean(nothing).items == 0


@given(st.lists(st.lists(ZERO_OR_ONE, max_size=4), min_size=1, max_size=12))
@settings(max_examples=50)
def test_the_value_is_the_mean_of_the_items_means(items):
    scored = [item for item in items if item]
    found = mean(items)

    if scored:
        assert found.value == pytest.approx(np.mean([np.mean(item) for item in scored]))
        assert math.isnan(found.low) or found.low <= found.value + 1e-9 <= found.high + 2e-9
    assert found.items == len(scored)


@given(tries=st.lists(st.booleans(), min_size=1, max_size=8), k=st.integers(1, 10))
def test_pass_at_k_is_the_share_of_all_subsets_that_hit(tries, k):
    found = pass_at_k(len(tries), sum(tries), k)

    if k > len(tries):
        assert math.isnan(found)
    else:
        subsets = list(itertools.combinations(tries, k))
        assert found == pytest.approx(sum(map(any, subsets)) / len(subsets))
        assert found == pytest.approx(pass_at(k)([Score(value=float(hit)) for hit in tries]).as_float())


@given(better=st.integers(0, 12), worse=st.integers(0, 12))
def test_mcnemars_p_counts_every_way_in_which_pairs_can_flip(better, worse):
    flips = better + worse
    as_uneven = [n for n in range(flips + 1) if abs(2 * n - flips) >= abs(better - worse)]
    expected = sum(Fraction(math.comb(flips, n), 2**flips) for n in as_uneven)

    assert sign_test(better, worse) == pytest.approx(float(expected))


def test_many_flips_stay_exact():
    assert sign_test(5000, 5000) == 1
    assert 0 < sign_test(0, 1000) < 1e-300


def paired(both: int, gained: int, lost: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    before = [1] * both + [0] * gained + [1] * lost + [0] * neither
    after = [1] * both + [1] * gained + [0] * lost + [0] * neither
    return np.array(before, bool), np.array(after, bool)


def test_newcombes_interval_is_the_published_one():
    """The first example of Newcombe (1998), table II, method 10."""
    assert newcombe(*paired(36, 12, 2, 0)) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_newcombes_interval_covers_the_truth():
    rng, hits, runs = np.random.default_rng(2), 0, 2000
    for _ in range(runs):
        hard = rng.random(80)
        before, after = rng.random(80) < 0.6 * hard, rng.random(80) < 0.3 * hard
        low, high = newcombe(before, after)
        hits += low <= -0.15 <= high

    assert 0.94 < hits / runs < 0.985


def test_no_flip_is_no_proof_of_no_change():
    low, high = newcombe(*paired(0, 0, 0, 50))

    assert low < -0.05
    assert high > 0.05


@given(st.lists(st.tuples(ZERO_OR_ONE, ZERO_OR_ONE), min_size=1, max_size=30))
def test_the_difference_the_other_way_round_is_its_negative(pairs):
    first, other = ([[pair[side]] for pair in pairs] for side in (0, 1))
    there, back = difference(first, other), difference(other, first)

    assert there.value == pytest.approx(-back.value)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.low - 1e-9 <= there.value <= there.high + 1e-9


def test_a_difference_of_epochs_is_drawn_by_item():
    first = [[0, 0, 1, 0], [1, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]] * 10
    other = [[0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]] * 10
    gaps = [[sum(after) / 4 - sum(before) / 4] for before, after in zip(first, other, strict=True)]
    found = difference(first, other)

    assert found.value == pytest.approx(sum(gap[0] for gap in gaps) / 40)
    assert (found.low, found.high) == pytest.approx(naive_bootstrap(gaps, 4000, seed=3), abs=0.01)


RATINGS = st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=4), min_size=1, max_size=10)


def alpha_by_pairs(units: list[list[float]]) -> float:
    """Krippendorff's definition: all pairs within units against all pairs of values."""
    values = [value for unit in units for value in unit]
    within = sum(
        (a - b) ** 2 / (len(unit) - 1)
        for unit in units
        for (i, a), (j, b) in itertools.product(enumerate(unit), repeat=2)
        if i != j
    )
    among = sum((a - b) ** 2 for a, b in itertools.product(values, repeat=2)) / (len(values) - 1)
    return 1 - within / among if among else 1.0


@given(RATINGS)
def test_alpha_is_krippendorffs(units):
    sums = sum(_parts(np.array(unit)) for unit in units)
    found = alpha({(str(place), 1): unit for place, unit in enumerate(units)})

    assert found.value == pytest.approx(alpha_by_pairs(units))
    # What is drawn again is the same function.
    assert _alpha(sums[None])[0] == pytest.approx(alpha_by_pairs(units))


@given(st.lists(st.lists(ZERO_OR_ONE, min_size=2, max_size=4), min_size=1, max_size=10))
def test_for_verdicts_the_nominal_level_is_the_same(units):
    scores = [SampleScore(score=Score(value=unit)) for unit in units]

    assert alpha({(str(place), 1): unit for place, unit in enumerate(units)}).value == pytest.approx(
        krippendorff_alpha()(scores)
    )
