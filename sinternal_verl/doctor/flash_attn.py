"""Is flash-attn installed where it is asked for? verl asks for it by default, and fails only when the actor loads."""

import importlib.util
from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf

from sinternal_verl.attention import has_flash_attn
from sinternal_verl.config import get, is_ppo, model_key, trains_with_fsdp
from sinternal_verl.doctor.problem import Finding, Note, Problem
from sinternal_verl.doctor.resources import existing_cluster

VERL_TAKES = "flash_attention_2"
"""What verl asks for where ``override_config`` has no ``attn_implementation``. With null there, transformers chooses,
and takes sdpa. (verl 0.9.1, ``HFModelConfig``)"""

SDPA = "sdpa"

GRPO_TOKENS, SFT_TOKENS = "actor_rollout_ref.actor.ppo_max_token_len_per_gpu", "data.max_token_len_per_gpu"

KERNELS = "kernels"
"""Where this package is installed, transformers takes a kernel from the hub in place of flash-attn.
(transformers 5.9.0 and 5.10.4)"""

INSTALL = "pip install --no-build-isolation flash-attn==2.8.3"


def check_attention(config: DictConfig) -> Iterator[Finding]:
    """Check flash-attn for the FSDP engine of either main on an accelerator, and that micro-batches are packed."""
    if not trains_with_fsdp(config):
        return
    model = model_key(config)
    key = f"{model}.override_config.attn_implementation"
    wanted = wanted_attention(config)
    if wanted == VERL_TAKES and not has_flash_attn() and importlib.util.find_spec(KERNELS) is None:
        reason = "flash-attn is not installed: the run would end when the actor loads"
        step = f"{INSTALL}, or leave the choice to the recipe, which takes sdpa then: {key}=sdpa"
        elsewhere = is_ppo(config) and existing_cluster(config) is not None
        if elsewhere:
            reason = "flash-attn is not installed here, and must be on the cluster's nodes"
        yield (Note if elsewhere else Problem)(key, wanted, reason, step)
    dynamic = "actor_rollout_ref.actor.use_dynamic_bsz" if is_ppo(config) else "data.use_dynamic_bsz"
    if get(config, dynamic, False) and not get(config, f"{model}.use_remove_padding", False):
        reason = "micro-batches are filled by real tokens but padded to their longest row: many times the memory"
        step = f"{model}.use_remove_padding=true, with sdpa too"
        yield Note(f"{model}.use_remove_padding", "false", reason, step)


def attention_line(config: DictConfig) -> str | None:
    """A line for the log of a run on an accelerator without flash-attn; None where the run has or needs none."""
    if not trains_with_fsdp(config) or wanted_attention(config) != SDPA or has_flash_attn():
        return None
    tokens = get(config, GRPO_TOKENS if is_ppo(config) else SFT_TOKENS)
    return f"sinternal_verl: flash-attn is not installed: rows are packed for sdpa, {tokens} tokens at a time"


def wanted_attention(config: DictConfig) -> str | None:
    """The attention that verl asks transformers for; None leaves the choice to transformers."""
    return OmegaConf.select(config, f"{model_key(config)}.override_config.attn_implementation", default=VERL_TAKES)
