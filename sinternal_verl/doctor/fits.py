"""Does the run fit the cards, and does what it offloads fit the host? Compares `memory`'s figures with this machine."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from sinternal_verl.config import engine_key, get, is_ppo, model_key, strategy_key, trains_with_fsdp
from sinternal_verl.doctor.machine import cards_here, host_gb
from sinternal_verl.doctor.memory import BYTES, GB, HALF, Line, ModelSize, Training, engine_line, size_of, table
from sinternal_verl.doctor.pretrained import local_file, read_config
from sinternal_verl.doctor.problem import Finding, Note, Problem
from sinternal_verl.doctor.resources import existing_cluster

CARD_KEY = "sinternal.hardware.gpu_memory_gb"
CARD_GB = 80.0
"""Memory of the cards that the hardware files are for."""

ROLLOUT = "actor_rollout_ref.rollout"


SizeOf = Callable[[str, int, object, bool], ModelSize | None]
"""Called with a model's path or hub id, LoRA's rank, its targets, and whether to trust the model's own code."""


class CannotReckon(ValueError):
    """transformers cannot build the model, or its memory cannot be calculated."""


def size_here(path: str, lora_rank: int = 0, targets: object = None, trust: bool = False) -> ModelSize | None:
    """A model's size, by its configuration on this machine; None where that is not here.

    Raises:
        CannotReckon: transformers cannot build the model.
    """
    file = None if "://" in path else local_file(path, "config.json")
    return None if file is None else _counted(str(file), file.stat().st_mtime_ns, lora_rank, targets, trust)


@dataclass(frozen=True)
class Needs:
    """What a run needs.

    Attributes:
        card: GB of memory of one card.
        source: where ``card`` comes from, in words.
        lines: what training, the rollout engine and the guard take of a card.
        training: how the run trains.
        resident: GB that training keeps on a card while the rollout engine is awake.
        host: GB that training keeps in the host memory of each node.
    """

    card: float
    source: str
    lines: list[Line]
    training: Training
    resident: float
    host: float


def reckon(
    config: DictConfig,
    card: tuple[float, str] | None = None,
    processes: tuple[int, int] | None = None,
    size_of_model: SizeOf = size_here,
) -> Needs | None:
    """Calculate what a run needs; None on a CPU, with another engine than FSDP, or where the model is not here.

    Args:
        card: GB of a card, and where that comes from; by default see `card_gb`.
        processes: training processes of the run and of one node; by default see `_processes`.
        size_of_model: finds the sizes of models.

    Raises:
        CannotReckon: transformers cannot build the model.
    """
    size = policy_size(config, size_of_model) if trains_with_fsdp(config) else None
    if size is None:
        return None
    training = Training.of(config, *(processes or _processes(config)))
    card, source = card or card_gb(config)
    lines, resident, host = [training.line(size)], training.resident(size), training.host(size)
    if is_ppo(config):
        lines.append(_engine("rollout", config, ROLLOUT, size, card))
        lines += _guard(config, card, size_of_model)
        if not get(config, f"{ROLLOUT}.free_cache_engine", True):
            resident = lines[0].total  # the engine is awake while the weights are updated
        host += _reference(config, training, size)
    return Needs(card, source, lines, training, resident, host)


def policy_size(config: DictConfig, size_of_model: SizeOf = size_here) -> ModelSize | None:
    """The size of the model that learns; None where it is not given or not here.

    Raises:
        CannotReckon: transformers cannot build the model.
    """
    model = model_key(config)
    path = get(config, f"{model}.hf_config_path") or get(config, f"{model}.path")
    if not path:
        return None
    targets = get(config, f"{model}.target_modules")
    targets = tuple(targets) if OmegaConf.is_list(targets) else targets
    trust = bool(get(config, f"{model}.trust_remote_code"))
    return size_of_model(path, get(config, f"{model}.lora_rank", 0), targets, trust)


def _processes(config: DictConfig) -> tuple[int, int]:
    """Number of training processes of the run and of one node: torchrun's, or outside it the configuration's."""
    of_node = get(config, "trainer.n_gpus_per_node", 1)
    of_run = of_node * get(config, "trainer.nnodes", 1)
    if is_ppo(config):
        return of_run, of_node
    return int(os.environ.get("WORLD_SIZE", of_run)), int(os.environ.get("LOCAL_WORLD_SIZE", of_node))


