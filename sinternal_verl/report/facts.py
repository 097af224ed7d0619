"""A run as its tiles, alerts and charts ask for it: curves by metric, sources, and keys of the configuration."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sinternal_verl.report.curve import SIGMAS, Curve
from sinternal_verl.report.run import Run

TRAIN, HELD_OUT = "train", "val"
"""Prefixes of our metrics for each data source."""

VERLS_VALIDATION = re.compile(r"val-core/(?P<source>.+)/(?P<figure>[^/]+)/mean@(?P<n>\d+)")
"""verl's own metric of a validation. (verl 0.9.1)"""

ASSUMED_ROWS = 100
"""Responses of a source's validation where the run does not say how many there are."""

_ROWS = re.compile(rf"(?:{TRAIN}|{HELD_OUT})/(?P<source>.+)/rows")


class Lacking(Exception):
    """The run has left nothing that a rule could look at; the text says what it would need."""


def metric(prefix: str, source: str, name: str) -> str:
    """The name of one of our metrics of a data source.

    >>> metric(TRAIN, "world/addition", "reward/mean")
    'train/world/addition/reward/mean'
    """
    return f"{prefix}/{source}/{name}"


@dataclass(frozen=True)
class Facts:
    """What is asked of a run."""

    run: Run

    @property
    def values(self) -> dict[str, np.ndarray]:
        return self.run.steps.values

    @property
    def numbers(self) -> np.ndarray:
        return self.run.steps.numbers

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Data sources that were trained on or held out, by name."""
        ours = {found["source"] for name in self.values if (found := _ROWS.fullmatch(name))}
        verls = {found["source"] for name in self.values if (found := VERLS_VALIDATION.fullmatch(name))}
        return tuple(sorted(ours | verls))

    def source_of(self, name: str) -> str | None:
        """The data source of one of our metrics; the longest name where one source's begins with another's."""
        found = [
            source
            for source in self.sources
            for prefix in (TRAIN, HELD_OUT)
            if name.startswith(metric(prefix, source, ""))
        ]
        return max(found, key=len, default=None)

    def has(self, name: str) -> bool:
        """Whether a metric has a finite value in some step."""
        return name in self.values and bool(np.isfinite(self.values[name]).any())

    def curve(self, name: str) -> Curve:
        """A metric's finite values; of a metric of training those after step 0."""
        values = self.values.get(name)
        if values is None:
            return Curve(self.numbers[:0], np.zeros(0))
        kept = np.isfinite(values)
        return Curve(self.numbers[kept], values[kept])

    def of(self, source: str, name: str) -> Curve:
        """A source's curve in training."""
        return self.curve(metric(TRAIN, source, name))

    def held_out(self, source: str, name: str) -> Curve:
        """A source's curve of validations; of the reward verl's own where ours is not there."""
        curve = self.curve(metric(HELD_OUT, source, name))
        if len(curve) or name != "reward/mean":
            return curve
        found = self.verls_validation(source)
        return self.curve(found) if found else curve

    def chance(self, source: str, points: Curve) -> float:
        """By how much the shares of two validations of one policy may differ: `SIGMAS` standard errors.

        Both have the same prompts, so it is the responses alone that vary, by p (1 - p) at most.
        """
        rows = self.curve(metric(HELD_OUT, source, "rows")).now or ASSUMED_ROWS
        share = float(np.clip(points.values.mean(), 0, 1))
        return SIGMAS * float(np.sqrt(2 * share * (1 - share) / rows))

    def verls_validation(self, source: str) -> str | None:
        """verl's own metric of a source's validations: of the accuracy where there is one, else of the reward."""
        found = [
            (match["figure"] != "acc", int(match["n"]), name)
            for name in self.values
            if (match := VERLS_VALIDATION.fullmatch(name)) and match["source"] == source
        ]
        return min(found)[2] if found else None

    def need(self, *names: str) -> None:
        """End the look of a rule where none of these metrics is there.

        Raises:
            Lacking: none is.
        """
        if not any(self.has(name) for name in names):
            raise Lacking(" or ".join(names))

    def need_of_a_source(self, name: str) -> tuple[str, ...]:
        """The sources with this metric in training or validation.

        Raises:
            Lacking: there is none.
        """
        found = tuple(
            source for source in self.sources if len(self.of(source, name)) or self.has_held_out(source, name)
        )
        if not found:
            raise Lacking(metric(TRAIN, "<source>", name))
        return found

    def has_held_out(self, source: str, name: str) -> bool:
        return bool(len(self.held_out(source, name)))

    def setting(self, key: str) -> Any:
        """The value at a dotted key of the configuration; None where there is none."""
        node: Any = self.run.config
        for name in key.split("."):
            node = node.get(name) if isinstance(node, dict) else None
        return node

    def number(self, key: str) -> float | None:
        """The same for a number."""
        value = self.setting(key)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    @property
    def seconds(self) -> Curve:
        """Seconds of each step."""
        return self.curve("timing_s/step" if self.has("timing_s/step") else "perf/time_per_step")
