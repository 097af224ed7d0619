"""A metric over the steps of a run, and what can be said of it: where it stands now, where it began, and whether the
difference is more than noise.

>>> import numpy as np
>>> curve = Curve(np.arange(1, 11), np.array([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.3, 0.3, 0.3, 0.3]))
>>> curve.window, round(curve.before, 2), round(curve.now, 2), round(curve.trend, 2)
(5, 0.1, 0.26, 0.16)
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

WINDOW = 5
"""Steps whose mean stands for the beginning of a run, and for its end."""

MIN_POINTS = 4
"""With fewer steps nothing is said of a trend."""

SIGMAS = 3.0
"""A change counts where it exceeds so many standard errors, besides the limit of its rule."""


@dataclass(frozen=True)
class Curve:
    """The finite values of a metric.

    Attributes:
        steps: the steps that have a finite value, ascending. (int, n)
        values: (float64, n)
    """

    steps: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def window(self) -> int:
        """How many steps are averaged: `WINDOW`, or half of them where there are fewer than twice as many."""
        return max(1, min(WINDOW, len(self) // 2))

    @property
    def now(self) -> float | None:
        """The mean of the last steps; None where there is none."""
        return float(self.values[-self.window :].mean()) if len(self) else None

    @property
    def before(self) -> float | None:
        """The mean of the first steps; None where there is none."""
        return float(self.values[: self.window].mean()) if len(self) else None

    @property
    def trend(self) -> float | None:
        """The change from the first to the last steps; None where there are fewer than `MIN_POINTS`."""
        return self.now - self.before if len(self) >= MIN_POINTS else None

    @cached_property
    def noise(self) -> float:
        """The standard error of the difference of two means of `window` steps.

        Neighbouring steps differ by noise alone, whatever the trend is, so the deviation is estimated from their
        differences (von Neumann 1941, Annals of Mathematical Statistics 12:367).
        """
        if len(self) < 2:
            return 0.0
        deviation = np.sqrt(np.mean(np.diff(self.values) ** 2) / 2)
        return float(deviation * np.sqrt(2 / self.window))

    @cached_property
    def trailing(self) -> np.ndarray:
        """The mean of each step and those before it, `window` in all; NaN for the first steps. (float64, n)"""
        means = np.full(len(self), np.nan)
        if len(self):
            sums = np.cumsum(np.concatenate([[0.0], self.values]))
            means[self.window - 1 :] = (sums[self.window :] - sums[: -self.window]) / self.window
        return means

    def since(self, holds: np.ndarray) -> int | None:
        """The step from which a condition holds without a break to the end; None where it does not hold now.

        Args:
            holds: for each step. (bool, n)
        """
        if not len(self) or not holds[-1]:
            return None
        broken = np.flatnonzero(~holds)
        return int(self.steps[broken[-1] + 1 if len(broken) else 0])

    def above(self, limit: float) -> int | None:
        """The step since which the trailing mean is at least ``limit``; None where it is not now."""
        return self.since(self.trailing >= limit)

    def below(self, limit: float) -> int | None:
        """The step since which the trailing mean is at most ``limit``; None where it is not now."""
        return self.since(self.trailing <= limit)

    def risen(self, by: float) -> int | None:
        """The step since which the trailing mean exceeds that of the first steps by ``by``, and by more than noise."""
        if len(self) < MIN_POINTS:
            return None
        return self.above(self.before + max(by, SIGMAS * self.noise))

    def fallen(self, by: float) -> int | None:
        """The same downwards."""
        if len(self) < MIN_POINTS:
            return None
        return self.below(self.before - max(by, SIGMAS * self.noise))
