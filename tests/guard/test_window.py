"""Who is admitted, who waits, and for how long; the engine is one that answers so many requests a second."""

import asyncio
import pickle
import time

import pytest

from sinternal_verl.guard.errors import QueueFull
from sinternal_verl.guard.window import FIRST_LIMIT, TIME_SHARE, Window


class Engine:
    """Answers one request after the other, ``per_second`` of them; `most` were inside at a time."""

    def __init__(self, per_second: float) -> None:
        self.each_s, self.free_at, self.inside, self.most = 1 / per_second, 0.0, 0, 0

    async def answer(self) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.free_at = max(self.free_at, time.monotonic()) + self.each_s
        try:
            await asyncio.sleep(self.free_at - time.monotonic())
        finally:
            self.inside -= 1


async def judged(window: Window, engine: Engine, within_s: float) -> str:
    try:
        async with window.place(within_s):
            await asyncio.wait_for(engine.answer(), within_s)
    except (TimeoutError, asyncio.TimeoutError) as error:
        return str(error) or "late"
    return "answered"


def run(scene):
    return asyncio.run(scene())


@pytest.mark.parametrize("per_second", [50, 400])
def test_many_more_than_the_time_limit_allows_at_once_are_all_answered_in_time(per_second):
    async def scene():
        window, engine = Window(512), Engine(per_second)
        count = 2 * per_second
        assert set(await asyncio.gather(*(judged(window, engine, 0.8) for _ in range(count)))) == {"answered"}
        # What is admitted takes a share of the limit on average; on a busy machine somewhat more.
        assert window.limit <= 2 * per_second * TIME_SHARE * 0.8 + 1
        assert window.answered == count and (window.inside, window.waiting) == (0, 0)

    run(scene)


def test_a_fast_engine_gets_as_many_as_it_can_use_and_no_more():
    class Parallel(Engine):
        async def answer(self):
            self.inside += 1
            self.most = max(self.most, self.inside)
            await asyncio.sleep(0.02)
            self.inside -= 1

    async def scene():
        window, engine = Window(64), Parallel(1)
        await asyncio.gather(*(judged(window, engine, 60.0) for _ in range(600)))
        assert engine.most == 64

    run(scene)


def test_the_first_are_few_because_nothing_is_known_of_the_engine():
    async def scene():
        window = Window(512)
        calls = [asyncio.create_task(judged(window, Engine(0.001), 5.0)) for _ in range(100)]
        await asyncio.sleep(0.05)
        assert (window.inside, window.waiting) == (FIRST_LIMIT, 100 - FIRST_LIMIT)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert (window.inside, window.waiting) == (0, 0)
        assert await judged(window, Engine(1000), 5.0) == "answered"

    run(scene)


def test_who_waits_is_admitted_in_the_order_of_arrival():
    async def scene():
        window, order = Window(1), []

        async def one(number):
            async with window.place(60.0):
                order.append(number)
                await asyncio.sleep(0.001)

        await asyncio.gather(*map(one, range(50)))
        assert order == list(range(50))

    run(scene)


def test_waiting_ends_when_nothing_was_answered_for_two_time_limits_and_not_before():
    async def scene():
        window, started = Window(1), time.monotonic()
        hung = asyncio.create_task(judged(window, Engine(0.001), 60.0))
        await asyncio.sleep(0)
        said = await judged(window, Engine(1000), 0.5)
        assert said.startswith("it answered nothing for 1")
        assert 1.0 <= time.monotonic() - started < 3.0
        hung.cancel()

    run(scene)


def test_waiting_for_longer_than_two_time_limits_is_no_failure_while_others_are_answered():
    async def scene():
        window, engine, started = Window(2), Engine(20), time.monotonic()
        assert set(await asyncio.gather(*(judged(window, engine, 0.5) for _ in range(60)))) == {"answered"}
        assert time.monotonic() - started > 2.0

    run(scene)


def test_more_than_it_may_hold_are_refused_with_the_time_to_come_back():
    async def scene():
        window, engine = Window(1, max_held=4), Engine(20)
        assert await judged(window, engine, 60.0) == "answered"
        results = await asyncio.gather(*(judged(window, engine, 60.0) for _ in range(6)), return_exceptions=True)
        assert results[:4] == ["answered"] * 4
        refused = pickle.loads(pickle.dumps(results[4]))
        assert isinstance(refused, QueueFull) and "sinternal.guard.max_queue=4" in str(refused)
        assert 0.0 < refused.retry_s < 1.0 and refused.silent_s < 1.0
        assert await judged(window, engine, 60.0) == "answered"

    run(scene)


def test_one_that_leaves_as_it_is_admitted_gives_its_place_to_the_next():
    async def scene():
        window = Window(1)
        place = window.place(60.0)
        await place.__aenter__()
        second, third = (asyncio.create_task(judged(window, Engine(1000), 60.0)) for _ in range(2))
        await asyncio.sleep(0.01)
        await place.__aexit__(None, None, None)
        second.cancel()
        assert await asyncio.wait_for(third, 5.0) == "answered"
        assert (window.inside, window.waiting) == (0, 0)

    run(scene)


def test_a_request_that_has_little_time_left_makes_the_window_no_narrower():
    async def scene():
        window, engine = Window(512, limit_s=60.0), Engine(1000)
        assert set(await asyncio.gather(*(judged(window, engine, 60.0) for _ in range(200)))) == {"answered"}
        width = window.limit
        assert await judged(window, Engine(1000), 0.2) == "answered"
        assert window.limit >= width // 2 > 8
        assert [await judged(window, engine, left) for left in (0.0, -1e-4)] == ["no time was left for it"] * 2

    run(scene)
