"""Is the model there, and do the prompt and response lengths fit it?"""

import re
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from sinternal_verl.config import get, is_ppo, sequence_parallel_size
from sinternal_verl.did_you_mean import did_you_mean_file
from sinternal_verl.doctor.pretrained import context_of, too_long
from sinternal_verl.doctor.problem import Problem

WEIGHTS = ("*.safetensors", "*.bin", "*.pt")


def check_model(config: DictConfig) -> Iterator[Problem]:
    """Check the model folder (or hub id) and the token lengths that depend on it."""
    key = "actor_rollout_ref.model" if is_ppo(config) else "model"
    path = get(config, f"{key}.path")
    if path is None:
        return
    if "://" in path:
        return  # verl copies it from there
    folder = Path(path).expanduser()
    if folder.is_dir():
        yield from _complete(config, key, folder)
    elif not re.fullmatch(r"([\w-][\w.-]*/)?[\w.-]+", path):
        yield Problem(
            f"{key}.path",
            path,
            f"there is no such folder{did_you_mean_file(path)}",
            "give an absolute path or a hub id (owner/name)",
        )
        return
    source = get(config, f"{key}.hf_config_path") or path
    context = _context(f"{key}.path", source, bool(get(config, f"{key}.trust_remote_code", False)))
    context = get(config, f"{key}.override_config.max_position_embeddings") or context
    if isinstance(context, Problem):
        yield context
        context = None
    yield from (_rollout_lengths if is_ppo(config) else _sft_lengths)(config, context)


def _complete(config: DictConfig, model: str, folder: Path) -> Iterator[Problem]:
    key, path = f"{model}.path", get(config, f"{model}.path")
    if not any(next(folder.glob(pattern), None) for pattern in WEIGHTS):
        yield Problem(key, path, "the folder holds no weights (*.safetensors or *.bin)", "point to a complete model")
    if get(config, f"{model}.tokenizer_path"):
        return
    template = get(config, f"{model}.custom_chat_template") or (folder / "chat_template.jinja").is_file()
    tokenizer = folder / "tokenizer_config.json"
    if not tokenizer.is_file():
        yield Problem(key, path, "the folder holds no tokenizer_config.json", "save the tokenizer next to the model")
    elif not template and "chat_template" not in tokenizer.read_text():
        step = "add chat_template.jinja to the folder or set model.custom_chat_template"
        yield Problem(key, path, "the tokenizer has no chat template, so no prompt can be rendered", step)


def _context(key: str, path: str, trust_remote_code: bool) -> int | Problem | None:
    """The model's context in tokens; None when its configuration does not say."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        first_line = str(error).splitlines()[0]
        return Problem(
            key, path, f"its configuration cannot be read: {first_line}", "check the path, or log in to the hub"
        )
    return context_of(config)


def _rollout_lengths(config: DictConfig, context: int | None) -> Iterator[Problem]:
    prompt, response = get(config, "data.max_prompt_length", 0), get(config, "data.max_response_length", 0)
    total, both = prompt + response, f"prompt {prompt} + response {response} = {prompt + response} tokens"
    shorter = "shorten data.max_prompt_length or data.max_response_length"
    if context is not None and total > context:
        yield Problem("data.max_response_length", response, f"{both}, but the model's context is {context}", shorter)
    rollout, actor = "actor_rollout_ref.rollout", "actor_rollout_ref.actor"
    length = get(config, f"{rollout}.max_model_len")
    if length is not None and total > length:
        yield Problem(f"{rollout}.max_model_len", length, f"too short for {both}", f"set it to at least {total}")
    changed = get(config, f"{rollout}.engine_kwargs.vllm.hf_overrides")
    if not changed and (reason := too_long(length, context)):
        yield Problem(f"{rollout}.max_model_len", length, reason, f"set it to at most {context}")
    packed = get(config, f"{actor}.ppo_max_token_len_per_gpu", 0) * sequence_parallel_size(config)
    if get(config, f"{actor}.use_dynamic_bsz", False) and packed < total:
        reason = f"a micro-batch cannot hold one sequence of {both}"
        yield Problem(f"{actor}.ppo_max_token_len_per_gpu", packed, reason, f"set it to at least {total}")


def _sft_lengths(config: DictConfig, context: int | None) -> Iterator[Problem]:
    length = get(config, "data.max_length", 0)
    if context is not None and length > context:
        step = f"set data.max_length to at most {context}"
        yield Problem("data.max_length", length, f"longer than the model's context of {context}", step)
    packed = get(config, "data.max_token_len_per_gpu", 0) * get(config, "engine.ulysses_sequence_parallel_size", 1)
    if get(config, "data.use_dynamic_bsz", False) and packed < length:
        reason = f"a micro-batch cannot hold one row of data.max_length={length}"
        yield Problem("data.max_token_len_per_gpu", packed, reason, f"set it to at least {length}")
