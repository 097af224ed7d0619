"""Which replica a client asks, and what travels together; the Ray call is the one fake."""

import asyncio
import time
from contextlib import suppress
from itertools import groupby
from types import SimpleNamespace

import pytest
import ray

from sinternal_verl.guard import client as client_module
from sinternal_verl.guard import mailbox as batch
from sinternal_verl.guard.client import MAX_DEATHS, ReplicaClient
from sinternal_verl.guard.errors import CallFailed, GuardUnavailable, QueueFull
from sinternal_verl.guard.judge import Judgement
from sinternal_verl.guard.mailbox import MAX_CALLS, Answers, Mailbox
from sinternal_verl.guard.verdict import Safety, Verdict

SAFE = Judgement(Verdict(Safety.SAFE, (), False))


class Replica(Answers):
    """The handle of an actor that is in this process.

    Attributes:
        does: an exception that is raised, or seconds that a judgement takes.
        deliveries: how many calls came in each.
        limits_s: the time limit of each call.
    """

    def __init__(self, does: Exception | float = 0.0) -> None:
        self.does, self.judged, self.deliveries, self.limits_s = does, [], [], []

    @property
    def answer(self):
        def remote(*calls):
            self.deliveries.append(len(calls))
            self.limits_s += [within_s for _, _, within_s in calls]
            return asyncio.ensure_future(Answers.answer(self, *calls))

        return SimpleNamespace(remote=remote)

    async def judge(self, user, assistant, refusal):
        self.judged.append((user, assistant, refusal))
        if isinstance(self.does, Exception):
            raise self.does
        await asyncio.sleep(self.does)
        return SAFE

    async def generate(self, ids, tokens):
        return ids * tokens


@pytest.fixture(autouse=True)
def no_ray_and_no_chance(monkeypatch):
    monkeypatch.setattr(client_module, "random", SimpleNamespace(randrange=lambda count: 0))
    # Ray would start a cluster to cancel a call.
    monkeypatch.setattr(batch.ray, "cancel", lambda call: call.cancel())


def ask(replicas, times=1, timeout_s=5.0, one_by_one=False):
    async def scene():
        made = ReplicaClient(replicas, timeout_s)
        if one_by_one:
            return [await made.judge("May I?", f"No {n}.") for n in range(times)]
        calls = [made.judge("May I?", f"No {n}.") for n in range(times)]
        return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(scene())


def test_a_request_arrives_as_it_was_asked():
    replica = Replica()

    async def scene():
        made = ReplicaClient([replica])
        return await made.judge("May I?", "No.", refusal=False), await made.generate([1, 2], 2)

    assert asyncio.run(scene()) == (SAFE, [1, 2, 1, 2])
    assert replica.judged == [("May I?", "No.", False)]


def test_requests_at_a_time_are_spread_evenly_and_one_after_another_need_no_second():
    at_once, in_turn = [[Replica(0.01) for _ in range(3)] for _ in range(2)]
    ask(at_once, 30)
    ask(in_turn, 4, one_by_one=True)

    assert [len(replica.judged) for replica in at_once] == [10, 10, 10]
    # What was answered is no load any more.
    assert [len(replica.judged) for replica in in_turn] == [4, 0, 0]


def test_clients_begin_with_different_replicas(monkeypatch):
    monkeypatch.setattr(client_module, "random", SimpleNamespace(randrange=lambda count: count - 1))
    replicas = [Replica() for _ in range(3)]
    ask(replicas)

    assert [len(replica.judged) for replica in replicas] == [0, 0, 1]


def test_one_that_refuses_is_left_alone_for_a_moment(monkeypatch):
    monkeypatch.setattr(client_module, "RETRY_REPLICA_S", 30.0)
    full, other = Replica(QueueFull("no room")), Replica()
    started = time.monotonic()

    assert ask([full, other], 6, timeout_s=60.0, one_by_one=True) == [SAFE] * 6
    assert len(full.judged) == 1 and len(other.judged) == 6
    assert time.monotonic() - started < 20


