"""Seeded sampling: every request has a seed of its own, so that a run can be repeated and resumed.

verl samples without seeds, or (``full_determinism``) with one seed for all requests, which makes the
rollouts of a group identical. (verl 0.9.1)

vLLM is asked for the tokens alone (`tokens_only`).

The loop also accepts models whose architecture and chat template come from two families. verl chooses
the code that joins turns by the architecture. For a Qwen that code wants ``<|im_end|>``, which the
tokenizers of DeepSeek-R1-Distill-Qwen do not have. (verl 0.9.1, #7637; this can go with the release that
looks at the tokenizer.)
"""

import hashlib
import logging
from functools import cache
from typing import Any

from omegaconf import OmegaConf
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, register
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop
from verl.utils.tokenizer.continuous_token_wiring import create_continuous_token_builder

from sinternal_verl.training.tokens_only import tokens_only

logger = logging.getLogger(__name__)

DEEPSEEK_END, CHATML_END = "<｜end▁of▁sentence｜>", "<|im_end|>"  # noqa: RUF001
DEEPSEEK_TYPE = "deepseek_v3"
"""A ``model_type`` for which verl joins turns as DeepSeek's templates do."""


def request_seed(seed: int, index: Any, step: int, session: int) -> int:
    """The seed of one request, 0 to 2**31 - 1.

    >>> request_seed(1, index="7", step=3, session=0)
    1884253712
    >>> request_seed(1, index=7, step=3, session=0) == request_seed(1, index="7", step=3, session=0)
    True

    Args:
        seed: the run's seed.
        index: the row's ``extra_info.index``.
        step: the training step.
        session: number of the response within its group.
    """
    digest = hashlib.sha256(f"{seed}/{index}/{step}/{session}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


@cache
def template_model_type(tokenizer: Any, model_type: str | None) -> str | None:
    """The ``model_type`` whose chat template the tokenizer has.

    It is DeepSeek's, the model's own, or None (any) where verl cannot use the model's own. It decides how turns
    are joined. A prompt of one turn is rendered at once and does not depend on it."""
    known = tokenizer.get_vocab()
    if DEEPSEEK_END in known and CHATML_END not in known:
        return DEEPSEEK_TYPE
    try:
        create_continuous_token_builder(tokenizer, hf_model_type=model_type)
    except ValueError as error:
        logger.warning(
            "sinternal_verl: verl's code for %s does not fit this tokenizer, its general code renders the prompts: %s",
            model_type,
            error,
        )
        return None
    return model_type


@register("sinternal_single_turn")
class SeededSingleTurnAgentLoop(SingleTurnAgentLoop):
    """verl's single-turn loop; use: ``actor_rollout_ref.rollout.agent.default_agent_loop=sinternal_single_turn``."""

    def __init__(self, *args: Any, tokenizer: Any, hf_model_type: str | None = None, **kwargs: Any) -> None:
        # Vision models have prompt builders of their own.
        of_text = kwargs.get("processor") is None
        model_type = template_model_type(tokenizer, hf_model_type) if of_text else hf_model_type
        super().__init__(*args, tokenizer=tokenizer, hf_model_type=model_type, **kwargs)

    async def run(self, sampling_params: dict[str, Any], priority: int = 0, **kwargs) -> AgentLoopOutput:
        if self.config.trainer.v1.trainer_mode != "sync":
            # An interrupted response continues with the parameters it began with, so the same seed would draw
            # its first random numbers again. And verl waits for each request's first token before it interrupts
            # them, so every token must be reported.
            return await super().run(sampling_params, priority=priority, **kwargs)
        if self.config.actor_rollout_ref.rollout.name == "vllm":
            sampling_params = tokens_only(sampling_params)
        run_seed = OmegaConf.select(self.config, "sinternal.rollout.seed", default=0)
        if run_seed is None:
            return await super().run(sampling_params, priority=priority, **kwargs)
        seed = request_seed(run_seed, kwargs["index"], kwargs["global_steps"], kwargs["session_id"])
        return await super().run({**sampling_params, "seed": seed}, priority=priority, **kwargs)
