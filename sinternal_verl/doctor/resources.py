"""Are there enough GPUs, with the guard's share? Here, or on the Ray cluster the run will join."""

import os
from collections.abc import Iterator

from omegaconf import DictConfig, ListConfig

from sinternal_verl.doctor.problem import Problem, get, is_ppo

RAY_INIT = "ray_kwargs.ray_init"

PATHS = (
    "trainer.default_local_dir",
    "actor_rollout_ref.model.path",
    "data.train_files",
    "data.val_files",
    "reward.custom_reward_function.path",
    "reward.reward_manager.module.path",
    "sinternal.guard.engine.model",
)
"""What workers on other nodes open by themselves."""


def check_resources(config: DictConfig) -> Iterator[Problem]:
    """GPUs of one node for a local run; every node of an existing cluster for one that joins it."""
    if not is_ppo(config):
        yield from _torchrun(config)
        return
    address = existing_cluster(config)
    yield from _local(config) if address is None else _cluster(config, address)


def existing_cluster(config: DictConfig) -> str | None:
    """The address `ray.init` would join, by its own order of precedence; None for a cluster of one's own."""
    from ray._private.utils import read_ray_address

    address = get(config, f"{RAY_INIT}.address") or os.environ.get("RAY_ADDRESS") or read_ray_address()
    return None if address == "local" else address or None


def _torchrun(config: DictConfig) -> Iterator[Problem]:
    wanted, found = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), _devices_here()
    if get(config, "trainer.device", "cuda") != "cpu" and wanted > found:
        reason = f"torchrun starts {wanted} processes on this node, which has {found} GPUs"
        yield Problem("--nproc_per_node", wanted, reason, f"start with --nproc_per_node={found}")


def _devices_here() -> int:
    from verl.plugin.platform import get_platform

    platform = get_platform()
    return 0 if platform.device_name == "cpu" else platform.device_count()


def _local(config: DictConfig) -> Iterator[Problem]:
    nodes = get(config, "trainer.nnodes", 1)
    if nodes > 1:
        step = "start Ray on every node (ray start --head, ray start --address=...) and run on the head"
        yield Problem("trainer.nnodes", nodes, "there is no Ray cluster to join, and a local one has one node", step)
    if get(config, "trainer.device", "cuda") == "cpu":
        logical = get(config, f"{RAY_INIT}.num_gpus", 0)
        yield from _too_few(config, logical, f"{RAY_INIT}.num_gpus declares {logical} logical ones")
    else:
        found = get(config, f"{RAY_INIT}.num_gpus", _devices_here())
        yield from _too_few(config, found, f"this machine has {found}")


def _too_few(config: DictConfig, found: float, where: str) -> Iterator[Problem]:
    training, guard = get(config, "trainer.n_gpus_per_node", 0), get(config, "sinternal.guard.n_gpus", 0)
    if training + guard > found:
        reason = f"{training} GPUs a node for training and {guard} for the guard are needed, but {where}"
        yield Problem(
            "trainer.n_gpus_per_node",
            training,
            reason,
            "lower it, or sinternal.guard.n_gpus, or choose another hardware=",
        )


def _cluster(config: DictConfig, address: str) -> Iterator[Problem]:
    for name in ("num_cpus", "num_gpus"):
        value = get(config, f"{RAY_INIT}.{name}")
        if value is not None:
            reason = f"the run joins the Ray cluster at {address}, where ray.init refuses this"
            step = f"set {RAY_INIT}.{name}=null, or {RAY_INIT}.address=local for a cluster of its own"
            yield Problem(f"{RAY_INIT}.{name}", value, reason, step)
    scorers = get(config, "sinternal.scorers", {})
    for key in (*PATHS, *(f"sinternal.scorers.{name}.path" for name in scorers)):
        value = get(config, key, [])
        for path in map(str, value if isinstance(value, list | ListConfig) else [value]):
            # A hub id looks like a relative path, too: only one that exists here is taken for it.
            relative = not os.path.isabs(os.path.expanduser(path)) and "://" not in path
            if relative and (key == "trainer.default_local_dir" or os.path.exists(path)):
                reason = "a relative path means another place wherever a worker of the cluster runs"
                yield Problem(key, path, reason, "give an absolute path all nodes share")
    nodes = _free_gpus(address)
    if isinstance(nodes, Problem):
        yield nodes
        return
    per_node, wanted = get(config, "trainer.n_gpus_per_node", 0), get(config, "trainer.nnodes", 1)
    able = sum(free >= per_node for free in nodes)
    found = f"the cluster at {address} has {len(nodes)} nodes with {', '.join(f'{n:g}' for n in nodes)} GPUs"
    if able < wanted:
        reason = f"{wanted} nodes with {per_node} GPUs each are needed; {found}"
        yield Problem("trainer.nnodes", wanted, reason, "wait for the missing nodes to join, or lower it")
    guard = get(config, "sinternal.guard.n_gpus", 0)
    if able >= wanted and sum(nodes) - wanted * per_node < guard:
        reason = f"nothing is left for the guard beside {wanted} x {per_node} for training; {found}"
        yield Problem("sinternal.guard.n_gpus", guard, reason, "lower trainer.n_gpus_per_node or the guard's share")


def _free_gpus(address: str) -> list[float] | Problem:
    """GPUs of every living node, most first; asked of the cluster itself."""
    import ray

    try:
        ray.init(address=address, logging_level="ERROR", log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        # Ray 2.60: `ray start` turns tokens on where a token file exists, and clients must be told.
        step = "start it, export RAY_AUTH_MODE=token if it asks for a token, or set ray_kwargs.ray_init.address=local"
        return Problem(f"{RAY_INIT}.address", address, f"no Ray cluster answers there: {error}", step)
    try:
        return sorted((node["Resources"].get("GPU", 0.0) for node in ray.nodes() if node["Alive"]), reverse=True)
    finally:
        ray.shutdown()
