"""A reward worker's way to the guard on a real Ray cluster: replicas that are killed, hang, or are full.
The judging inside a replica is scripted; everything around it is real."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest
import ray

from sinternal_verl.guard.client import ReplicaClient
from sinternal_verl.guard.errors import GuardUnavailable, QueueFull
from sinternal_verl.guard.judge import Judgement
from sinternal_verl.guard.mailbox import Answers
from sinternal_verl.guard.replica import NAME, end_guard
from sinternal_verl.guard.verdict import Safety, Verdict

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(200)]

SAFE = Judgement(Verdict(Safety.SAFE, (), False))


class Replica(Answers):
    """Answers after ``delay_s``, refuses, hangs (on every second one, where it hangs on half), or raises."""

    def __init__(self, number: int, behaviour: str, delay_s: float) -> None:
        self.number, self.behaviour, self.delay_s, self.judged, self.called = number, behaviour, delay_s, 0, 0

    async def answer(self, *calls):
        self.called += 1
        return await super().answer(*calls)

    async def judge(self, user, assistant, refusal=True):
        if self.behaviour == "full":
            raise QueueFull("no room")
        if self.behaviour == "raises":
            raise subprocess.CalledProcessError(3, "a library's command")
        self.judged += 1
        hangs = self.behaviour == "hangs" or (self.behaviour == "hangs on half" and self.judged % 2)
        await asyncio.sleep(1000 if hangs else self.delay_s)
        return SAFE

    async def calls(self):
        return self.called

    async def count(self):
        return self.judged

    async def pid(self):
        return os.getpid()


@pytest.fixture(scope="module")
def cluster():
    # Workers cannot import this file by its name.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(address="local", num_cpus=8, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def replicas(cluster):
    """A function from behaviours to the replicas that have them."""
    made = []

    def make(*behaviours: str, delay_s: float = 0.05, restarts: int = 0):
        actor = ray.remote(max_restarts=restarts, max_concurrency=1000, num_cpus=0)(Replica)
        for number, behaviour in enumerate(behaviours):
            options = {"name": NAME.format(number)}
            made.append(actor.options(**options).remote(number, behaviour, delay_s))
        ray.get([replica.pid.remote() for replica in made])
        return made

    yield make
    end_guard(made)


def judge(client: ReplicaClient, times: int = 1, during=None) -> tuple[list, float]:
    async def scene():
        calls = [asyncio.create_task(client.judge("May I?", f"No {n}.")) for n in range(times)]
        if during:
            await asyncio.sleep(0.3)
            during()
        return await asyncio.gather(*calls, return_exceptions=True)

    started = time.monotonic()
    results = asyncio.run(scene())
    return results, time.monotonic() - started


def test_requests_are_spread_by_load(replicas):
    made = replicas("answers", "answers")
    results, _ = judge(ReplicaClient.look_up(2), times=60)

    assert results == [SAFE] * 60
    assert ray.get([replica.count.remote() for replica in made]) == [30, 30]


def test_a_replica_killed_with_requests_in_flight_costs_no_verdict(replicas):
    made = replicas("answers", "answers", delay_s=2.0)
    pid = ray.get(made[0].pid.remote())
    results, seconds = judge(ReplicaClient.look_up(2, 30.0), 40, during=lambda: os.kill(pid, signal.SIGKILL))

    assert results == [SAFE] * 40
    assert seconds < 15


def test_a_replica_that_ray_starts_again_is_used_again(replicas):
    made = replicas("answers", restarts=3)
    os.kill(ray.get(made[0].pid.remote()), signal.SIGKILL)
    results, _ = judge(ReplicaClient.look_up(1, 60.0), 5)

    assert results == [SAFE] * 5


def test_a_replica_that_hangs_costs_no_verdict_while_another_answers(replicas):
    replicas("hangs", "answers")
    results, seconds = judge(ReplicaClient.look_up(2, 4.0), 20)

    assert results == [SAFE] * 20
    assert seconds < 6


def test_what_is_asked_together_travels_together(replicas):
    (made,) = replicas("answers")
    results, _ = judge(ReplicaClient.look_up(1), times=150)

    assert results == [SAFE] * 150
    assert ray.get(made.calls.remote()) == 3


def test_who_travels_with_one_that_hangs_has_its_answer(replicas):
    replicas("hangs on half")
    results, seconds = judge(ReplicaClient.look_up(1, 2.0), 10)

    # Which of them hang, the order of their time limits decides.
    assert [result for result in results if not isinstance(result, TimeoutError)] == [SAFE] * 5
    assert seconds < 4


def test_a_librarys_exception_is_named(replicas):
    replicas("raises")
    (result,), _ = judge(ReplicaClient.look_up(1))

    assert str(result) == "CalledProcessError: Command 'a library's command' returned non-zero exit status 3."


def test_replicas_that_all_hang_are_timeouts_within_the_deadline(replicas):
    replicas("hangs", "hangs")
    results, seconds = judge(ReplicaClient.look_up(2, 2.0), 10)

    assert all(isinstance(result, TimeoutError) for result in results)
    assert seconds < 5


def test_all_replicas_gone_is_named_within_the_deadline(replicas):
    made = replicas("answers", "answers")
    client = ReplicaClient.look_up(2, 2.0)
    for replica in made:
        ray.kill(replica)
    results, seconds = judge(client, 10)

    assert all(isinstance(result, GuardUnavailable) and "died" in str(result) for result in results)
    assert seconds < 6


def test_a_full_replica_sends_its_requests_elsewhere(replicas):
    replicas("full", "answers")
    results, _ = judge(ReplicaClient.look_up(2, 5.0), 20)

    assert results == [SAFE] * 20


def test_only_full_replicas_are_named_within_the_deadline(replicas):
    replicas("full")
    (result,), seconds = judge(ReplicaClient.look_up(1, 1.5))

    assert isinstance(result, GuardUnavailable) and "full" in str(result)
    assert seconds < 4


def test_without_replicas_the_message_says_who_starts_them(cluster):
    with pytest.raises(GuardUnavailable, match="the trainer starts"):
        ReplicaClient.look_up(1)
