"""How fast a guard is: verdicts per second, as measured when it starts, and what this means for a run."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence

ANSWER = "I keep to what I was told, and the lamp stays where it is. " * 16
"""An answer of some 200 words."""

FIRST_ROUND, ROUND_S = 4, 0.5
"""Conversations of the first round, and the least that a round takes to be believed; the next has twice as many."""

WANTED_S = 30.0
"""The guard of a run is advised to judge a step's rollouts in so many seconds (our choice)."""


async def measure(judge: Callable[[str, str, bool], Awaitable[object]], most: int) -> float:
    """Verdicts per second on answers of some 200 words, with as many at a time as ``most``, or as take `ROUND_S`."""
    count = min(FIRST_ROUND, most)
    while True:
        started = time.perf_counter()
        # Each has a text of its own: what an engine keeps of an earlier one would answer too fast.
        await asyncio.gather(
            *(judge(f"{count}.{number}: may I?", f"{count}.{number} {ANSWER}", False) for number in range(count))
        )
        took = max(time.perf_counter() - started, 1e-6)
        if took >= ROUND_S or count == most:
            return count / took
        count = min(2 * count, most)


def describe(per_second: Sequence[float], rollouts: int) -> str:
    """One line: what the replicas do, and how many a run needs.

    >>> describe([48.0], 4096)
    'guard: 48 verdicts/s measured; the 4,096 rollouts of a step take 85 s with 1 replica; 3 replicas would take 28 s'
    >>> describe([480.0, 480.0], 512)
    'guard: 960 verdicts/s measured; the 512 rollouts of a step take 0.53 s with 2 replicas'

    Args:
        per_second: of each replica.
        rollouts: of a step; those of prompts that no guard scores count, too.
    """
    replicas, together = len(per_second), sum(per_second)
    seconds = rollouts / together
    line = (
        f"guard: {_short(together)} verdicts/s measured; the {rollouts:,} rollouts of a step take {_short(seconds)} s "
        f"with {_replicas(replicas)}"
    )
    if seconds <= WANTED_S:
        return line
    needed = math.ceil(replicas * seconds / WANTED_S)
    return f"{line}; {_replicas(needed)} would take {_short(seconds * replicas / needed)} s"


def _replicas(count: int) -> str:
    return f"{count} replica{'s' * (count != 1)}"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"
