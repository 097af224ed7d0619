"""Can the attention that is asked for be had? verl takes flash-attn, and misses it only when the actor loads."""

import importlib.util
from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf

from sinternal_verl.doctor.problem import Finding, Note, Problem, get, is_ppo, model_key, trains_with_fsdp

VERL_TAKES = "flash_attention_2"
"""Where ``override_config`` has no ``attn_implementation``; null leaves the choice to transformers, which takes sdpa.
(verl 0.9.1, ``HFModelConfig``)"""

PACKAGES = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_interface"}
"""What must be installed for each, else a kernel from the hub by way of ``KERNELS``. (transformers 5.9.0 and 5.10.4)"""

SDPA, KERNELS = "sdpa", "kernels"
INSTALL = "pip install --no-build-isolation flash-attn==2.8.3"


def check_attention(config: DictConfig) -> Iterator[Finding]:
    """flash-attn of either main's FSDP engine on an accelerator, and packed rows where there is none."""
    if not trains_with_fsdp(config):
        return
    model = model_key(config)
    key = f"{model}.override_config.attn_implementation"
    wanted = wanted_attention(config)
    package = PACKAGES.get(wanted)
    if package and not _is_installed(package) and not _is_installed(KERNELS):
        reason = f"{package} is not installed: the run would end when the actor loads"
        install = f"{INSTALL}, or " if wanted == VERL_TAKES else ""
        step = f"{install}leave the choice to the recipe, which takes sdpa then: {key}=sdpa"
        yield Problem(key, wanted, reason, step)
    elif wanted == SDPA and not _is_installed(PACKAGES[VERL_TAKES]):
        reason = f"flash-attn is not installed: rows are packed for sdpa, {_tokens(config)} tokens at a time"
        yield Note(key, wanted, reason, f"nothing; faster with {INSTALL}")
    dynamic = "actor_rollout_ref.actor.use_dynamic_bsz" if is_ppo(config) else "data.use_dynamic_bsz"
    if get(config, dynamic, False) and not get(config, f"{model}.use_remove_padding", False):
        reason = "a micro-batch is cut by real tokens and then padded to its longest row: many times the memory"
        step = f"{model}.use_remove_padding=true, with sdpa too"
        yield Note(f"{model}.use_remove_padding", "false", reason, step)


def wanted_attention(config: DictConfig) -> str | None:
    """What verl asks transformers for; None leaves it the choice."""
    return OmegaConf.select(config, f"{model_key(config)}.override_config.attn_implementation", default=VERL_TAKES)


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _tokens(config: DictConfig) -> int:
    on_ppo = "actor_rollout_ref.actor.ppo_max_token_len_per_gpu"
    return get(config, on_ppo if is_ppo(config) else "data.max_token_len_per_gpu", 0)