def test_where_all_refuse_the_first_is_asked_again_after_its_rest(monkeypatch):
    monkeypatch.setattr(client_module, "RETRY_REPLICA_S", 0.1)
    full = Replica(QueueFull("no room"))
    (result,) = ask([full], timeout_s=0.45)

    assert isinstance(result, GuardUnavailable)
    # It waits for two time limits, in which nothing is answered.
    assert str(result) == "no verdict within 0.9 s: replica 0 is full: no room"
    assert 4 <= len(full.judged) <= 10


def test_a_request_that_ends_whoever_reads_it_is_given_up_while_others_are_answered(monkeypatch):
    monkeypatch.setattr(client_module, "RETRY_REPLICA_S", 0.5)

    class Mortal(Replica):
        @property
        def answer(self):
            async def answers(calls):
                if any("poison" in arguments for _, arguments, _ in calls):
                    self.judged.append("poison")
                    raise ray.exceptions.RayActorError()
                return await Answers.answer(self, *calls)

            return SimpleNamespace(remote=lambda *calls: asyncio.ensure_future(answers(calls)))

    replicas = [Mortal(), Mortal()]

    async def scene():
        made = ReplicaClient(replicas, timeout_s=5.0)
        poisoned = asyncio.ensure_future(made.judge("May I?", "poison"))
        answered = 0
        while not poisoned.done():
            answered += await made.judge("May I?", "No.") == SAFE
            await asyncio.sleep(0.01)
        with pytest.raises(GuardUnavailable, match="3 times a replica died that had this request"):
            poisoned.result()
        # A death counts anew only where the replica has answered since: two deaths of two replicas, and the third.
        assert answered >= 1

    asyncio.run(asyncio.wait_for(scene(), 30))
    # On a slow machine a replica may be asked twice before it answered another.
    deaths = [what for replica in replicas for what, _ in groupby(replica.judged) if what == "poison"]
    assert len(deaths) == MAX_DEATHS


def test_requests_one_after_another_leave_no_watcher_behind():
    async def scene():
        mailbox = Mailbox(Replica())
        for _ in range(200):
            assert await mailbox.ask("judge", "May I?", "No.", True, within_s=60.0) == SAFE
        assert len(mailbox._tasks) <= 2

    asyncio.run(scene())


def test_one_that_hangs_takes_half_of_the_time_where_there_is_another_and_all_of_it_where_there_is_none():
    hangs = Replica(100.0)
    assert ask([hangs, Replica()], timeout_s=1.2) == [SAFE]
    assert hangs.limits_s == [0.6]

    started = time.monotonic()
    (result,) = ask([Replica(100.0)], timeout_s=0.5)
    assert isinstance(result, TimeoutError) and str(result).startswith("no verdict within 0.5 s: replica 0 did not")
    assert 0.4 < time.monotonic() - started < 2.0


def test_one_that_is_asked_nothing_for_long_is_not_silent():
    class Holds(Replica):
        """Keeps a call for more than two time limits, as one whose engine hangs keeps those that wait for a turn."""

        @property
        def answer(self):
            async def answers(calls):
                if calls[0][0] == batch.PING:
                    return await Answers.answer(self, *calls)
                await asyncio.sleep(1.2)
                return [(TimeoutError("it answered nothing"), 0.0)] * len(calls)

            return SimpleNamespace(remote=lambda *calls: asyncio.ensure_future(answers(calls)))

    # The second is answered at once, and then nothing is asked until the first has failed.
    assert ask([Holds(), Replica()], times=2, timeout_s=0.5) == [SAFE, SAFE]


