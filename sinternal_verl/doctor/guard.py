"""Can the guard start or be reached where the configuration places it, and is its model a guard?"""

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sinternal_verl.config import get
from sinternal_verl.did_you_mean import did_you_mean_file
from sinternal_verl.doctor.hub import check_hub_id
from sinternal_verl.doctor.placement import words_for_guard
from sinternal_verl.doctor.pretrained import context_of, local_file, read_config, too_long
from sinternal_verl.doctor.problem import Finding, Note, Problem
from sinternal_verl.doctor.tokenizer import compare
from sinternal_verl.gpus import room_for


def check_guard(config: DictConfig) -> Iterator[Finding]:
    """Check ``sinternal.guard``; a run without a guard has nothing to check."""
    from sinternal_verl.guard.backend import BACKENDS

    backend = get(config, "sinternal.guard.backend")
    if backend is None:
        return
    if backend not in BACKENDS:
        yield Problem("sinternal.guard.backend", backend, "there is no such backend", f"choose {' or '.join(BACKENDS)}")
        return
    if not isinstance(OmegaConf.select(config, "sinternal.guard.engine"), DictConfig):
        return  # `settings` tells of it
    find = {"ray_actor": check_guards_cards, "openai_endpoint": _endpoint, "verl_router": _served_by_verl}[backend]
    yield from find(config)
    mode = get(config, "trainer.v1.trainer_mode", "")
    if backend != "openai_endpoint" and not str(mode).startswith("sinternal"):
        step = "trainer.v1.trainer_mode=sinternal, or guard=openai_endpoint"
        yield Problem("trainer.v1.trainer_mode", mode, f"only our trainers start guard={backend}", step)
    yield from _template(config)


def check_guards_cards(config: DictConfig) -> Iterator[Problem]:
    """Check whether the replicas of ``guard=ray_actor`` fit the cards that the guard holds."""
    from sinternal_verl.guard.engine import EngineSettings
    from sinternal_verl.guard.replica import guard_settings

    node = OmegaConf.to_container(config.sinternal.guard, resolve=True)
    # `settings` tells of keys that an engine does not have.
    node["engine"] = {key: node["engine"][key] for key in EngineSettings.__dataclass_fields__ if key in node["engine"]}
    try:
        settings = guard_settings(node)
    except (TypeError, KeyError) as error:
        yield Problem("sinternal.guard", node, str(error), "correct the key")
        return
    share = settings.engine.gpu_memory_utilization
    if 0 < settings.num_gpus < share:
        reason = f"a replica has {settings.num_gpus:g} of a GPU and would take {share:g} of its memory"
        yield Problem("sinternal.guard.engine.gpu_memory_utilization", share, reason, f"at most {settings.num_gpus:g}")
    whole = max(settings.num_gpus, 1)
    if settings.num_gpus and settings.engine.tensor_parallel_size > whole:
        reason = f"a replica has {settings.num_gpus:g} GPUs"
        key = "sinternal.guard.engine.tensor_parallel_size"
        yield Problem(key, settings.engine.tensor_parallel_size, reason, "lower it, or raise sinternal.guard.num_gpus")
    if whole % 1:
        reason = "Ray gives whole GPUs, or a part of one"
        yield Problem("sinternal.guard.num_gpus", settings.num_gpus, reason, f"{math.ceil(settings.num_gpus)}")
        return
    held_back = get(config, "sinternal.guard.n_gpus", 0)
    if settings.replicas < 1:
        reason = "the guard has no replica: training leaves it too few GPUs"
        yield Problem("sinternal.guard.replicas", settings.replicas, reason, words_for_guard(config))
    elif settings.replicas > (room := room_for(held_back, settings.num_gpus, get(config, "trainer.nnodes", 1))):
        reason = f"{settings.replicas} x {settings.num_gpus:g} GPUs, but the guard holds {held_back}, room for {room}"
        step = "lower sinternal.guard.replicas or num_gpus, or raise sinternal.guard.n_gpus"
        yield Problem("sinternal.guard.replicas", settings.replicas, reason, step)


def _endpoint(config: DictConfig) -> Iterator[Finding]:
    from sinternal_verl.guard.errors import EndpointFault

    key, url = "sinternal.guard.url", get(config, "sinternal.guard.url")
    if url is None:
        yield Problem(key, "null", "this value has no default", f"add {key}=http://host:port/v1")
        return
    guard = OmegaConf.to_container(config.sinternal.guard, resolve=True)
    if (model := guard["engine"]["model"]) is None:
        return
    judges = bool(local_file(model, "tokenizer_config.json"))
    try:
        asyncio.run(_probe(guard, judges))
    except EndpointFault as fault:
        waits = guard.get("start_timeout_s") or 0
        if not fault.later or not waits:
            value = "null" if fault.value is None else fault.value
            yield Problem(fault.key, value, fault.reason, fault.next_step)
            return
        step = f"start the server: the run waits for it for {waits:g} s before its first rollout"
        yield Note(fault.key, fault.value, fault.reason, step)
    else:
        if not judges:
            reason = "its tokenizer is not on this machine, so the server was asked for no verdict"
            yield Note("sinternal.guard.engine.model", model, reason, "the run asks for one before its first rollout")


