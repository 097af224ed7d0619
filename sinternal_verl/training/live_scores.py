"""What a reward worker shows at Ray's metrics endpoint, for Prometheus: every score as it comes, and the guard's times.

The curves of a step (`source_curves`, `guard_curves`) come when the step ends. These show what happens within it. Ray
puts ``ray_`` before each name, and adds the worker's id, its node and the session.
"""

import math
from collections import Counter as Count
from collections.abc import Iterator
from contextlib import contextmanager

from ray.util.metrics import Counter, Gauge, Histogram

from sinternal_verl.scoring.score import Score

SOURCE, OUTCOME = "source", "outcome"

IN_FLIGHT = "sinternal_samples_in_flight"
SCORES = "sinternal_scores"
VERDICTS = "sinternal_guard_verdicts"
SECONDS = "sinternal_guard_seconds"
WAIT = "sinternal_guard_wait_seconds"

BOUNDARIES_S = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0]
"""The upper bounds of the histograms' buckets, in seconds: from a small guard on a GPU to one that is far too slow. Ray
hands on how many fell into each bucket, and makes the sum from the buckets' middles. (Ray 2.60)"""


class LiveScores:
    """The metrics of one reward worker; it belongs to one event loop."""

    def __init__(self) -> None:
        both = (SOURCE, OUTCOME)
        self._at_work: Count[str] = Count()
        self._in_flight = Gauge(IN_FLIGHT, "Samples that are being scored, or wait for it.", (SOURCE,))
        self._scores = Counter(SCORES, "Samples that were scored, failures among them.", both)
        self._verdicts = Counter(VERDICTS, "Samples that asked the guard.", both)
        self._seconds = Histogram(SECONDS, "Seconds that the guard took for a sample.", BOUNDARIES_S, (SOURCE,))
        self._wait = Histogram(WAIT, "Seconds that a sample waited for its turn at the guard.", BOUNDARIES_S, (SOURCE,))

    @contextmanager
    def sample(self, source: str) -> Iterator[None]:
        """Count a sample of ``source`` as being scored."""
        self._count(source, 1)
        try:
            yield
        finally:
            self._count(source, -1)

    def scored(self, source: str, score: Score) -> None:
        """Count what came of a sample."""
        labels = {SOURCE: str(source), OUTCOME: score.outcome.name.lower()}
        self._scores.inc(1, labels)
        took, waited = score.extra.get("guard_s", math.nan), score.extra.get("guard_wait_s", math.nan)
        if not math.isnan(took):
            self._verdicts.inc(1, labels)
            self._seconds.observe(took, {SOURCE: str(source)})
            self._wait.observe(waited, {SOURCE: str(source)})

    def _count(self, source: str, change: int) -> None:
        self._at_work[source] += change
        self._in_flight.set(self._at_work[source], {SOURCE: str(source)})