def _reference(config: DictConfig, training: Training, size: ModelSize) -> float:
    """GB of each node's host memory for the frozen model of a KL term. With LoRA the actor holds it already."""
    asked = get(config, "actor_rollout_ref.actor.use_kl_loss") or get(config, "algorithm.use_kl_in_reward")
    if not asked or size.trainable < size.total:
        return 0.0
    weight = BYTES.get(get(config, "actor_rollout_ref.ref.fsdp_config.model_dtype", "fp32"), 4)
    return weight * size.total * training.share_of_node / GB


def memory_table(config: DictConfig) -> str | None:
    """What a run needs, as text; None where it cannot be calculated."""
    try:
        needs = reckon(config)
    except CannotReckon:
        return None
    if needs is None:
        return None
    lines = [f"sinternal_verl: memory as reckoned, of cards of {needs.card:.0f} GB ({needs.source})"]
    lines += table(needs.lines)
    if needs.host:
        lines.append(f"host memory of each node for what is offloaded: {needs.host:.0f} GB, {host_gb():.0f} are here")
    return "\n".join(lines)


def check_memory(config: DictConfig) -> Iterator[Finding]:
    """Weights and optimizer that do not fit are a problem; a calculated peak that does not fit is only a note."""
    try:
        needs = reckon(config)
    except CannotReckon as error:
        key = f"{model_key(config)}.path"
        yield Note(
            key, get(config, key), f"its memory cannot be reckoned: {error}", "see whether transformers loads it"
        )
        return
    if needs is None:
        return
    found = [*findings_of(config, needs), *_host(config, needs)]
    doubts = list(_doubts(config))
    for finding in found:
        if doubts and isinstance(finding, Problem):
            reason = f"{finding.reason}; this may be too much, for {', and '.join(doubts)}"
            finding = Note(finding.key, finding.value, reason, finding.next_step)
        yield finding


def findings_of(config: DictConfig, needs: Needs) -> Iterator[Finding]:
    """What does not fit the cards."""
    training, *engines = needs.lines
    yield from _training(config, needs, training)
    for line in engines:
        yield from _awake(config, needs, line)


def _doubts(config: DictConfig) -> Iterator[str]:
    """Reasons why the calculated figures may be too high, so that they must not refuse a run."""
    if is_ppo(config):
        if existing_cluster(config) is not None:
            yield f"the cluster's cards are not looked at: {CARD_KEY} says their memory"
        engines = (ROLLOUT, _guard_engine(config))
        if any(get(config, f"{engine}.quantization") for engine in engines) or _is_quantized(config):
            yield "weights of an engine are quantized"
        if get(config, f"{ROLLOUT}.expert_parallel_size", 1) > 1:
            yield "experts are shared out among cards"
    elif "WORLD_SIZE" not in os.environ:
        yield "torchrun shares it out among its processes"
    optim = "actor_rollout_ref.actor.optim" if is_ppo(config) else "optim"
    known = get(config, f"{optim}.optimizer", "AdamW") in ("Adam", "AdamW")
    if not known or get(config, f"{optim}.optimizer_impl", "torch.optim") != "torch.optim":
        yield "the optimizer is taken for Adam"


def _is_quantized(config: DictConfig) -> bool:
    models = (get(config, f"{model_key(config)}.path"), get(config, "sinternal.guard.engine.model"))
    found = (read_config(model) for model in models if model and "://" not in model)
    return any(getattr(each, "quantization_config", None) for each in found if each is not None)


def _training(config: DictConfig, needs: Needs, line: Line) -> Iterator[Finding]:
    model, engine = model_key(config), engine_key(config)
    lora = get(config, f"{model}.lora_rank", 0) > 0
    fixed = line.parts["weights"] + line.parts["optimizer"]
    smaller = f"{engine}.offload_policy=true {strategy_key(config)}=fsdp2"
    if lora:
        smaller = f"{engine}.model_dtype=bf16, which is enough for the base of LoRA"
    if fixed > needs.card:
        reason = f"weights and optimizer take {fixed:.0f} GB of each card, which has {needs.card:.0f} ({needs.source})"
        more = "more GPUs" if is_ppo(config) else "more GPUs (in doctor trainer.n_gpus_per_node says how many)"
        yield Problem(f"{model}.path", get(config, f"{model}.path"), reason, f"{smaller}, or {more}")
    elif line.total > needs.card:
        parts = ", ".join(f"{name} {part:.0f}" for name, part in line.parts.items())
        reason = f"training is reckoned at {line.total:.0f} GB of {needs.card:.0f} ({needs.source}): {parts}"
        steps = [smaller] if fixed > needs.card / 4 and (needs.training.weight > HALF or not lora) else []
        tokens = "actor_rollout_ref.actor.ppo_max_token_len_per_gpu" if is_ppo(config) else "data.max_token_len_per_gpu"
        steps.append(f"lower {tokens} ({needs.training.tokens})")
        yield Note(f"{model}.path", get(config, f"{model}.path"), reason, ", or ".join(steps))


