"""What a run does without flash-attn: it still packs its rows, uses sdpa for attention and verl's fused kernels in
plain torch for log-probabilities, and takes fewer tokens at once.

flash-attn has no wheel for the versions of a GPU installation, so a run must not need it. Three values of the recipes
depend on whether it is installed; a user may set each:

``…model.override_config.attn_implementation``   `attention`
``…model.use_fused_kernels``                     `fused_kernels`
``…ppo_max_token_len_per_gpu`` and ``data.max_token_len_per_gpu``   `micro_batch_tokens`
"""

import importlib.metadata as metadata
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from omegaconf import DictConfig, OmegaConf

ROWS = (("data.max_prompt_length", "data.max_response_length"), ("data.max_length",))
"""Keys whose values add up to the tokens of a run's longest row, for verl's GRPO main and for its SFT main."""


_ASSUMED: ContextVar[bool | None] = ContextVar("flash-attn", default=None)


@contextmanager
def assuming(installed: bool | None) -> Iterator[None]:
    """Take flash-attn for installed or not, whatever is the case here; None looks. A plan is made on another machine
    than the run's."""
    token = _ASSUMED.set(installed)
    try:
        yield
    finally:
        _ASSUMED.reset(token)


def has_flash_attn() -> bool:
    """Whether flash-attn is installed. It is not imported, because that takes seconds. The distribution is looked up,
    because flash-attn-4 brings a package of the same name that transformers does not accept."""
    if (assumed := _ASSUMED.get()) is not None:
        return assumed
    try:
        metadata.version("flash-attn")
    except metadata.PackageNotFoundError:
        return False
    return True


def attention() -> str:
    """transformers' name of the attention that is available; with either, packed rows do not attend to one another."""
    return "flash_attention_2" if has_flash_attn() else "sdpa"


def fused_kernels() -> bool:
    """Whether to use verl's fused kernels in place of flash-attn's cross-entropy. With neither of them verl computes
    the log-probabilities of packed rows in Python, token by token, and keeps all logits.
    (verl 0.9.1, ``torch_functional``)
    """
    return not has_flash_attn()


def micro_batch_tokens(tokens: int, *, _root_: DictConfig) -> int:
    """Tokens of a micro-batch: ``tokens`` with flash-attn; half of them without it, but at least one row. sdpa computes
    every pair of tokens in a micro-batch, also of different rows, so its time and its mask grow with their square."""
    if has_flash_attn():
        return tokens
    main = ROWS[0] if "actor_rollout_ref" in _root_ else ROWS[1]
    row = [OmegaConf.select(_root_, key) for key in main]
    return max([tokens // 2, sum(row)] if all(isinstance(length, int) for length in row) else [tokens // 2])
