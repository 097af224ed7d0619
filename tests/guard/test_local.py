"""A program without a trainer: every GPU may be the guard's, and one replica is what it starts."""

import pytest

from sinternal_verl.commands.running_guard import compose_guard, find_guard_problems


@pytest.mark.parametrize(
    ("overrides", "replicas", "gpus"),
    [
        ([], 1, 1),
        (["hardware=cpu"], 1, 0),
        (["sinternal.guard.replicas=9"], 9, 9),
        (["sinternal.guard.replicas=3", "sinternal.guard.num_gpus=0.5"], 3, 2),
        (["sinternal.guard.num_gpus=2"], 1, 2),
        (["+recipe=sinternal_grpo_cpu"], 1, 0),
    ],
)
def test_one_replica_unless_more_are_asked_for(overrides, replicas, gpus):
    config = compose_guard(overrides, "ray_actor")

    assert (config.sinternal.guard.replicas, config.sinternal.guard.n_gpus) == (replicas, gpus)
    share = "sinternal.guard.engine.gpu_memory_utilization"
    assert [problem.key for problem in find_guard_problems(config) if problem.key != share] == []


def test_none_is_started_unless_one_is_asked_for():
    assert compose_guard([]).sinternal.guard.backend is None
    assert compose_guard(["guard=ray_actor"]).sinternal.guard.backend == "ray_actor"


def test_a_recipe_without_a_guard_is_refused():
    with pytest.raises(ValueError, match="this recipe has no"):
        compose_guard(["+recipe=sinternal_sft"], "ray_actor")