def _host(config: DictConfig, needs: Needs) -> Iterator[Finding]:
    if not needs.host or (is_ppo(config) and existing_cluster(config) is not None):
        return
    engine, names = engine_key(config), ("offload_policy", "param_offload", "optimizer_offload")
    name = next((name for name in names if get(config, f"{engine}.{name}")), names[0])
    if needs.host > (here := host_gb()):
        reason = f"what is offloaded takes {needs.host:.0f} GB of host memory, and this machine has {here:.0f}"
        lora = get(config, f"{model_key(config)}.lora_rank", 0) > 0
        smaller = f"{engine}.model_dtype=bf16" if lora else "LoRA or a smaller model"
        yield Problem(f"{engine}.{name}", "true", reason, f"more host memory, {smaller}, or false with more GPUs")


def _awake(config: DictConfig, needs: Needs, line: Line) -> Iterator[Finding]:
    """Check that a vLLM engine fits its share of a card, beside what training keeps there."""
    guard = line.role == "guard"
    node = _guard_engine(config) if guard else ROLLOUT
    key, share, weights = f"{node}.gpu_memory_utilization", _share(config, node), line.parts["weights"]
    room, length = share * needs.card, get(config, f"{node}.max_model_len") or 0
    bigger = "raise it, or the engine's tensor_parallel_size"
    if weights > room:
        reason = f"its weights take {weights:.0f} GB of each card, and its share is {room:.0f} of {needs.card:.0f}"
        yield Problem(key, share, reason, bigger)
    elif line.tokens < length:
        left = f"of {room:.0f} GB its weights take {weights:.0f}, which leaves room for {line.tokens} tokens"
        reason = f"{left}: one text may have {length}"
        yield Note(key, share, reason, f"{bigger}, or lower {node}.max_model_len")
    elif not guard and needs.resident + room > needs.card:
        reason = f"training has {needs.resident:.0f} GB of {needs.card:.0f}, and vLLM would take {room:.0f} beside it"
        step = f"lower it, or {engine_key(config)}.optimizer_offload=true; vLLM sleeps meanwhile with free_cache_engine"
        yield Note(key, share, reason, step)


def _engine(role: str, config: DictConfig, node: str, size: ModelSize, card: float) -> Line:
    tensor = get(config, f"{node}.tensor_model_parallel_size") or get(config, f"{node}.tensor_parallel_size", 1)
    weight = BYTES.get(get(config, f"{node}.dtype", "auto"), HALF)
    return engine_line(role, size, _share(config, node) * card, tensor, weight)


def _share(config: DictConfig, node: str) -> float:
    return get(config, f"{node}.gpu_memory_utilization", 0.9)  # vLLM's own default


def _guard_engine(config: DictConfig) -> str:
    return "reward.reward_model.rollout" if _backend(config) == "verl_router" else "sinternal.guard.engine"


def _backend(config: DictConfig) -> str | None:
    return get(config, "sinternal.guard.backend")


def _guard(config: DictConfig, card: float, size_of_model: SizeOf) -> Iterator[Line]:
    """A guard that takes cards of this run, if its model is on this machine."""
    model = get(config, "sinternal.guard.engine.model")
    on_cards = _backend(config) == "verl_router" or (
        _backend(config) == "ray_actor" and get(config, "sinternal.guard.num_gpus", 0) > 0
    )
    if model and on_cards and (size := size_of_model(model, 0, None, False)) is not None:
        yield _engine("guard", config, _guard_engine(config), size, card)


@lru_cache(maxsize=16)
def _counted(file: str, changed: int, lora_rank: int, targets: object, trust: bool) -> ModelSize | None:
    config = read_config(str(Path(file).parent), trust)
    try:
        return None if config is None else size_of(config, lora_rank, targets, trust)
    # Whatever an architecture's code raises: a run is not refused because its memory cannot be calculated.
    except Exception as error:
        # transformers goes on with all the models that it knows.
        said = next(iter(str(error).splitlines()), "")
        raise CannotReckon(f"{type(error).__name__}: {said}") from error


def card_gb(config: DictConfig) -> tuple[float, str]:
    """A card's memory in GB, and where that comes from: this machine's smallest card, else the hardware file."""
    if not (is_ppo(config) and existing_cluster(config) is not None) and (cards := cards_here()):
        smallest = min(cards, key=lambda card: card[1])
        return smallest[1], f"this machine's {smallest[0]}"
    return float(get(config, CARD_KEY, CARD_GB)), "the hardware file's"
