"""A model that vLLM runs in this process."""

import asyncio
from itertools import count
from typing import Any

from sinternal_verl.data.turn import TurnEncoder
from sinternal_verl.platform.compat import spawn_engines_on_gpu, vllm_request_errors
from sinternal_verl.platform.orphans import no_orphans
from sinternal_verl.tokens import TextEncoder, whole_text
from sinternal_verl.verify.outcome import finish_of, shortened
from sinternal_verl.verify.store import Reply
from sinternal_verl.verify.writer import Cost, Messages, WriterFailed, WriterSettings, WriterUnusable, unbounded


class LocalWriter:
    """A model that vLLM runs in this process; it is loaded when this is made.

    Raises:
        WriterUnusable: vLLM does not know a parameter or does not start the model, or this has no chat template.
    """

    def __init__(self, settings: WriterSettings) -> None:
        from vllm import SamplingParams
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.platforms import current_platform
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.async_llm import AsyncLLM

        spawn_engines_on_gpu()
        self._request_errors = vllm_request_errors()
        try:
            # Special tokens are kept: for some models the tag that ends the thought is one.
            final = RequestOutputKind.FINAL_ONLY
            self._params = SamplingParams(**settings.request, skip_special_tokens=False, output_kind=final)
        except (TypeError, ValueError, *self._request_errors) as error:
            raise WriterUnusable(f"request={settings.request}: {error}; see vLLM's SamplingParams") from error
        self._longest, self._bound_s = settings.engine["max_model_len"], settings.timeout_s
        engine = settings.pinned_engine()
        if current_platform.is_cpu():
            # Where vLLM splits a prompt over two steps it rewinds the seeded generator, which fails on a CPU and
            # would end the engine. So prompts are not split, and a step must be able to read the longest one.
            engine.setdefault("enable_chunked_prefill", False)
            engine["max_num_batched_tokens"] = max(engine.get("max_num_batched_tokens") or 0, self._longest)
        args = AsyncEngineArgs(
            model=settings.model, max_num_seqs=settings.concurrency, disable_log_stats=True, **engine
        )
        try:
            with no_orphans():
                self._engine, self._numbers = AsyncLLM.from_engine_args(args), count()
        # Whatever keeps it from starting: no such model, too little memory, a parameter of another version.
        except (RuntimeError, ValueError, OSError, *self._request_errors) as error:
            raise WriterUnusable(f"vLLM did not start {settings.model}: {shortened(str(error))}") from error
        tokenizer = self._engine.get_tokenizer()
        try:
            self._header = TurnEncoder(tokenizer, **settings.template_values).header
        except ValueError as error:
            self._engine.shutdown()
            raise WriterUnusable(str(error)) from error
        self._encoder = TextEncoder(tokenizer, **settings.template_values)

    async def write(self, messages: Messages, seed: int | None, cost: Cost = unbounded) -> Reply:
        from vllm.v1.engine.exceptions import EngineDeadError

        ids = self._encoder.encode_prompt(messages)
        room = self._longest - len(ids)
        if room < 1:
            return Reply(f"{len(ids)} tokens, engine.max_model_len={self._longest}", finish="too_long")
        params = self._params.clone()
        params.seed, params.max_tokens = seed, min(params.max_tokens or room, room)
        try:
            return await asyncio.wait_for(self._generate(ids, params), self._bound_s)
        except asyncio.TimeoutError as error:
            cost(0, 0, True)
            what = f"no reply within timeout_s={self._bound_s:g}"
            raise WriterFailed("timeout", what, away=True, untold=True) from error
        except WriterFailed as error:
            cost(error.read, error.written, error.untold)
            raise
        except self._request_errors as error:
            return Reply(shortened(str(error)), finish="rejected")
        except EngineDeadError as error:
            raise WriterUnusable(f"vLLM's engine died: {error}; its own lines above say why") from error

    async def close(self) -> None:
        self._engine.shutdown()

    async def _generate(self, ids: list[int], params: Any) -> Reply:
        last = None
        async for output in self._engine.generate({"prompt_token_ids": ids}, params, str(next(self._numbers))):
            last = output
        written = last.outputs[0]
        thought, text = "", whole_text(written.text)
        if self._header is not None:
            # gpt-oss writes its thought into a channel of its own; a server takes it out of the text as well.
            thought, text = self._header.read(text)
        used = len(ids), len(written.token_ids)
        return Reply(text, thought, finish_of(written.finish_reason, used), *used)
