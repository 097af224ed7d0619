"""The time of a sample, which stands still while it waits at the guard."""

import asyncio
import time
from contextlib import suppress

import pytest

from sinternal_verl.guard.clock import SampleClock, clock_of_this_sample, timed, wait_within


def outrun(limit_s, call):
    """Whether the clock of this limit outran the call, the clock, and the seconds it took."""

    async def scene():
        clock, started = SampleClock(limit_s), time.monotonic()
        with timed(clock):
            task = asyncio.ensure_future(call())
        late = await clock.outruns(task)
        task.cancel()
        return late, clock, time.monotonic() - started

    return asyncio.run(scene())


def test_a_call_within_its_limit_and_one_beyond_it():
    late, clock, _ = outrun(30.0, lambda: asyncio.sleep(0.01))
    assert not late and clock.answered_at is None
    late, _, seconds = outrun(0.2, lambda: asyncio.sleep(60))
    assert late and 0.2 <= seconds < 5


def test_waiting_at_the_guard_takes_none_of_the_limit_and_being_served_does():
    async def waits(served_s):
        clock = clock_of_this_sample()
        with clock.at_the_guard():
            await asyncio.sleep(0.6)
            clock.serve(served_s)
        await asyncio.sleep(0.1)

    late, clock, _ = outrun(0.5, lambda: waits(0.1))
    assert not late
    assert clock.served_s == 0.1 and 0.4 < clock.waited_s < 5
    assert clock.left_s < 0.5 and abs(clock.answered_at - time.time()) < 60
    late, _, seconds = outrun(0.5, lambda: waits(0.49))
    assert late and seconds < 5


def test_two_requests_of_a_sample_at_a_time_stop_the_clock_until_the_last_is_back():
    async def asks(seconds):
        with clock_of_this_sample().at_the_guard():
            await asyncio.sleep(seconds)

    async def both():
        await asyncio.gather(asks(0.05), asks(0.6))

    assert not outrun(0.3, both)[0]


def test_two_requests_that_are_served_at_a_time_take_their_time_once():
    async def asks(served_s):
        clock = clock_of_this_sample()
        with clock.at_the_guard():
            await asyncio.sleep(0.4)
            clock.serve(served_s)

    async def all_at_a_time():
        await asyncio.gather(asks(0.3), asks(0.3), asks(0.2))

    late, clock, _ = outrun(0.5, all_at_a_time)

    assert not late
    assert 0.3 <= clock.served_s < 0.4 and 0.1 < clock.left_s <= 0.2


def test_outside_of_a_sample_there_is_no_limit():
    assert clock_of_this_sample().left_s == float("inf")


def test_a_call_that_ignores_its_cancellation_is_left_behind_at_the_limit():
    async def ignores():
        until = time.monotonic() + 3
        while time.monotonic() < until:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3)

    async def scene():
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            await wait_within(ignores(), 0.2)
        return time.monotonic() - started

    assert asyncio.run(scene()) < 2


def test_a_call_that_is_awaited_within_its_time_gives_its_result_or_exception():
    async def raises():
        raise KeyError("x")

    async def scene():
        assert await wait_within(asyncio.sleep(0, "there"), 30) == "there"
        with pytest.raises(KeyError):
            await wait_within(raises(), 30)

    asyncio.run(scene())
