"""vLLM's async engine as the model behind a `Judge`: all requests meet in its continuous batching."""

from dataclasses import asdict, dataclass
from functools import partial
from itertools import count

from sinternal_verl.guard.judge import TOP, Generated


@dataclass(frozen=True)
class EngineSettings:
    """What a guard engine needs to know.

    Attributes:
        model: Hugging Face folder or hub id.
        max_model_len: context in tokens; Qwen3Guard-Gen's is 32,768.
        gpu_memory_utilization: share of its GPU.
        tensor_parallel_size: GPUs of one replica.
        max_num_seqs: requests in one batch.
        enable_prefix_caching: the rollouts of a prompt share the policy text and the prompt.
        block_size: tokens that the prefix cache keeps together; None is vLLM's own choice.
        enforce_eager: no CUDA graphs (CPU).
        dtype, seed: as vLLM's.
    """

    model: str
    max_model_len: int = 32768
    gpu_memory_utilization: float = 0.9
    tensor_parallel_size: int = 1
    max_num_seqs: int = 256
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

        # Without a word in between: each would wake this process once a token and request.
        self._params = partial(SamplingParams, temperature=0.0, output_kind=RequestOutputKind.FINAL_ONLY)
        self._longest = settings.max_model_len
        self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**asdict(settings), disable_log_stats=True))
        self._tokenizer, self._numbers = self._engine.get_tokenizer(), count()

    async def __call__(self, ids: list[int], tokens: int) -> Generated:
        from vllm.exceptions import VLLMClientError

        if len(ids) + tokens > self._longest:
            raise ValueError(f"{len(ids)} tokens and {tokens} to come are more than max_model_len={self._longest}")
        # Of a single token the alternatives are wanted, too, but as ids: vLLM would spell out each, which takes
        # this process longer than all else.
        alternatives = {"logprobs": TOP, "detokenize": False} if tokens == 1 else {}
        params = self._params(max_tokens=tokens, **alternatives)
        last = None
        try:
            async for output in self._engine.generate({"prompt_token_ids": ids}, params, str(next(self._numbers))):
                last = output
        except VLLMClientError as error:  # no ValueError of Python's
            raise ValueError(str(error)) from error
        written = last.outputs[0]
        first = {id: word.logprob for id, word in written.logprobs[0].items()} if written.logprobs else {}
        new = list(written.token_ids)
        text = self._tokenizer.decode(new, skip_special_tokens=True) if tokens == 1 else written.text
        return Generated(new, text, first)

    def shutdown(self) -> None:
        """End the engine's processes."""
        self._engine.shutdown()
