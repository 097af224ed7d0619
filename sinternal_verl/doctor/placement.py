"""Which GPUs of a node train, which are the guard's and which are idle; and what to type on another machine."""

from collections.abc import Iterator

from omegaconf import DictConfig

from sinternal_verl.config import get, is_ppo
from sinternal_verl.doctor.problem import Note
from sinternal_verl.gpus import GUARD, NODE, NODES, REPLICAS, TRAINING, given, rollout_gpus

BATCH, SAMPLES = "data.train_batch_size", "actor_rollout_ref.rollout.n"
ENGINE = "actor_rollout_ref.rollout.tensor_model_parallel_size"
ELSEWHERE = "guard=openai_endpoint sinternal.guard.url=http://host:port/v1"


def hardware_of(config: DictConfig) -> str:
    """The name of the hardware file; ``custom`` where the file gives none."""
    return get(config, "sinternal.hardware.name", "custom")


def placement_table(config: DictConfig) -> str:
    """The GPUs of each node as a table. It is empty for the SFT main, whose GPUs torchrun decides, and where a number
    of GPUs is not a whole number."""
    if not is_ppo(config) or get(config, NODE) is None:
        return ""
    node, nodes, training, guard = (get(config, key, 0) for key in (NODE, NODES, TRAINING, GUARD))
    if not all(isinstance(number, int) for number in (node, nodes, training, guard)) or nodes < 1:
        return ""
    engine, backend = get(config, ENGINE, 1), get(config, "sinternal.guard.backend", "none")
    turns = f"{training / engine:g} x vLLM on {engine}, in turn with training"
    chosen = f"hardware={hardware_of(config)} guard={backend} trainer.nnodes={nodes}"
    if _on_cpu(config):
        replicas = get(config, REPLICAS, 0) if backend == "ray_actor" else 0
        what, rows = "processes", [("train", training, turns), ("guard", replicas / nodes, _guard(config))]
    else:
        what, rows = "GPUs", [("train", training, turns), ("guard", guard / nodes, _guard(config))]
        if alone := rollout_gpus(config):
            rows.append(("roll", alone, "vLLM all the time"))
        rows.append(("idle", max(node - training - alone - guard / nodes, 0), f"of {node}"))
    lines = [f"  {part:<5} {number:>3g}  {says}" for part, number, says in rows]
    return "\n".join([f"sinternal_verl: {what} of each node, {chosen}", *lines])


def _guard(config: DictConfig) -> str:
    backend = get(config, "sinternal.guard.backend")
    if backend == "ray_actor":
        each, replicas = get(config, "sinternal.guard.num_gpus", 1), get(config, REPLICAS, 0)
        return f"{replicas} x vLLM on {each:g}, in all" if each else f"{replicas} x vLLM on the CPU"
    if backend == "openai_endpoint":
        return f"asked at {get(config, 'sinternal.guard.url', 'an address that is not given yet')}"
    return "verl's own servers" if backend == "verl_router" else "math alone"


def check_placement(config: DictConfig) -> Iterator[Note]:
    """Yield a note where GPUs of the hardware file neither train nor belong to the guard."""
    node, nodes, training, guard = (get(config, key, 0) for key in (NODE, NODES, TRAINING, GUARD))
    free = node - rollout_gpus(config) - -(-guard // max(nodes, 1))
    if _on_cpu(config) or not 0 < training < free:
        return
    reason = f"{free - training:g} of them are idle on each node: {training} train, and the guard holds {guard} in all"
    yield Note(NODE, node, reason, " or ".join(_uses(config, free, nodes)))


def _uses(config: DictConfig, free: int, nodes: int) -> Iterator[str]:
    if given(config, TRAINING) is not None:
        yield f"leave {TRAINING} out, and training takes what a step's rows divide by,"
    elif get(config, "sinternal.guard.backend") in ("ray_actor", "verl_router"):
        key = GUARD if given(config, GUARD) is not None else REPLICAS
        yield f"leave {key} out, and the guard takes them,"
    batch, samples, engine = (get(config, key, 1) for key in (BATCH, SAMPLES, ENGINE))
    fits = (prompts for prompts in range(batch, 0, -1) if prompts * samples % (free * nodes) == 0)
    if free * nodes % engine == 0 and (prompts := next(fits, None)):
        yield f"train on {free} with {BATCH}={prompts}"


def words_for(config: DictConfig, gpus: float) -> str:
    """What to add to the command on a machine with so many GPUs, where the hardware file does not fit it."""
    if gpus < 1:
        return (
            "start it where the GPUs are; or, for small models and with the CPU's versions (docs/cpu.md), add "
            "hardware=cpu guard=none, or take +recipe=sinternal_grpo_cpu"
        )
    if gpus >= 2:
        return f"add {NODE}={gpus:g}, or choose another hardware="
    size = hardware_of(config).rpartition("_")[2]
    one = f"hardware=1gpu_{size if size in ('7b', '8b', '14b') else '7b'}"
    if not get(config, GUARD, 0):
        return f"add {one}"
    return f"add {one} {ELSEWHERE}; with guard=none instead, it trains on math alone"


def words_for_guard(config: DictConfig) -> str:
    """What to add where no GPU is left for the guard."""
    if _on_cpu(config):
        return f"{GUARD}=1 ray_kwargs.ray_init.num_gpus=2 ray_kwargs.ray_init.num_cpus=24; or {ELSEWHERE}"
    if get(config, NODE, 0) > 1:
        changed = [key for key in (TRAINING, GUARD, REPLICAS) if given(config, key) is not None]
        way = f"leave {' and '.join(changed)} out" if changed else "lower sinternal.guard.num_gpus"
        return f"{way}, or {ELSEWHERE}"
    return f"{ELSEWHERE}; or guard=none for math alone"


def _on_cpu(config: DictConfig) -> bool:
    return get(config, "trainer.device", "cuda") == "cpu"
