"""The guard's metrics of one step, over the samples that asked it, whatever server or replicas it is.

>>> rows = [Row("a_0_0", "safety/benign", 1.0, Outcome.SAFE, True, guard_times=(1.0, 1.0, 102.0)),
...         Row("a_1_0", "math", 1.0, Outcome.CORRECT, True)]
>>> metrics = GuardCurves().step(rows)
>>> metrics["guard/requests"], metrics["guard/latency/mean"], metrics["guard/throughput"]
(1, 1.0, 0.5)
"""

import math
from collections.abc import Sequence
from itertools import accumulate

from sinternal_verl.scoring.score import Outcome
from sinternal_verl.training.rollouts import Row


class GuardCurves:
    """Metrics under ``guard/``; none where no sample asked a guard:

    ``requests``                 samples that asked it
    ``latency/{mean,p99,max}``   seconds that it took for a sample, once it had admitted it
    ``wait/{mean,max}``          seconds that a sample waited for its turn before that
    ``queue/{mean,max}``         samples that waited at a time, while the guard had any
    ``throughput``               verdicts per second, while the guard had any sample
    ``outcome/{name}``           count, for every outcome that its samples have had so far

    Of a sample that asks twice the times are summed up.
    """

    def __init__(self) -> None:
        self._outcomes: set[Outcome] = set()

    def step(self, rows: Sequence[Row]) -> dict[str, float]:
        """One step's metrics."""
        asked = [row for row in {row.session: row for row in rows}.values() if row.guard_times]
        self._outcomes.update(row.outcome for row in asked)
        if not asked:
            return {}
        waits, took, ends = zip(*(row.guard_times for row in asked), strict=True)
        admitted = [end - seconds for end, seconds in zip(ends, took, strict=True)]
        came = [at - wait for at, wait in zip(admitted, waits, strict=True)]
        busy = max(_covered(came, ends), 1e-6)
        metrics = {
            "requests": len(asked),
            "latency/mean": sum(took) / len(took),
            "latency/p99": sorted(took)[math.ceil(0.99 * len(took)) - 1],
            "latency/max": max(took),
            "wait/mean": sum(waits) / len(waits),
            "wait/max": max(waits),
            "queue/mean": sum(waits) / busy,
            "queue/max": _most_at_once(came, admitted),
            "throughput": sum(row.scored for row in asked) / busy,
        }
        metrics |= {f"outcome/{o.name.lower()}": sum(row.outcome is o for row in asked) for o in sorted(self._outcomes)}
        return {f"guard/{name}": value for name, value in metrics.items()}


def _covered(begins: Sequence[float], ends: Sequence[float]) -> float:
    """The length of the union of intervals."""
    covered, until = 0.0, -math.inf
    for begin, end in sorted(zip(begins, ends, strict=True)):
        covered += max(end - max(begin, until), 0.0)
        until = max(until, end)
    return covered


def _most_at_once(begins: Sequence[float], ends: Sequence[float]) -> int:
    """The most intervals that overlap; one that ends as another begins does not overlap it."""
    changes = sorted([(at, 1) for at in begins] + [(at, -1) for at in ends])
    return max(accumulate(change for _, change in changes))
