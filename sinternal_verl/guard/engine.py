"""vLLM's async engine as the model behind a `Judge`; its continuous batching serves all requests together."""

import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from typing import Any

from sinternal_verl.guard.judge import Generated
from sinternal_verl.platform.compat import spawn_engines_on_gpu, vllm_request_errors
from sinternal_verl.platform.orphans import no_orphans

TOP_LOGPROBS = 20
"""How many of the most probable tokens are asked for where no ids are given; vLLM's own limit."""

RECENT_S = 10.0
"""An engine that has answered within so many seconds works; a busy one need not be asked."""


@dataclass(frozen=True)
class EngineSettings:
    """Settings of a guard engine.

    Attributes:
        model: Hugging Face folder or hub id.
        max_model_len: context in tokens; Qwen3Guard-Gen's is 32,768.
        gpu_memory_utilization: share of its GPU's memory, 0 to 1.
        tensor_parallel_size: GPUs of one replica.
        max_num_seqs: requests in one batch.
        max_num_batched_tokens: prompt tokens that one step reads; None is vLLM's own choice.
        enable_prefix_caching: keep what prompts share: the guard's instructions, and a user's text whose
            answers are judged.
        block_size: tokens that the prefix cache keeps together; None is vLLM's own choice.
        enforce_eager: no CUDA graphs, as on a CPU.
        dtype, seed: as vLLM's.
    """

    model: str
    max_model_len: int = 32768
    gpu_memory_utilization: float = 0.9
    tensor_parallel_size: int = 1
    max_num_seqs: int = 256
    max_num_batched_tokens: int | None = None
    enable_prefix_caching: bool = True
    block_size: int | None = None
    enforce_eager: bool = False
    dtype: str = "auto"
    seed: int = 0


class GuardEngine:
    """Continues token ids greedily; see `sinternal_verl.guard.judge.Generate`."""

    def __init__(self, settings: EngineSettings) -> None:
        from vllm import SamplingParams
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.async_llm import AsyncLLM

        spawn_engines_on_gpu()
        self._request_errors = vllm_request_errors()
        # Only the final output: an output for every token of every request would wake this process each time.
        self._params = partial(SamplingParams, temperature=0.0, output_kind=RequestOutputKind.FINAL_ONLY)
        self._longest = settings.max_model_len
        with no_orphans():
            self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**asdict(settings), disable_log_stats=True))
        self._tokenizer, self._numbers = self._engine.get_tokenizer(), count()
        self._answered = float("-inf")

    async def __call__(self, ids: list[int], tokens: int, alternatives: Collection[int] | None = None) -> Generated:
        """
        Args:
            ids: the prompt.
            tokens: at most so many new tokens.
            alternatives: ids whose log-probabilities as first token are wanted; None asks for those of the most
                probable tokens, if ``tokens`` is 1.

        Raises:
            ValueError: the request is too long, or vLLM rejects it.
        """
        if len(ids) + tokens > self._longest:
            raise ValueError(f"{len(ids)} tokens and {tokens} to come are more than max_model_len={self._longest}")
        wanted: dict[str, Any] = {}
        if alternatives:
            wanted["logprob_token_ids"] = list(alternatives)
        elif alternatives is None and tokens == 1:
            wanted["logprobs"] = TOP_LOGPROBS
        # No text of single tokens: vLLM would decode each alternative, which takes longer than all else here.
        params = self._params(max_tokens=tokens, detokenize=tokens > 1, **wanted)
        last = None
        try:
            async for output in self._engine.generate({"prompt_token_ids": ids}, params, str(next(self._numbers))):
                last = output
        except self._request_errors as error:
            raise ValueError(str(error)) from error
        self._answered = time.monotonic()
        written = last.outputs[0]
        words = (written.logprobs[0] if written.logprobs else None) or {}
        first = {id: word.logprob for id, word in words.items()}
        new = list(written.token_ids)
        text = self._tokenizer.decode(new, skip_special_tokens=True) if tokens == 1 else written.text
        return Generated(new, text, first)

    async def works(self) -> None:
        """Return when the engine works: it has answered within `RECENT_S`, or continues a token now.

        Raises:
            vllm.v1.engine.exceptions.EngineDeadError: its process has died.
        """
        await self._engine.check_health()
        if time.monotonic() - self._answered > RECENT_S:
            await self([0], 1)

    def shutdown(self) -> None:
        """End the engine's processes."""
        self._engine.shutdown()
