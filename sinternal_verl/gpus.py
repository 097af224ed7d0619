"""How the GPUs of a node are shared: the guard takes some, training takes the rest.

A hardware file states the GPUs of a node. Three values follow from it by interpolations; a user may set any of them,
and the others then follow from that one:

``trainer.n_gpus_per_node``   `training_gpus`
``sinternal.guard.n_gpus``    `guard_gpus`
``sinternal.guard.replicas``  `guard_replicas`
"""

import math
from typing import Any

from omegaconf import DictConfig, OmegaConf

NODE, NODES = "sinternal.hardware.n_gpus_per_node", "trainer.nnodes"
TRAINING, GUARD, REPLICAS = "trainer.n_gpus_per_node", "sinternal.guard.n_gpus", "sinternal.guard.replicas"
OF_REPLICA = "sinternal.guard.num_gpus"
MODE, ROLLOUT = "trainer.v1.trainer_mode", "actor_rollout_ref.rollout"
PREFIX = "sinternal."
"""The names of our resolvers begin with it."""


def rollout_gpus(root: DictConfig) -> int:
    """GPUs of each node that only generate; verl's ``separate_async`` trainers have such GPUs."""
    if not str(OmegaConf.select(root, MODE)).endswith("separate_async"):
        return 0
    held = _number(root, f"{ROLLOUT}.nnodes", 0) * _number(root, f"{ROLLOUT}.n_gpus_per_node", 0)
    return math.ceil(held / _nodes(root))


def training_gpus(*, _root_: DictConfig) -> int:
    """GPUs of each node that train: the most that the guard leaves and a step's rows divide by, at least 1."""
    nodes = _nodes(_root_)
    free = _node(_root_) - math.ceil(_guard_needs(_root_) / nodes)
    dividing = (gpus for gpus in range(free, 0, -1) if _divides(_root_, gpus * nodes))
    return next(dividing, max(free, 1))


def guard_gpus(*, _root_: DictConfig) -> int:
    """GPUs of all nodes that the guard takes: what its replicas need where their number is given, else all that
    training leaves."""
    if _given_number(_root_, REPLICAS) is not None:
        return _guard_needs(_root_)
    training = _given_number(_root_, TRAINING)
    training = training_gpus(_root_=_root_) if training is None else training
    return max(_node(_root_) - training, 0) * _nodes(_root_)


def guard_gpus_per_node(*, _root_: DictConfig) -> int:
    """The guard's GPUs of each node; a share that does not divide by the nodes is rounded up."""
    return math.ceil(_number(_root_, GUARD, 0) / _nodes(_root_))


def guard_replicas(*, _root_: DictConfig) -> int:
    """Number of replicas that fit the guard's GPUs."""
    each = _number(_root_, OF_REPLICA, 1)
    return 1 if each == 0 else int(room_for(_number(_root_, GUARD, 0), each, _nodes(_root_)))


def given(config: DictConfig, key: str) -> Any:
    """A value that a file or the command line gives; None where our resolvers derive it from other values."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent)
    raw = OmegaConf.to_container(node, resolve=False).get(name) if node is not None else None
    return None if isinstance(raw, str) and f"${{{PREFIX}" in raw and ":}" in raw else OmegaConf.select(config, key)


def gpus_for(replicas: int, each: float) -> int:
    """Number of GPUs that ``replicas`` replicas take, of ``each`` GPUs each; a GPU in part counts whole.

    >>> gpus_for(4, 0.3), gpus_for(3, 2), gpus_for(1, 0)
    (2, 6, 0)
    """
    return math.ceil(replicas / _on_one(each)) if 0 < each < 1 else math.ceil(replicas * each)


def room_for(gpus: int, each: float, nodes: int = 1) -> float:
    """How many replicas of ``each`` GPUs fit ``gpus`` GPUs. A part of a GPU comes from a single GPU, and the whole GPUs
    of one replica from a single node.

    >>> room_for(4, 0.3), room_for(6, 2), room_for(6, 2, nodes=2), room_for(0, 0)
    (12, 3, 2, inf)
    """
    if each == 0:
        return math.inf
    if each < 1:
        return gpus * _on_one(each)
    on_each, over = divmod(gpus, nodes)
    return nodes * int(on_each // each) + int(over // each)


def _on_one(each: float) -> int:
    """How many replicas of a part of a GPU one GPU holds. The addend keeps rounding errors from losing one."""
    return int(1 / each + 1e-9)


def _guard_needs(root: DictConfig) -> int:
    """GPUs of all nodes that the guard must have: the number given, or what its replicas need, by default one."""
    if (gpus := _given_number(root, GUARD)) is not None:
        return gpus
    each, replicas = _number(root, OF_REPLICA, 1), _given_number(root, REPLICAS)
    return gpus_for(1 if replicas is None else replicas, each)


def _node(root: DictConfig) -> int:
    gpus = OmegaConf.select(root, NODE)
    if not isinstance(gpus, int):
        raise ValueError(f"{NODE} = {gpus}: a hardware file must state the GPUs of a node, or {TRAINING} be given")
    return gpus - rollout_gpus(root)


def _nodes(root: DictConfig) -> int:
    return max(_number(root, NODES, 1), 1)


def _divides(root: DictConfig, processes: int) -> bool:
    """Whether a step's rows divide by the training processes, and these by the GPUs of a vLLM engine."""
    batch, samples = (OmegaConf.select(root, key) for key in ("data.train_batch_size", f"{ROLLOUT}.n"))
    if not (isinstance(batch, int) and isinstance(samples, int)):
        return True
    engine = _number(root, f"{ROLLOUT}.tensor_model_parallel_size", 1)
    return batch * samples % processes == 0 and (engine < 1 or processes % engine == 0)


def _given_number(root: DictConfig, key: str) -> Any:
    value = given(root, key)
    return value if isinstance(value, int | float) else None


def _number(root: DictConfig, key: str, default: float) -> Any:
    """The value; the default where it is no number. The checks report such a value, so resolving must not fail."""
    value = OmegaConf.select(root, key)
    return value if isinstance(value, int | float) else default
