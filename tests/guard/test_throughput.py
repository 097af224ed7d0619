"""How fast a guard is, as measured at its start and put into one line."""

import asyncio
import time

from sinternal_verl.guard import throughput
from sinternal_verl.guard.throughput import describe, measure


def test_a_batch_is_measured_until_it_takes_long_enough_to_be_believed():
    seen = []

    async def judge(user, assistant, refusal):
        seen.append((user, assistant))
        await asyncio.sleep(0.02)

    per_second = asyncio.run(measure(judge, 64))

    # All at a time: as many as the engine takes together, and each a text of its own.
    assert 300 < per_second < 64 / 0.02
    assert len(seen) == 4 + 8 + 16 + 32 + 64 == len(set(seen))


def test_a_slow_guard_is_measured_once(monkeypatch):
    monkeypatch.setattr(throughput, "ROUND_S", 0.05)
    seen = []

    async def judge(user, assistant, refusal):
        seen.append(time.monotonic())
        await asyncio.sleep(0.1)

    assert 10 < asyncio.run(measure(judge, 512)) < 41
    assert len(seen) == 4


def test_the_line_says_how_many_replicas_would_keep_up():
    assert describe([48.0, 48.0], 16384) == (
        "guard: 96 verdicts/s measured; the 16,384 rollouts of a step take 171 s with 2 replicas; "
        "12 replicas would take 28 s"
    )
    assert describe([2.5], 64).endswith("take 26 s with 1 replica")
