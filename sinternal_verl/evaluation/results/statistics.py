"""Estimates with their intervals, and paired differences. Items are what is independent: the epochs of one item are
alike, so every interval is about items, and a bootstrap draws whole items.

All intervals are of 95%. Where nothing is scored, or an interval cannot be known, it is NaN and never 0.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

Z = NormalDist().inv_cdf(0.975)
RESAMPLES = 10_000
PERCENTILES = (2.5, 97.5)
MAX_CELLS = 1 << 22
"""The most draws that are held at once: 16 MiB of indices."""

WILSON, BY_ITEM, BOOTSTRAP, NEWCOMBE = "Wilson", "Wilson, by item", "bootstrap by item", "Newcombe"

Interval = tuple[float, float]
UNKNOWN: Interval = (math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and where it may lie.

    Attributes:
        value: the estimate; NaN where nothing is scored.
        low, high: bounds of the interval; NaN where there is none.
        items: how many items it is about.
        method: how the interval was made; empty where there is none.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    items: int = 0
    method: str = ""


def wilson(hits: float, trials: int) -> Interval:
    """Wilson's score interval of a share (Wilson 1927, JASA 22:209).

    >>> tuple(round(bound, 4) for bound in wilson(0, 313)), wilson(0, 0)
    ((0.0, 0.0121), (nan, nan))
    """
    if not trials:
        return UNKNOWN
    share, square = hits / trials, Z * Z
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    half = Z * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2)) / (1 + square / trials)
    # Rounding may leave a bound a little on the wrong side of the value itself.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def bootstrap(
    by_item: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """The percentile interval of a statistic of sums over items (Efron 1979; items as clusters, Field & Welsh 2007).

    Args:
        by_item: what each item adds, shape (items, parts).
        statistic: maps sums of shape (resamples, parts) to values of shape (resamples,); NaN where undefined. Such
            resamples are left out.
        seed: of the draws.

    Returns:
        The bounds; NaN where there is no item or no resample has a value.
    """
    items = len(by_item)
    if not items:
        return UNKNOWN
    rng, values, left = np.random.default_rng(seed), [], resamples
    while left:
        size = min(left, max(1, MAX_CELLS // items))
        drawn = rng.integers(items, size=(size, items), dtype=np.int32)
        sums = np.stack([part[drawn].sum(axis=1) for part in np.ascontiguousarray(by_item.T, dtype=float)], axis=1)
        values.append(statistic(sums))
        left -= size
    known = np.concatenate(values)
    known = known[~np.isnan(known)]
    return tuple(float(bound) for bound in np.percentile(known, PERCENTILES)) if len(known) else UNKNOWN


def mean(epochs: Sequence[Sequence[float]], seed: int = 0) -> Estimate:
    """The mean over items of each item's mean over its epochs, as Inspect's ``mean`` reducer has it.

    Args:
        epochs: the scored values of each item. Items without a scored value are left out.

    Returns:
        With Wilson's interval where each item has one value and it is 0 or 1, else with a bootstrap over items. A
        bootstrap of items that are all alike says nothing: where all are 0, or all 1, Wilson's interval of the number
        of items stands for it, which takes the epochs of an item for one trial; else there is none.

    >>> found = mean([[1], [0], [0], [0]])
    >>> found.value, round(found.low, 3), round(found.high, 3), found.method
    (0.25, 0.046, 0.699, 'Wilson')
    """
    scored = [values for values in epochs if len(values)]
    means = np.array([math.fsum(values) / len(values) for values in scored])
    if not scored:
        return Estimate(math.nan)
    value = math.fsum(means) / len(means)
    if np.isin(means, (0, 1)).all() and all(len(values) == 1 for values in scored):
        return Estimate(value, *wilson(float(means.sum()), len(means)), len(means), WILSON)
    if (means == means[0]).all():
        known = means[0] in (0, 1)
        bounds = wilson(float(means.sum()), len(means)) if known else UNKNOWN
        return Estimate(value, *bounds, len(means), BY_ITEM if known else "")
    return Estimate(
        value, *bootstrap(means[:, None], lambda sums: sums[:, 0] / len(means), seed), len(means), BOOTSTRAP
    )


def pass_at_k(trials: int, hits: int, k: int) -> float:
    """The unbiased estimate of the chance that one of k tries hits: 1 - C(n-c, k) / C(n, k) (Chen et al. 2021,
    arXiv 2107.03374). It is NaN for k above n, where the formula, taken as it stands, gives 1.

    >>> pass_at_k(16, 1, 16), pass_at_k(4, 1, 2), pass_at_k(4, 4, 5)
    (1.0, 0.5, nan)
    """
    if k > trials:
        return math.nan
    return 1 - math.comb(trials - hits, k) / math.comb(trials, k)


def sign_test(better: int, worse: int) -> float:
    """The exact two-sided p of as uneven a split as this, if both sides were as likely. Over flips of pairs of 0 and 1
    it is McNemar's exact test (McNemar 1947, Psychometrika 12:153).

    >>> sign_test(1, 9), sign_test(0, 0)
    (0.021484375, 1.0)
    """
    flips = better + worse
    ways = tail = 1
    for k in range(min(better, worse)):
        # The next binomial coefficient: of 10,000 flips this takes a hundredth of the time of math.comb.
        ways = ways * (flips - k) // (k + 1)
        tail += ways
    return min(1.0, 2 * tail / 2**flips)


def difference(first: Sequence[Sequence[float]], other: Sequence[Sequence[float]], seed: int = 0) -> Estimate:
    """How much higher ``other`` is than ``first``, over the same items in the same order.

    Args:
        first, other: the scored values of each item; each item has as many in both, and at least one.

    Returns:
        With Newcombe's interval for paired shares where each item has one value and it is 0 or 1, else with a
        bootstrap over items; without an interval where all items differ alike.
    """
    ones = all(len(values) == 1 and values[0] in (0, 1) for values in (*first, *other))
    means = [np.array([math.fsum(values) / len(values) for values in run]) for run in (first, other)]
    gaps = means[1] - means[0]
    if not len(gaps):
        return Estimate(math.nan)
    value = math.fsum(gaps) / len(gaps)
    if ones:
        before, after = (run.astype(bool) for run in means)
        return Estimate(value, *newcombe(before, after), len(gaps), NEWCOMBE)
    if (gaps == gaps[0]).all():
        return Estimate(value, items=len(gaps))
    return Estimate(value, *bootstrap(gaps[:, None], lambda sums: sums[:, 0] / len(gaps), seed), len(gaps), BOOTSTRAP)


def newcombe(before: np.ndarray, after: np.ndarray) -> Interval:
    """The interval of the difference of two paired shares, after less before: method 10 of Newcombe (1998, Statistics
    in Medicine 17:2635), Wilson's bounds joined by the correlation. It has a width also where no pair flips.

    Args:
        before, after: booleans, shape (pairs,).
    """
    pairs = len(before)
    both, gained, lost = (int(np.sum(pair)) for pair in (before & after, ~before & after, before & ~after))
    neither = pairs - both - gained - lost
    margins = (both + lost) * (gained + neither) * (both + gained) * (lost + neither)
    surplus = both * neither - gained * lost
    phi = 0.0
    if margins:
        phi = (max(surplus - pairs / 2, 0) if surplus > 0 else surplus) / math.sqrt(margins)
    shares = [(both + gained) / pairs, (both + lost) / pairs]
    (low, high), (other_low, other_high) = wilson(both + gained, pairs), wilson(both + lost, pairs)

    def reach(one: float, two: float) -> float:
        return math.sqrt(max(one * one - 2 * phi * one * two + two * two, 0))

    value = shares[0] - shares[1]
    return (
        max(-1.0, value - reach(shares[0] - low, other_high - shares[1])),
        min(1.0, value + reach(high - shares[0], shares[1] - other_low)),
    )
