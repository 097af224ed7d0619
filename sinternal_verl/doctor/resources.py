"""Are there enough GPUs for training and for the guard, here or on the Ray cluster that the run will join?"""

import math
import os
from collections.abc import Iterable, Iterator, Sequence

from omegaconf import DictConfig, ListConfig

from sinternal_verl.config import get, is_ppo
from sinternal_verl.doctor.placement import hardware_of, words_for
from sinternal_verl.doctor.problem import Finding, Note, Problem
from sinternal_verl.gpus import GUARD, NODE, TRAINING, given, rollout_gpus

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
"""Keys of files and folders that workers on other nodes open themselves."""


def check_resources(config: DictConfig) -> Iterator[Finding]:
    """Check this machine's GPUs for a local run, or every node of an existing cluster for a run that joins it."""
    if not is_ppo(config):
        yield from _torchrun(config)
        return
    for key in (TRAINING, GUARD, NODE):
        if not isinstance(number := get(config, key, 0), int):
            yield Problem(key, number, "this is no number of GPUs", "give a whole number, or leave it out")
            return
    if (gpus := get(config, TRAINING, 0)) < 1:
        yield Problem(TRAINING, gpus, "nothing is left to train on", "give it at least 1")
        return
    address = existing_cluster(config)
    yield from _local(config) if address is None else _cluster(config, address)


def existing_cluster(config: DictConfig) -> str | None:
    """The address that `ray.init` would join, by Ray's own order of precedence; None where the run starts its own."""
    from ray._private.utils import read_ray_address

    address = get(config, f"{RAY_INIT}.address") or os.environ.get("RAY_ADDRESS") or read_ray_address()
    return None if address == "local" else address or None


def _torchrun(config: DictConfig) -> Iterator[Problem]:
    wanted, found = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), _devices_here()
    device = get(config, "trainer.device", "cuda")
    if device == "cpu" or wanted <= found:
        return
    if found == 0:
        step = "take +recipe=sinternal_sft_cpu, for small models"
        yield Problem("trainer.device", device, "this machine has no GPU that verl finds", step)
    else:
        reason = f"torchrun starts {wanted} processes on this node, which has {found} GPUs"
        yield Problem("--nproc_per_node", wanted, reason, f"start with --nproc_per_node={found}")


def _devices_here() -> int:
    from verl.plugin.platform import get_platform

    platform = get_platform()
    return 0 if platform.device_name == "cpu" else platform.device_count()


def _local(config: DictConfig) -> Iterator[Finding]:
    from ray._private.utils import get_num_cpus

    nodes = get(config, "trainer.nnodes", 1)
    if nodes > 1:
        step = "start Ray on every node (ray start --head, ray start --address=...) and run on the head"
        yield Problem("trainer.nnodes", nodes, "there is no Ray cluster to join, and a local one has one node", step)
        return
    if finding := _unlike_the_hardware(config):
        yield finding
        if isinstance(finding, Problem):
            return  # the same processes need the CPUs, so a second problem would repeat the first
    cpus = get(config, f"{RAY_INIT}.num_cpus", get_num_cpus(override_docker_cpu_warning=True))
    step = "declare more, they are logical; or lower transfer_queue.backend.SimpleStorage.num_data_storage_units"
    found = f"it would count {cpus:g} here"
    yield from _too_few_cpus(config, [cpus], [cpus], found, f"{RAY_INIT}.num_cpus", step)


def _unlike_the_hardware(config: DictConfig) -> Finding | None:
    """Too few GPUs are a problem; more GPUs than the hardware file states are a note."""
    training, guard = get(config, TRAINING, 0) + rollout_gpus(config), get(config, GUARD, 0)
    device, key = get(config, "trainer.device", "cuda"), f"{RAY_INIT}.num_gpus"
    found = get(config, key, 0 if device == "cpu" else _devices_here())
    if training + guard <= found:
        if device != "cpu" and (stated := get(config, NODE)) and stated < found:
            reason = f"this machine has {found:g}, and the others stay idle"
            return Note(NODE, stated, reason, f"choose another hardware=, or add {NODE}={found:g}")
        return None
    reason = (
        f"training needs {training} GPUs and the guard {guard}, but " if guard else f"it needs {training} GPUs, but "
    )
    if device == "cpu":
        reason += f"{key} declares {found} logical ones"
        return Problem(TRAINING, training, reason, f"set {key}={training + guard}, or lower {TRAINING} or {GUARD}")
    reason += f"this machine has {found or 'none'}"
    if found and training + guard > get(config, NODE, 0):
        # Together they are more than the hardware file states, so the user has set at least one of them.
        return Problem(TRAINING, training, reason, f"lower it or {GUARD}; either follows from the other if left out")
    if not found:
        return Problem("trainer.device", device, reason, words_for(config, found))
    if given(config, TRAINING) is None:
        return Problem("hardware", hardware_of(config), reason, words_for(config, found))
    return Problem(TRAINING, training, reason, f"leave it out, and {words_for(config, found)}")


