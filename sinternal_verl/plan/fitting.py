"""A configuration that does not fit the cards: what is too large, and which change fits."""

from collections.abc import Callable, Iterator, Sequence

from omegaconf import DictConfig

from sinternal_verl.config import get, is_ppo
from sinternal_verl.doctor.batches import check_batches
from sinternal_verl.doctor.fits import ROLLOUT, findings_of
from sinternal_verl.doctor.guard import check_guards_cards
from sinternal_verl.doctor.problem import Finding
from sinternal_verl.gpus import NODES, TRAINING
from sinternal_verl.plan.setup import Setup

ACTOR = "actor_rollout_ref.actor"
MORE_NODES = (2, 4, 8, 16, 32)
MORE_CARDS = (2, 4, 8)


def misfits(setup: Setup) -> list[Finding]:
    """What does not fit; nothing on a CPU."""
    return list(findings_of(setup.config, setup.needs)) if setup.needs else []


def refusals(config: DictConfig) -> list[Finding]:
    """Why the run would not start, whatever machine it is on: batches or engines that do not divide by the cards, or a
    guard without cards."""
    found = [*check_batches(config)]
    if is_ppo(config) and get(config, "sinternal.guard.backend") == "ray_actor":
        found += check_guards_cards(config)
    return found


def change_that_fits(setup: Setup, set_up_with: Callable[[Sequence[str]], Setup]) -> str | None:
    """The first of a few changes with which everything fits, as words for the command line; None where none does.

    Args:
        set_up_with: makes the setup with more overrides.
    """
    for words in _changes(setup.config):
        changed = set_up_with(words)
        if not misfits(changed):
            host = f", with {changed.needs.host:.0f} GB of host memory on each node" if changed.needs.host else ""
            return " ".join(words) + host
    return None


def _changes(config: DictConfig) -> Iterator[list[str]]:
    if is_ppo(config):
        engine, strategy = f"{ACTOR}.fsdp_config", f"{ACTOR}.strategy"
        key, row = (
            f"{ACTOR}.ppo_max_token_len_per_gpu",
            sum(int(get(config, f"data.max_{part}_length", 0)) for part in ("prompt", "response")),
        )
    else:
        engine, strategy = "engine", "engine.strategy"
        key, row = "data.max_token_len_per_gpu", int(get(config, "data.max_length", 0))
    shorter = [f"{key}={row}"] if row and int(get(config, key, 0)) > row else []
    offloaded = [f"{engine}.offload_policy=true", f"{strategy}=fsdp2"]
    half = [f"{engine}.model_dtype=bf16"] if _lora(config) else []
    engines = []
    if is_ppo(config):
        engines = [[f"{ROLLOUT}.gpu_memory_utilization={share}"] for share in (0.7, 0.8, 0.9)]
        engines += [[f"{ROLLOUT}.tensor_model_parallel_size={cards}"] for cards in (2, 4)]
    for words in (shorter, half, offloaded, [*shorter, *offloaded], [*shorter, *half], *engines):
        if words:
            yield words
    for number in MORE_CARDS if not is_ppo(config) else MORE_NODES:
        yield [f"{NODES if is_ppo(config) else TRAINING}={number}"]
    for words in engines:
        yield [*shorter, *offloaded, *words]


def _lora(config: DictConfig) -> bool:
    return get(config, f"{'actor_rollout_ref.model' if is_ppo(config) else 'model'}.lora_rank", 0) > 0
