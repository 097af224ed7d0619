"""What goes wrong while a batch is scored, on real reward workers and a real guard in one Ray cluster: the
batch ends within its bound, nothing is a wrong or silent zero, and the curves count what has no verdict. An endpoint
that fails: ``tests/training/test_endpoint_faults.py``."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from omegaconf import DictConfig
from rollouts import rollout
from scored_batches import REQUESTS, assert_no_wrong_reward, batch, counted, curves_of, outcomes
from transformers import AutoTokenizer

from sinternal_verl.config import compose_config
from sinternal_verl.guard.replica import end_guard, guard_settings, start_guard
from sinternal_verl.scoring.score import Outcome
from sinternal_verl.training.reward_workers import NAME as WORKER
from sinternal_verl.training.reward_workers import RewardWorkers
from sinternal_verl.world import lighthouse
from sinternal_verl.world.guard_model import make_guard

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(400)]

REQUEST_S = 10
"""Deadline of one request to the replica."""

BOUND_S = 60.0
"""Of a batch, whatever happens: the deadlines, a restart, and a slow machine."""


@pytest.fixture(scope="module")
def cluster():
    ray.init(address="local", num_cpus=16, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def tokenizer(world):
    return AutoTokenizer.from_pretrained(world["policy"])


@pytest.fixture(scope="module")
def configure(world, taught_guard):
    """A function from a guard's choice and overrides to a run's configuration."""

    guarded = [f"sinternal.guard.engine.model={taught_guard}", "sinternal.guard.engine.max_model_len=1024"]

    def make(guard: str, *overrides: str) -> DictConfig:
        return compose_config(
            [
                "+recipe=sinternal_grpo_cpu",
                f"guard={guard}",
                f"actor_rollout_ref.model.path={world['policy']}",
                *(guarded if guard != "none" else []),
                "sinternal.score_timeout_s=60",
                "reward.num_workers=2",
                *overrides,
            ]
        )

    return make


@pytest.fixture(scope="module")
def workers(cluster):
    """A function from a configuration to its reward workers, which are the only ones."""
    managers = []

    def start(config: DictConfig) -> list[ray.actor.ActorHandle]:
        for number, worker in enumerate(managers[-1].reward_loop_workers if managers else []):
            ray.kill(worker)
            wait_until_free(WORKER.format(number))
        manager = SimpleNamespace(config=config, reward_router_address=None)
        RewardWorkers(manager.config, manager.reward_router_address).serve(manager)
        managers.append(manager)  # it owns what a worker is started again with
        return manager.reward_loop_workers

    return start


@pytest.fixture(scope="module")
def guarded(cluster, workers, configure):
    """Reward workers and the one replica they ask; the tests leave both as they found them, but for the last."""
    config = configure("ray_actor", f"sinternal.guard.request_timeout_s={REQUEST_S}")
    (replica,) = start_guard(guard_settings(config.sinternal.guard))
    return workers(config), replica


def score(workers, rows, during=None) -> tuple[list, dict[str, float]]:
    """What the workers say of the rows, within the bound, and the curves of it."""
    started = time.monotonic()
    calls = [workers[number % len(workers)].compute_score.remote(row) for number, row in enumerate(rows)]
    if during:
        during()
    results = ray.get(calls, timeout=BOUND_S)
    assert time.monotonic() - started < BOUND_S
    return curves_of(rows, results)


def wait_until_free(name: str) -> None:
    deadline = time.monotonic() + BOUND_S
    while time.monotonic() < deadline:
        try:
            ray.get_actor(name)
        except ValueError:
            return
        time.sleep(0.1)
    raise TimeoutError(f"{name} is still there")


def until_ready(replica) -> int:
    """The process id of a replica that Ray is starting again."""
    deadline = time.monotonic() + 2 * BOUND_S
    while True:
        try:
            return ray.get(replica.ready.remote(), timeout=2 * BOUND_S)
        except ray.exceptions.ActorUnavailableError:
            assert time.monotonic() < deadline, "the replica was not started again"
            time.sleep(1)


def logs() -> str:
    """What all workers of the cluster have said."""
    folder = Path(ray._private.worker._global_node.get_logs_dir_path())
    return "".join(file.read_text(errors="replace") for file in folder.glob("worker-*.err"))


def test_nothing_goes_wrong(guarded, tokenizer):
    rows, deserved = batch(tokenizer)
    found, _ = score(guarded[0], rows)

    assert [row.reward for row in found] == deserved
    assert all(row.scored for row in found)


def test_a_reward_worker_that_is_killed_comes_back_and_its_samples_are_scored_again(guarded, tokenizer):
    workers, _ = guarded
    rows, deserved = batch(tokenizer)
    pid = ray.get(workers[0].__ray_call__.remote(lambda _: os.getpid()))
    found, _ = score(workers, rows, during=lambda: os.kill(pid, signal.SIGKILL))

    assert [row.reward for row in found] == deserved


def test_a_replica_that_hangs_is_a_timeout_and_scores_again_when_it_goes_on(guarded, tokenizer):
    workers, replica = guarded
    rows, deserved = batch(tokenizer)
    pid = ray.get(replica.ready.remote())
    os.kill(pid, signal.SIGSTOP)
    try:
        found, curves = score(workers, rows)
    finally:
        os.kill(pid, signal.SIGCONT)

    assert_no_wrong_reward(found, deserved)
    assert outcomes(found) == {Outcome.TIMED_OUT: REQUESTS} and counted(curves, Outcome.TIMED_OUT) == REQUESTS
    assert "replica 0 did not answer within" in logs()
    again, _ = score(workers, rows)
    assert [row.reward for row in again] == deserved


def test_a_replica_killed_with_requests_in_flight_has_its_own_outcome_and_comes_back(guarded, tokenizer):
    workers, replica = guarded
    rows, deserved = batch(tokenizer)
    pid = ray.get(replica.ready.remote())
    found, curves = score(workers, rows, during=lambda: os.kill(pid, signal.SIGKILL))

    # The only one: what it does not answer before its restart is done is counted, and nothing is guessed.
    assert_no_wrong_reward(found, deserved)
    unscored = sum(not row.scored for row in found)
    assert counted(curves, Outcome.FAILED) + counted(curves, Outcome.TIMED_OUT) == unscored
    assert until_ready(replica) != pid
    again, _ = score(workers, rows)
    assert [row.reward for row in again] == deserved


def test_all_replicas_gone_is_a_failure_with_its_cause(guarded, tokenizer):
    workers, replica = guarded
    rows, deserved = batch(tokenizer)
    ray.kill(replica)
    found, curves = score(workers, rows)

    assert_no_wrong_reward(found, deserved)
    assert sum(outcomes(found).values()) == counted(curves, Outcome.FAILED) + counted(curves, Outcome.TIMED_OUT)
    assert not any(row.scored for row in found if row.source.startswith("safety/"))
    assert "FAILED, 1 so far: GuardUnavailable: no verdict within" in logs()
    assert "replica 0 died" in logs()


def test_a_guard_that_writes_garbage_gives_no_verdict(workers, configure, tokenizer, tmp_path):
    untaught = make_guard(tmp_path / "untaught", lighthouse.corpus(), seed=1)
    # A start would refuse it.
    config = configure("ray_actor", f"sinternal.guard.engine.model={untaught}", "sinternal.guard.require_verdict=false")
    (replica,) = start_guard(guard_settings(config.sinternal.guard))
    rows, deserved = batch(tokenizer)
    found, curves = score(workers(config), rows)
    end_guard([replica])

    assert_no_wrong_reward(found, deserved)
    assert outcomes(found) == {Outcome.UNPARSABLE: REQUESTS} and counted(curves, Outcome.UNPARSABLE) == REQUESTS
    assert "UNPARSABLE, 1 so far: " in logs()


def test_a_sum_that_hangs_math_verify_is_a_mismatch_and_stops_no_other(workers, configure, tokenizer):
    config = configure("none", "sinternal.scorers.boxed_math.mode=symbolic")
    tower = rollout(tokenizer, r"</think>\boxed{9^{9^{9^{9}}}}", "3", "world/addition")
    rows = [tower, *(rollout(tokenizer, r"</think>\boxed{x+x}", "2x", "world/addition") for _ in range(4))]
    found, curves = score(workers(config), rows)

    assert [row.outcome for row in found] == [Outcome.MISMATCH] + 4 * [Outcome.CORRECT]
    assert curves["train/world/addition/scored"] == 1 and curves["train/world/addition/outcome/mismatch"] == 1
    assert "Math-Verify did not finish within 5 s, 1 so far: 9^" in logs()
