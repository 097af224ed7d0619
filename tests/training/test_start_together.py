"""What starts beside verl's own parts: in whose place, in what order, and what of a failure is seen."""

import threading
import time
from types import SimpleNamespace

import pytest

from sinternal_verl.guard.engine import EngineSettings
from sinternal_verl.guard.errors import GuardUnavailable
from sinternal_verl.guard.replica import GuardSettings, StartingGuard

SETTINGS = GuardSettings(EngineSettings("a model"), start_timeout_s=30)


def test_the_guard_starts_while_its_starter_goes_on(monkeypatch):
    may_end = threading.Event()

    def start(settings, say_up):
        assert may_end.wait(30)
        return ["a replica"]

    monkeypatch.setattr("sinternal_verl.guard.replica.start_guard", start)
    guard = StartingGuard(SETTINGS)
    may_end.set()  # never reached if the line above waited

    assert guard.wait() == ["a replica"]


def test_why_it_did_not_start_is_raised_where_it_is_waited_for(monkeypatch):
    def start(settings, say_up):
        raise GuardUnavailable("each needs 1 GPUs")

    monkeypatch.setattr("sinternal_verl.guard.replica.start_guard", start)

    with pytest.raises(GuardUnavailable, match="each needs 1 GPUs"):
        StartingGuard(SETTINGS).wait()


def test_a_guard_that_never_comes_back_ends_the_wait(monkeypatch):
    from sinternal_verl.guard import replica

    monkeypatch.setattr(replica, "start_guard", lambda settings, say_up: threading.Event().wait(60))
    monkeypatch.setattr(replica, "END_TIMEOUT_S", 0.1)
    started = time.monotonic()

    with pytest.raises(GuardUnavailable, match="did not come back within"):
        StartingGuard(GuardSettings(EngineSettings("a model"), start_timeout_s=0.1)).wait()
    assert time.monotonic() - started < 30


@pytest.fixture
def parts(grpo_config, monkeypatch):
    """A function from overrides to what the trainer's `_setup` starts, in order; verl's own part is one of them."""
    from sinternal_verl.training import agent_workers
    from sinternal_verl.training import start_together as ours

    def order(mode: type, *overrides: str) -> list[str]:
        seen = []
        pools = SimpleNamespace(resource_pool_spec={}, mapping={}, max_colocate_count=3)

        def verls(self):
            self._init_resource_pool_mgr()
            if self.resource_pool_manager is not pools:
                seen.append("pools reserved")
                self.resource_pool_manager.then()
            seen.append("verl")
            self.reward_loop_manager = SimpleNamespace(reward_router_address="router")

        verl = next(each for each in mode.__mro__ if each.__module__.startswith("verl."))
        monkeypatch.setattr(verl, "_setup", verls, raising=False)
        monkeypatch.setattr(verl, "_init_resource_pool_mgr", lambda self: setattr(self, "resource_pool_manager", pools))
        monkeypatch.setattr(ours, "StartingGuard", lambda *_: seen.append("guard") or True)
        monkeypatch.setattr(ours, "say_when_up", lambda *_: None)

        def workers(config, *router):
            seen.append(" ".join(["reward workers", *router]))
            assert config.reward.num_workers == 1
            return SimpleNamespace(actors=[], serve=lambda manager: seen.append("served"))

        monkeypatch.setattr(ours, "RewardWorkers", workers)
        monkeypatch.setattr(
            agent_workers, "start_early", lambda config, rewards: seen.append("agent loop") or ["a worker"]
        )
        monkeypatch.setattr(ours, "send_light_handles", lambda: None)
        guard = ("sinternal.guard.backend=ray_actor", "sinternal.guard.engine.model=m")
        rollout = ("trainer.v1.separate_async.parameter_sync_step=1", "actor_rollout_ref.rollout.nnodes=1")
        rollout += ("actor_rollout_ref.rollout.checkpoint_engine.backend=nccl",)
        config = grpo_config(*guard, *rollout, *overrides)
        mode(config)._setup()
        return seen

    return order


@pytest.mark.parametrize("gpus", [0, 1])
def test_the_guard_starts_once_the_trainer_has_all_of_its_own(parts, gpus):
    from sinternal_verl.training.trainer import SInternalTrainer, SInternalTrainerSeparateAsync

    started = parts(SInternalTrainer, f"sinternal.guard.num_gpus={gpus}")
    assert started == ["reward workers", "agent loop", "pools reserved", "guard", "verl", "served"]
    # Its rollout servers reserve theirs last.
    started = parts(SInternalTrainerSeparateAsync, f"sinternal.guard.num_gpus={gpus}")
    assert started == ["reward workers", "agent loop", "verl", "guard", "served"]


def test_reward_workers_of_a_reward_model_wait_for_its_address(parts):
    from sinternal_verl.training.trainer import SInternalTrainer

    started = parts(
        SInternalTrainer,
        "sinternal.guard.num_gpus=0",
        "reward.reward_model.enable=true",
        "reward.reward_model.enable_resource_pool=true",
    )
    assert started == ["pools reserved", "guard", "verl", "reward workers router", "served"]


@pytest.fixture(scope="module")
def cluster():
    import ray

    ray.init(address="local", num_cpus=16, num_gpus=3, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.versions
@pytest.mark.timeout(300)
def test_reserved_pools_leave_the_guard_what_the_trainer_does_not_hold(cluster):
    from verl.single_controller.ray import ResourcePoolManager

    from sinternal_verl.training.pools import reserve_when_created

    left = []
    pools = reserve_when_created(
        ResourcePoolManager({"global_pool": [2]}, {"actor": "global_pool"}),
        "cpu",
        lambda: left.append(cluster.available_resources().get("GPU", 0)),
    )
    pools.create_resource_pool()

    assert left == [1]
    assert pools.get_resource_pool("actor").pgs is not None


@pytest.mark.slow
@pytest.mark.versions
@pytest.mark.timeout(300)
def test_replicas_that_cannot_be_placed_are_nobodys_line_and_an_error_with_what_they_need(cluster):
    said = []
    unplaceable = GuardSettings(EngineSettings("a model"), replicas=2, num_gpus=9, start_timeout_s=3)

    with pytest.raises(GuardUnavailable, match=r"2 guard replicas of a model .* each needs 9 GPUs") as failure:
        StartingGuard(unplaceable, said.append).wait()
    assert "2 did not answer" in str(failure.value)
    assert said == []


@pytest.mark.slow
@pytest.mark.versions
@pytest.mark.timeout(300)
def test_a_reward_worker_that_cannot_be_made_is_an_error_with_its_cause(cluster):
    from sinternal_verl.training.reward_workers import RewardWorkers

    class Broken:
        def __init__(self):
            raise RuntimeError("no judge on this node")

    workers = object.__new__(RewardWorkers)
    workers.actors = [cluster.remote(Broken).remote()]

    with pytest.raises(cluster.exceptions.RayError, match="no judge on this node"):
        workers.wait()
