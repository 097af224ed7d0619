"""What the guard claims and what trains follow from one another, whichever of them is given."""

import subprocess
import sys

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError

from sinternal_verl.config import compose_config
from sinternal_verl.gpus import GUARD, NODE, REPLICAS, TRAINING, given
from sinternal_verl.resolvers import register_resolvers


@pytest.fixture(scope="module")
def recipe():
    return compose_config(["+recipe=sinternal_grpo"])


def shares(recipe, *overrides: str):
    """GPUs of a node that train, GPUs of all nodes that the guard holds, and its replicas."""
    config = recipe.copy()
    config.merge_with(OmegaConf.from_dotlist(list(overrides)))
    return config, tuple(OmegaConf.select(config, key) for key in (TRAINING, GUARD, REPLICAS))


CASES = [
    ((), (4, 4, 4)),
    (("trainer.nnodes=2",), (4, 8, 8)),
    (("sinternal.hardware.n_gpus_per_node=4",), (2, 2, 2)),
    (("sinternal.hardware.n_gpus_per_node=2",), (1, 1, 1)),
    # 63 x 8 = 504 rows divide by seven.
    (("data.train_batch_size=63",), (7, 1, 1)),
    (("data.train_batch_size=63", "actor_rollout_ref.rollout.tensor_model_parallel_size=2"), (6, 2, 2)),
    # Rows that divide by nothing: one process, or as many as one engine needs.
    (("data.train_batch_size=7", "actor_rollout_ref.rollout.n=1"), (7, 1, 1)),
    (("data.train_batch_size=11", "actor_rollout_ref.rollout.n=1"), (1, 7, 7)),
    # What is given stays, and the others follow.
    (("trainer.n_gpus_per_node=7",), (7, 1, 1)),
    (("trainer.n_gpus_per_node=8",), (8, 0, 0)),
    (("trainer.n_gpus_per_node=2",), (2, 6, 6)),
    (("sinternal.guard.n_gpus=6",), (2, 6, 6)),
    (("sinternal.guard.n_gpus=1",), (4, 1, 1)),
    (("sinternal.guard.n_gpus=0",), (8, 0, 0)),
    (("sinternal.guard.replicas=2",), (4, 2, 2)),
    (("sinternal.guard.replicas=5",), (2, 5, 5)),
    (("trainer.n_gpus_per_node=7", "sinternal.guard.n_gpus=1", "data.train_batch_size=63"), (7, 1, 1)),
    (("trainer.n_gpus_per_node=4", "sinternal.guard.n_gpus=3", "sinternal.guard.replicas=2"), (4, 3, 2)),
    # Replicas of several GPUs, of a part of one, and of none.
    (("sinternal.guard.num_gpus=2",), (4, 4, 2)),
    (("sinternal.guard.num_gpus=2", "data.train_batch_size=60", "actor_rollout_ref.rollout.n=5"), (6, 2, 1)),
    (("sinternal.guard.num_gpus=0.5",), (4, 4, 8)),
    (("sinternal.guard.num_gpus=0.5", "sinternal.guard.replicas=3"), (4, 2, 3)),
    (("sinternal.guard.num_gpus=0",), (8, 0, 1)),
    # An interpolation of the user's own is given, too.
    (("trainer.n_gpus_per_node=${sinternal.hardware.n_gpus_per_node}",), (8, 0, 0)),
    # More than there are: the checks say so.
    (("sinternal.guard.n_gpus=9",), (1, 9, 9)),
    (("data.train_batch_size=many",), (7, 1, 1)),
    (("trainer.n_gpus_per_node=all",), ("all", 4, 4)),
]


@pytest.mark.parametrize(("overrides", "expected"), CASES, ids=lambda case: " ".join(map(str, case)))
def test_what_is_not_given_follows(recipe, overrides, expected):
    assert shares(recipe, *overrides)[1] == expected


@pytest.mark.parametrize("first", [TRAINING, GUARD, REPLICAS])
@pytest.mark.parametrize(("overrides", "expected"), CASES, ids=lambda case: " ".join(map(str, case)))
def test_the_order_in_which_they_are_resolved_does_not_matter(recipe, overrides, expected, first):
    """verl's task runner writes one value after the other into the configuration."""
    config, _ = shares(recipe, *overrides)
    OmegaConf.update(config, first, OmegaConf.select(config, first))

    assert tuple(OmegaConf.select(config, key) for key in (TRAINING, GUARD, REPLICAS)) == expected


def test_a_hardware_file_that_states_no_gpus_is_named(recipe):
    with pytest.raises(InterpolationResolutionError, match=f"{NODE} = None"):
        shares(recipe, f"{NODE}=null")


def test_given_is_what_no_resolver_of_ours_makes(recipe):
    assert given(recipe, TRAINING) is None and given(recipe, REPLICAS) is None
    assert given(recipe, "trainer.nnodes") == 1
    assert given(recipe, "nowhere.at_all") is None


def test_verl_makes_the_resolvers_known_in_processes_without_hydra(recipe, tmp_path):
    """As in verl's task runner, which is sent the configuration and resolves it."""
    register_resolvers()  # twice is no error
    import pickle

    (tmp_path / "config").write_bytes(pickle.dumps(recipe))
    code = (
        "import pickle, sys, verl; from omegaconf import OmegaConf; config = pickle.load(open(sys.argv[1], 'rb')); "
        "assert 'hydra.core.plugins' not in sys.modules; OmegaConf.resolve(config); "
        "print(config.trainer.n_gpus_per_node, config.sinternal.guard.n_gpus, config.sinternal.guard.replicas)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "config")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)

    assert done.stdout.split() == ["4", "4", "4"], done.stderr


def test_the_search_path_plugin_brings_no_verl_into_other_apps_of_hydra():
    code = "import sys, hydra_plugins.sinternal_verl_searchpath as _; print({'verl', 'torch', 'ray'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert done.stdout.strip() == "set()", done.stderr


@pytest.mark.parametrize(("words", "shares"), [(["guard=none"], (4, 0)), (["guard=ray_actor"], (2, 2))])
def test_gpus_that_only_generate_are_left_alone(words, shares):
    """verl's separate_async trainers."""
    separate = ["trainer.v1.trainer_mode=sinternal_separate_async", "actor_rollout_ref.rollout.nnodes=1"]
    config = compose_config(
        ["+recipe=sinternal_grpo", *words, *separate, "actor_rollout_ref.rollout.n_gpus_per_node=4"]
    )

    assert (config.trainer.n_gpus_per_node, config.sinternal.guard.n_gpus) == shares
