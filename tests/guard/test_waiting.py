"""Requests that wait for their turn, on a real Ray cluster with several reward workers; only the engine is scripted.
`benchmarks/guard_waiting.py` has the same with 4,096 and 16,384 requests."""

import os
import signal
import threading
import time
from collections import Counter

import pytest
import ray
from scripted_guard import running, workers

from sinternal_verl.scoring.score import Outcome

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(200)]

LIMIT_S, SAMPLE_S = 3.0, 4.0
"""Of a request and of a sample: a small part of the time for which most of them wait."""


@pytest.fixture(scope="module")
def cluster():
    ray.init(address="local", num_cpus=8, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def ask(replicas: int, requests: int, during=None, after_s: float = 1.0) -> tuple[list, float]:
    """The scores of requests that four workers make at once, and the seconds until all are there."""
    asking = workers(4, replicas, LIMIT_S, SAMPLE_S)
    ray.get([worker.__ray_ready__.remote() for worker in asking])
    started = time.monotonic()
    calls = [worker.score.remote(str(number), requests // 4) for number, worker in enumerate(asking)]
    if during:
        threading.Timer(after_s, during).start()
    scores = [score for done in ray.get(calls, timeout=120) for score in done]
    seconds = time.monotonic() - started
    for worker in asking:
        ray.kill(worker)
    return scores, seconds


def outcomes(scores) -> Counter[Outcome]:
    return Counter(score.outcome for score in scores)


def test_no_request_is_lost_to_waiting(cluster, untaught_guard):
    with running(untaught_guard, request_timeout_s=LIMIT_S, per_second=48):
        scores, seconds = ask(1, 768)

    assert outcomes(scores) == {Outcome.SAFE: 768}
    assert seconds > 4 * LIMIT_S and max(score.extra["guard_wait_s"] for score in scores) > 3 * LIMIT_S
    assert max(score.extra["guard_s"] for score in scores) < LIMIT_S


def test_more_than_a_replica_may_hold_come_back_and_none_is_lost(cluster, untaught_guard):
    with running(untaught_guard, request_timeout_s=LIMIT_S, per_second=96, max_queue=64):
        scores, _ = ask(1, 768)

    assert outcomes(scores) == {Outcome.SAFE: 768}


def test_a_replica_that_is_killed_while_many_wait_costs_no_verdict(cluster, untaught_guard):
    with running(untaught_guard, request_timeout_s=LIMIT_S, per_second=48, replicas=2) as (one, _):
        pid = ray.get(one.pid.remote())
        scores, _ = ask(2, 512, during=lambda: os.kill(pid, signal.SIGKILL))

    assert outcomes(scores) == {Outcome.SAFE: 512}


@pytest.mark.parametrize("what", ["its process stops", "its engine hangs"])
def test_a_replica_that_hangs_while_many_wait_costs_no_verdict_where_another_answers(cluster, untaught_guard, what):
    with running(untaught_guard, request_timeout_s=LIMIT_S, per_second=48, replicas=2) as (one, _):
        pid = ray.get(one.pid.remote())
        hang = one.hang.remote if what == "its engine hangs" else lambda: os.kill(pid, signal.SIGSTOP)
        scores, seconds = ask(2, 256, during=hang)

    assert outcomes(scores) == {Outcome.SAFE: 256}
    assert seconds < 60


@pytest.mark.parametrize("what", ["its process stops", "its engine hangs"])
def test_the_only_replica_hangs_and_all_that_wait_are_timed_out_after_two_time_limits(cluster, untaught_guard, what):
    with running(untaught_guard, request_timeout_s=LIMIT_S, per_second=48) as (one,):
        pid = ray.get(one.pid.remote())
        hang = one.hang.remote if what == "its engine hangs" else lambda: os.kill(pid, signal.SIGSTOP)
        scores, seconds = ask(1, 768, during=hang)

    found = outcomes(scores)
    # Calls that travel together come back together, so a stopped process keeps what it has answered in the last moment.
    assert found.keys() <= {Outcome.SAFE, Outcome.TIMED_OUT} and found[Outcome.TIMED_OUT] > 500
    assert seconds < 1 + 4 * LIMIT_S + 5
    assert any("replica 0 did not answer within" in score.reason for score in scores)