async def _probe(guard: dict[str, Any], judges: bool) -> None:
    """Ask the server for its models and, where the guard's tokenizer is here, for a verdict.

    Raises:
        EndpointFault: see `sinternal_verl.guard.probe`.
    """
    from sinternal_verl.guard.endpoint import EndpointClient
    from sinternal_verl.guard.probe import check_models, check_verdict

    await check_models(guard)
    if not judges:
        return
    try:
        client = EndpointClient.from_config(guard)
    except (OSError, ValueError):
        return  # `_judges` says what is wrong with the tokenizer
    try:
        await check_verdict(client, guard)
    finally:
        await client.close()


def _served_by_verl(config: DictConfig) -> Iterator[Problem]:
    """Check the settings of verl's servers: asleep or without a GPU they would hang without a message."""
    served = "reward.reward_model"
    wanted = {
        f"{served}.enable": True,
        f"{served}.enable_resource_pool": True,
        f"{served}.rollout.free_cache_engine": False,
    }
    for key, value in wanted.items():
        if get(config, key) != value:
            step = f"leave it to the recipe: {str(value).lower()}"
            yield Problem(key, get(config, key), "guard=verl_router would answer nothing", step)
    held_back = get(config, "sinternal.guard.n_gpus", 0)
    if held_back < 1:
        reason = "verl's reward-model servers need whole GPUs of their own (logical ones on a CPU)"
        yield Problem("sinternal.guard.n_gpus", held_back, reason, words_for_guard(config))
    elif held_back % (nodes := get(config, "trainer.nnodes", 1)):
        reason = f"verl's reward-model servers need the same number of GPUs on each of the {nodes} nodes"
        yield Problem("sinternal.guard.n_gpus", held_back, reason, "leave it out, or choose a multiple of the nodes")
    elif held_back % (size := get(config, f"{served}.rollout.tensor_model_parallel_size", 1)):
        reason = f"{held_back} GPUs are no multiple of it"
        yield Problem(f"{served}.rollout.tensor_model_parallel_size", size, reason, "choose a divisor")


def _template(config: DictConfig) -> Iterator[Finding]:
    """Check template, labels and context of a guard that is on this machine; another is checked when it loads."""
    key, model = "sinternal.guard.engine.model", get(config, "sinternal.guard.engine.model")
    if model is None:
        yield Problem(key, "null", "this value has no default", f"add {key}=Qwen/Qwen3Guard-Gen-8B or a folder")
        return
    folder = Path(model).expanduser()
    if folder.is_absolute() and not folder.is_dir():
        yield Problem(key, model, f"no such folder{did_you_mean_file(model)}", "give a folder that exists, or a hub id")
    elif not folder.is_dir() and local_file(model, "config.json") is None:
        yield from check_hub_id(key, model)
    if (file := local_file(model, "tokenizer_config.json")) or folder.is_dir():
        yield from compare(key, model)
        yield from _fits(config, model)
        yield from _judges(config, model, file.parent if file else folder)


def _fits(config: DictConfig, model: str) -> Iterator[Finding]:
    key, length = "sinternal.guard.engine.max_model_len", get(config, "sinternal.guard.engine.max_model_len")
    found = read_config(model)
    context = context_of(found) if found else None
    step = f"{key}={context}, and longer conversations are cut and counted"
    if reason := too_long(length, context):
        if get(config, "sinternal.guard.backend") == "openai_endpoint":
            reason = f"longer than the model's context of {context}: a server of it refuses longer conversations"
            yield Note(key, length, reason, step)
        else:
            yield Problem(key, length, reason, step)


def _judges(config: DictConfig, model: str, folder: Path) -> Iterator[Finding]:
    from transformers import AutoTokenizer

    from sinternal_verl.guard.judge import DECODE_TOKENS, Judge
    from sinternal_verl.guard.template import GuardTemplate

    guard = config.sinternal.guard
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        template = GuardTemplate(tokenizer, guard.engine.max_model_len - DECODE_TOKENS)
        Judge(template, tokenizer, generate=None, mode=guard.mode)
    except (OSError, ValueError) as error:
        step = "give a Qwen3Guard-Gen model with its tokenizer, and a mode that it can serve"
        yield Problem("sinternal.guard.engine.model", model, str(error), step)
        return
    prompt, response = (get(config, f"data.max_{part}_length", 0) for part in ("prompt", "response"))
    needed = prompt + response + template.overhead + DECODE_TOKENS
    if guard.engine.max_model_len < needed:
        key = "sinternal.guard.engine.max_model_len"
        reason = (
            f"prompt {prompt} + response {response} + the guard's template {template.overhead} + its answer "
            f"{DECODE_TOKENS} = {needed} tokens: longer conversations are cut, and the guard judges the rest"
        )
        step = f"{key}={needed} where the guard's context allows it, or shorten data.max_response_length"
        yield Note(key, guard.engine.max_model_len, reason, step)
