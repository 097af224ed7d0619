"""What a run does without flash-attn: it packs its rows all the same, attends by sdpa, takes log-probabilities by
verl's fused kernels of plain torch, and fewer tokens at once.

flash-attn has no wheel for the versions of a GPU installation, so a run must not need it. Three values of the recipes
follow from whether it is installed, and a user may set each:

``…model.override_config.attn_implementation``   `attention`
``…model.use_fused_kernels``                     `fused_kernels`
``…ppo_max_token_len_per_gpu`` and ``data.max_token_len_per_gpu``   `micro_batch_tokens`
"""

import importlib.metadata as metadata

from omegaconf import DictConfig, OmegaConf

ROWS = (("data.max_prompt_length", "data.max_response_length"), ("data.max_length",))
"""Keys whose values add up to a run's longest row: of verl's GRPO main, and of its SFT main."""


def has_flash_attn() -> bool:
    """Whether it is installed; it is not imported, which takes seconds. The distribution is asked for: flash-attn-4
    brings a package of the same name that transformers does not take for it."""
    try:
        metadata.version("flash-attn")
    except metadata.PackageNotFoundError:
        return False
    return True


def attention() -> str:
    """transformers' name of the attention that can be had; with either, packed rows do not see one another."""
    return "flash_attention_2" if has_flash_attn() else "sdpa"


def fused_kernels() -> bool:
    """Whether verl's fused kernels take the place of flash-attn's cross-entropy. Without either verl takes the
    log-probabilities of packed rows token by token in Python, and keeps all logits. (verl 0.9.1, ``torch_functional``)
    """
    return not has_flash_attn()


def micro_batch_tokens(tokens: int, *, _root_: DictConfig) -> int:
    """``tokens`` with flash-attn; half of them without it, and one row at least: sdpa looks at each pair of tokens of a
    micro-batch, those of two rows too, so that its time and its mask grow with the square of the tokens."""
    if has_flash_attn():
        return tokens
    main = ROWS[0] if "actor_rollout_ref" in _root_ else ROWS[1]
    row = [OmegaConf.select(_root_, key) for key in main]
    return max([tokens // 2, sum(row)] if all(isinstance(length, int) for length in row) else [tokens // 2])