def test_replicas_that_take_longer_to_refuse_than_they_rest_are_given_up(monkeypatch):
    monkeypatch.setattr(client_module, "RETRY_REPLICA_S", 0.02)

    class SlowlyFull(Replica):
        async def judge(self, *_):
            await asyncio.sleep(0.1)
            raise QueueFull("no room")

    async def scene():
        with pytest.raises(GuardUnavailable, match=r"no verdict within 0\.8 s: replica \d is full"):
            await ReplicaClient([SlowlyFull(), SlowlyFull()], 0.4).judge("May I?", "No.")

    asyncio.run(asyncio.wait_for(scene(), 10))


def test_no_replicas_are_no_guard():
    with pytest.raises(GuardUnavailable, match="the trainer starts them"):
        ReplicaClient([])


def mailbox(replica, *calls):
    """The results of calls (method, arguments, seconds) asked in one turn of the loop."""

    async def scene():
        box = Mailbox(replica)
        asked = (box.ask(method, *arguments, within_s=within_s) for method, arguments, within_s in calls)
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(scene())


_judge = ("judge", "May I?", "No.", True)


def judge(within_s):
    return "judge", ("May I?", "No.", True), within_s


def test_one_from_which_nothing_comes_back_is_asked_once_more_and_given_up_after_two_time_limits():
    class Frozen(Replica):
        @property
        def answer(self):
            def remote(*calls):
                self.judged += [method for method, *_ in calls]
                return asyncio.get_running_loop().create_future()

            return SimpleNamespace(remote=remote)

    started, frozen = time.monotonic(), Frozen()
    (result,) = mailbox(frozen, judge(0.5))

    assert isinstance(result, TimeoutError) and "nothing came back" in str(result)
    assert 1.0 <= time.monotonic() - started < 4.0
    assert frozen.judged == ["judge", "ping"]


def test_as_many_as_may_travel_together_and_each_has_its_own_answer():
    replica = Replica()
    results = mailbox(replica, *[("generate", ([number], 1), 60.0) for number in range(2 * MAX_CALLS + 1)])

    assert results == [[number] for number in range(2 * MAX_CALLS + 1)]
    assert replica.deliveries == [MAX_CALLS, MAX_CALLS, 1]


def test_calls_of_unlike_time_limits_travel_apart():
    replica = Replica()

    assert mailbox(replica, judge(60.0), judge(10.0), judge(10.9), judge(66.0), judge(66.1)) == [SAFE] * 5
    assert sorted(replica.deliveries) == [1, 2, 2]


def test_a_call_that_ignores_its_cancellation_is_left_behind():
    class Stubborn(Replica):
        async def judge(self, user, assistant, refusal):
            until = time.monotonic() + 5
            while time.monotonic() < until:
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.1)

    async def scene():
        started = time.monotonic()
        (result,) = await asyncio.gather(Mailbox(Stubborn()).ask(*_judge, within_s=0.5), return_exceptions=True)
        return result, time.monotonic() - started

    result, seconds = asyncio.run(scene())
    assert isinstance(result, TimeoutError) and seconds < 3


@pytest.mark.parametrize(
    ("raised", "arrives"),
    [
        (ValueError("no such token"), ValueError),
        (QueueFull("no room"), QueueFull),
        (KeyError("x"), CallFailed),
        (type("Mine", (ValueError,), {})("of a library"), CallFailed),
    ],
)
def test_our_exceptions_arrive_as_they_are_and_those_of_libraries_by_name(raised, arrives):
    (result,) = mailbox(Replica(raised), judge(5.0))

    assert type(result) is arrives
    assert str(result) == (f"{type(raised).__name__}: {raised}" if arrives is CallFailed else str(raised))


def test_what_stops_a_delivery_stops_each_call_in_it():
    class Dead(Replica):
        @property
        def answer(self):
            def remote(*calls):
                raise ConnectionError("the actor died")

            return SimpleNamespace(remote=remote)

    results = mailbox(Dead(), judge(5.0), judge(5.0))
    assert [str(result) for result in results] == ["the actor died"] * 2
