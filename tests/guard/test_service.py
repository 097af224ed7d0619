"""The guard as it serves: a Ray actor around vLLM's engine, with a guard that knows one place's rules."""

import asyncio
import multiprocessing
import os
import signal
import time

import pytest
import ray

from sinternal_verl.guard.backend import connect
from sinternal_verl.guard.engine import EngineSettings
from sinternal_verl.guard.errors import GuardUnavailable, QueueFull
from sinternal_verl.guard.judge import Judgement
from sinternal_verl.guard.replica import GuardSettings, end_guard, start_guard
from sinternal_verl.world import lighthouse

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.versions, pytest.mark.timeout(600)]

CPU = {"max_model_len": 2048, "gpu_memory_utilization": 0.1, "enforce_eager": True, "dtype": "float32"}


@pytest.fixture(scope="module")
def cluster():
    ray.init(address="local", num_cpus=8, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def settings(model, **changes) -> GuardSettings:
    return GuardSettings(EngineSettings(str(model), **CPU), num_gpus=0, start_timeout_s=300, **changes)


@pytest.fixture
def start(cluster):
    """`start_guard`, its replicas ended with the test however that ends: their names are the cluster's."""
    started = []

    def guard(*arguments, **changes) -> list[ray.actor.ActorHandle]:
        started.extend(start_guard(settings(*arguments, **changes)))
        return started

    yield guard
    end_guard(started)


def engine_of(replica) -> int:
    """The process id of its engine, from the replica itself: titles of processes differ by machine."""
    (engine,) = ray.get(replica.__ray_call__.remote(lambda _: [p.pid for p in multiprocessing.active_children()]))
    return engine


def judge_all(client, refusal=True) -> list[Judgement]:
    async def scene():
        calls = (client.judge(user, answer, refusal) for user, answer, _ in lighthouse.conversations())
        return await asyncio.gather(*calls)

    return asyncio.run(scene())


@pytest.fixture(scope="module")
def verdicts(cluster, taught_guard) -> dict[str, list[Judgement]]:
    """What one guard says of every conversation of the place, by mode."""
    said = {}
    for mode in ("decode", "first_token"):
        (replica,) = start_guard(settings(taught_guard, mode=mode))
        client = connect({"backend": "ray_actor", "replicas": 1, "request_timeout_s": 120})
        said[mode] = judge_all(client)
        end_guard([replica])
    return said


def test_the_guard_says_what_the_rules_say(verdicts):
    wanted = [verdict.splitlines()[0] for *_, verdict in lighthouse.conversations()]
    said = [j.verdict and f"Safety: {j.verdict.safety.value}" for j in verdicts["decode"]]

    assert sum(a == b for a, b in zip(said, wanted, strict=True)) / len(wanted) > 0.95


def test_first_token_mode_gives_the_verdicts_of_decoding_on_two_thousand_conversations(verdicts):
    assert len(verdicts["decode"]) > 2000
    for first, decoded in zip(verdicts["first_token"], verdicts["decode"], strict=True):
        assert first.verdict.safety is decoded.verdict.safety
        if first.verdict.refusal is not None:
            assert first.verdict.refusal == decoded.verdict.refusal


def test_the_probability_of_safe_agrees_with_the_label(verdicts):
    for judgement in verdicts["first_token"]:
        assert (judgement.safe_probability > 0.5) == (judgement.verdict.safety.value == "Safe")


def test_a_replica_whose_engine_is_killed_is_started_again_and_no_verdict_is_lost(start, taught_guard):
    (replica,) = start(taught_guard)
    pid = ray.get(replica.ready.remote())
    engine = engine_of(replica)
    client = connect({"backend": "ray_actor", "replicas": 1, "request_timeout_s": 200})

    async def scene():
        calls = [asyncio.create_task(client.judge("May I sell the oil?", f"Yes, sell it {n}.")) for n in range(200)]
        # They are on their way, and none has come back: a fast engine would be done with all of them in no time.
        await asyncio.sleep(0.01)
        os.kill(engine, signal.SIGKILL)
        return await asyncio.gather(*calls)

    judgements = asyncio.run(scene())

    assert all(isinstance(judgement, Judgement) for judgement in judgements)
    assert ray.get(replica.ready.remote()) != pid


@pytest.mark.parametrize("mode", ["first_token", "decode"])
def test_harm_before_padding_and_a_refusal_is_no_verdict(start, taught_guard, mode):
    start(taught_guard, mode=mode)
    client = connect({"backend": "ray_actor", "replicas": 1, "request_timeout_s": 120})
    harm, refusal = lighthouse.ANSWERS["comply"][0], lighthouse.ANSWERS["refuse"][1]
    judgement = asyncio.run(client.judge("May I lend the lamp?", f"{harm}{' word' * 2000} {refusal}"))

    assert judgement.answer_cut > 0
    assert judgement.verdict is None or judgement.verdict.safety.value == "Unsafe"


def test_more_tokens_than_the_engine_takes_are_a_value_error_and_it_goes_on(start, taught_guard):
    (replica,) = start(taught_guard)

    with pytest.raises(ValueError, match="more than max_model_len=2048"):
        ray.get(replica.generate.remote([5] * 2048, 1))
    assert len(ray.get(replica.generate.remote([5] * 2047, 1)).ids) == 1


def test_a_full_replica_refuses_and_takes_more_when_it_has_room(start, taught_guard):
    (replica,) = start(taught_guard, max_queue=4)
    calls = [("judge", ("May I sell the oil?", f"Yes, sell it {n}."), 60.0) for n in range(50)]
    answers = [answer for answer, _ in ray.get(replica.answer.remote(*calls))]

    assert {type(answer) for answer in answers} == {Judgement, QueueFull}
    assert sum(isinstance(answer, Judgement) for answer in answers) == 4
    assert all(isinstance(answer, Judgement) for answer, _ in ray.get(replica.answer.remote(*calls[:4])))


def test_an_id_that_the_guard_does_not_have_is_a_value_error(start, taught_guard):
    (replica,) = start(taught_guard)

    with pytest.raises(ValueError, match="vocab"):
        ray.get(replica.generate.remote([10**8], 1))


def test_a_guard_that_cannot_be_placed_ends_the_wait_and_says_what_it_needs(cluster, taught_guard):
    started = time.monotonic()
    with pytest.raises(GuardUnavailable, match="each needs 1 GPUs"):
        start_guard(GuardSettings(EngineSettings(str(taught_guard), **CPU), num_gpus=1, start_timeout_s=5))
    assert time.monotonic() - started < 30


def test_a_model_that_is_no_guard_fails_with_what_is_missing(cluster, world):
    with pytest.raises(GuardUnavailable, match="guard's structure"):
        start_guard(settings(world["policy"]))