def _too_few_cpus(
    config: DictConfig, able: Sequence[float], nodes: Sequence[float], found: str, key: str, step: str
) -> Iterator[Problem]:
    """Check the CPUs: verl's placement groups ask Ray for them, too, and wait for ever where there are too few.

    Args:
        able: number of CPUs of every node that has enough GPUs.
        nodes: number of CPUs of every node.
        found: how many CPUs there are, in words.
        key: the key that declares them.
        step: how to have more.
    """
    from verl.single_controller.ray.base import ResourcePoolManager

    wanted = get(config, "trainer.nnodes", 1)
    training = get(config, TRAINING, 0) * ResourcePoolManager.max_colocate_count
    guard = 0
    if get(config, "sinternal.guard.backend") == "ray_actor":
        guard = get(config, "sinternal.guard.replicas", 0) * get(config, "sinternal.guard.num_cpus", 1)
    # Each storage of TransferQueue takes a CPU, and so does its controller. They start before the training processes
    # and are spread over the nodes.
    backend = get(config, "transfer_queue.backend.storage_backend")
    storage = get(config, "transfer_queue.backend.SimpleStorage.num_data_storage_units", 0)
    storage = 1 + (storage if backend == "SimpleStorage" else 0)
    on_each = training + math.ceil(storage / len(nodes))
    needed = wanted * training + storage + guard
    if sum(cpus >= on_each for cpus in able) < wanted or sum(nodes) < needed:
        reason = (
            f"Ray would wait without end for {needed:g} CPUs: {training} on each of {wanted} nodes for the training "
            f"processes, {storage} for TransferQueue, {guard:g} for the guard; {found}"
        )
        yield Problem(key, None, reason, step)


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
            # A hub id looks like a relative path, too. It counts as a path only where it exists here.
            relative = not os.path.isabs(os.path.expanduser(path)) and "://" not in path
            if relative and (key == "trainer.default_local_dir" or os.path.exists(path)):
                reason = "a relative path means another place wherever a worker of the cluster runs"
                yield Problem(key, path, reason, "give an absolute path all nodes share")
    nodes = _nodes(address)
    if isinstance(nodes, Problem):
        yield nodes
        return
    per_node, wanted = get(config, TRAINING, 0), get(config, "trainer.nnodes", 1)
    able = [cpus for gpus, cpus in nodes if gpus >= per_node]
    found = f"the cluster at {address} has {len(nodes)} nodes with {_listed(gpus for gpus, _ in nodes)} GPUs"
    if len(able) < wanted:
        reason = f"{wanted} nodes with {per_node} GPUs each are needed; {found}"
        step = "wait for the missing nodes to join, or lower it"
        if len(nodes) >= wanted:
            step = f"wait for nodes with more GPUs to join, or {words_for(config, nodes[wanted - 1][0])}"
        yield Problem("trainer.nnodes", wanted, reason, step)
    elif sum(gpus for gpus, _ in nodes) - wanted * per_node < (guard := get(config, GUARD, 0)):
        reason = f"nothing is left for the guard beside {wanted} x {per_node} for training; {found}"
        step = f"state the GPUs of a node: {NODE}={nodes[wanted - 1][0]:g}, or lower {TRAINING} or {GUARD}"
        yield Problem(GUARD, guard, reason, step)
    else:
        cpus = [cpus for _, cpus in nodes]
        found = f"the cluster at {address} has {_listed(cpus)}"
        step = (
            "start it with more, they are logical: ray start --num-cpus=..., under Slurm --cpus-per-task or --exclusive"
        )
        yield from _too_few_cpus(config, able, cpus, found, f"{RAY_INIT}.address", step)


def _listed(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _nodes(address: str) -> list[tuple[float, float]] | Problem:
    """GPUs and CPUs of every living node, the node with most GPUs first; the cluster itself is asked."""
    import ray

    try:
        ray.init(address=address, logging_level="ERROR", log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        # Ray 2.60: `ray start` asks for a token where a token file exists, and clients must be told to send it.
        step = "start it, export RAY_AUTH_MODE=token if it asks for a token, or set ray_kwargs.ray_init.address=local"
        return Problem(f"{RAY_INIT}.address", address, f"no Ray cluster answers there: {error}", step)
    try:
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return sorted(((has.get("GPU", 0.0), has.get("CPU", 0.0)) for has in alive), reverse=True)
    finally:
        ray.shutdown()
