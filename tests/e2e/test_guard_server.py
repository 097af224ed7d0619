"""`guard serve` as a process of its own, seen from its replica: clients that leave, a replica that is stopped or
killed, and requests without the key. The guard is of random weights, so that an answer takes as long as it may be."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import aiohttp
import openai
import pytest
import ray

from sinternal_verl.guard.engine import RECENT_S
from sinternal_verl.guard.replica import NAME

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.versions, pytest.mark.timeout(600)]

START_S, BOUND_S = 300, 60
SECRET = "k3y-of-the-lighthouse"
LONG = {"prompt": [7] * 20, "max_tokens": 1900, "temperature": 0}
"""A request that takes seconds."""


@pytest.fixture(scope="module")
def served(untaught_guard, tmp_path_factory):
    """The server's address, and the handle of its replica, in the Ray cluster of the test."""
    log = tmp_path_factory.mktemp("serve") / "log"
    ray.init(address="local", num_cpus=8, include_dashboard=False, log_to_driver=False)
    joins = [f"ray_kwargs.ray_init.address={ray.get_runtime_context().gcs_address}"]
    joins += ["ray_kwargs.ray_init.num_cpus=null", "ray_kwargs.ray_init.num_gpus=null"]
    model = [f"sinternal.guard.engine.model={untaught_guard}", "sinternal.guard.engine.max_model_len=2048"]
    command = [sys.executable, "-m", "sinternal_verl.cli", "guard", "serve", "--port", "0", "--host", "0.0.0.0"]
    command += ["--api-key-env", "SERVED_KEY", "hardware=cpu", "sinternal.guard.require_verdict=false", *joins, *model]
    with log.open("w") as out:
        server = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=os.environ | {"SERVED_KEY": SECRET}
        )
    try:
        deadline = time.monotonic() + START_S
        while " at http://" not in log.read_text():
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.5)
        url = log.read_text().rpartition(" at ")[2].partition(",")[0].replace("0.0.0.0", "127.0.0.1")
        (actor,) = (one for one in ray.util.list_named_actors(all_namespaces=True) if one["name"] == NAME.format(0))
        yield url, ray.get_actor(**actor)
        assert SECRET not in log.read_text()
    finally:
        server.terminate()
        server.wait(60)
        ray.shutdown()


def client(url: str, key: str = SECRET) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0, timeout=BOUND_S)


def in_engine(replica) -> int:
    """How many requests the replica's engine has."""
    count = replica.__ray_call__.remote(lambda self: len(self._engine._engine.output_processor.request_states))
    return ray.get(count, timeout=BOUND_S)


def wait_until_in_engine(replica, wanted: int) -> float:
    """Wait until the engine has so many requests; return the seconds."""
    started = time.monotonic()
    while (found := in_engine(replica)) != wanted:
        assert time.monotonic() - started < BOUND_S, f"{found} requests in the engine, not {wanted}"
        time.sleep(0.02)
    return time.monotonic() - started


def health(url: str) -> tuple[int, dict, float]:
    """Status, answer, and the seconds it took."""

    async def ask():
        async with aiohttp.ClientSession() as session, session.get(url.replace("/v1", "/health")) as response:
            return response.status, await response.json()

    started = time.monotonic()
    return *asyncio.run(ask()), time.monotonic() - started


def wait_until_healthy(url: str) -> None:
    deadline = time.monotonic() + START_S
    while health(url)[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(1)


def test_the_requests_of_clients_that_left_leave_the_engine_and_the_others_stay(served):
    url, replica = served

    async def scene():
        asks = client(url)
        calls = [asyncio.create_task(asks.completions.create(model=model_of(replica), **LONG)) for _ in range(8)]
        await asyncio.to_thread(wait_until_in_engine, replica, 8)
        for call in calls[:6]:
            call.cancel()
        left = await asyncio.to_thread(wait_until_in_engine, replica, 2)
        stay = await asyncio.gather(*calls[6:])
        return left, [answer.usage.completion_tokens for answer in stay]

    left, tokens = asyncio.run(scene())
    print(f"6 of 8 requests left the engine after {left:.2f} s")

    assert tokens == [1900, 1900] and left < 5
    assert in_engine(replica) == 0


def test_a_client_process_that_dies_leaves_nothing_in_the_engine(served):
    url, replica = served
    asks = f"OpenAI(base_url={url!r}, api_key={SECRET!r}).completions.create(model={model_of(replica)!r}, **{LONG!r})"
    script = f"from openai import OpenAI\n{asks}"
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    try:
        wait_until_in_engine(replica, 1)
    finally:
        process.kill()
        process.wait(10)

    assert wait_until_in_engine(replica, 0) < 5


def test_without_the_key_nothing_is_served(served):
    url, replica = served

    async def scene():
        with pytest.raises(openai.AuthenticationError):
            await client(url, "another").completions.create(model=model_of(replica), prompt=[7], max_tokens=1)

    asyncio.run(scene())
    assert health(url)[0] == 200


@pytest.mark.parametrize("who", ["replica", "engine"])
def test_a_replica_that_is_stuck_is_named_in_a_bounded_time_and_well_when_it_goes_on(served, who):
    url, replica = served
    pid = ray.get(replica.__ray_call__.remote(lambda _: os.getpid()))
    if who == "engine":
        children = replica.__ray_call__.remote(lambda _: [child.pid for child in multiprocessing.active_children()])
        (pid,) = ray.get(children)
        time.sleep(RECENT_S)  # an engine that has just answered counts as well
    os.kill(pid, signal.SIGSTOP)
    try:
        status, answer, seconds = health(url)
    finally:
        os.kill(pid, signal.SIGCONT)
    print(f"{who} stopped: {status} after {seconds:.1f} s: {answer}")

    assert status == 503 and "replica 0" in answer["replicas"] and seconds < 10
    assert "no answer within" in answer["error"]["message"]
    wait_until_healthy(url)


def test_a_replica_that_is_killed_is_named_and_well_when_it_is_back(served):
    url, replica = served
    os.kill(ray.get(replica.__ray_call__.remote(lambda _: os.getpid())), signal.SIGKILL)
    status, answer, seconds = health(url)
    print(f"replica killed: {status} after {seconds:.1f} s: {answer}")

    assert status == 503 and "replica 0" in answer["replicas"] and seconds < 10
    wait_until_healthy(url)


def model_of(replica) -> str:
    return ray.get(replica.__ray_call__.remote(lambda self: self._settings.engine.model))
