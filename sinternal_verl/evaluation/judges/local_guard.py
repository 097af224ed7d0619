"""A guard in this process, by vLLM, behind the interface of `sinternal_verl.guard.backend.Backend`.

vLLM's engine belongs to one event loop, and Inspect starts a new one for each evaluation. So the engine has a loop of
its own, in a thread of its own, and judgements travel between the two.
"""

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sinternal_verl.did_you_mean import did_you_mean
from sinternal_verl.guard.engine import EngineSettings, GuardEngine
from sinternal_verl.guard.errors import GuardUnavailable
from sinternal_verl.guard.judge import DECODE_TOKENS, Judge, Judgement, Mode, Refusal
from sinternal_verl.guard.template import GuardTemplate


def engine_settings(settings: Mapping[str, Any]) -> EngineSettings:
    """
    Raises:
        ValueError: there is no such setting of an engine.
    """
    known = [field.name for field in fields(EngineSettings)]
    for name in settings:
        if name not in known:
            raise ValueError(f"engine.{name}: no such setting{did_you_mean(name, known)}; there are {', '.join(known)}")
    return EngineSettings(**settings)


class LocalGuard:
    """See the module. It loads the model, which takes long: not in an event loop.

    Args:
        settings: the engine's.
        mode: see `sinternal_verl.guard.judge`.
        timeout_s: seconds that one judgement may take, once it has one of the engine's places.
    """

    def __init__(self, settings: EngineSettings, mode: Mode, timeout_s: float) -> None:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(settings.model)
        template = GuardTemplate(tokenizer, settings.max_model_len - DECODE_TOKENS)
        self._engine, self._timeout_s = GuardEngine(settings), timeout_s
        self._judge = Judge(template, tokenizer, self._engine, mode)
        self._loop = asyncio.new_event_loop()
        self._places = asyncio.Semaphore(settings.max_num_seqs)
        self._thread = threading.Thread(target=self._loop.run_forever, name="local-guard", daemon=True)
        self._thread.start()

    async def judge(self, user: str, assistant: str, refusal: Refusal = True) -> Judgement:
        """See `sinternal_verl.guard.backend.Backend.judge`."""
        asked = asyncio.run_coroutine_threadsafe(self._ask(user, assistant, refusal), self._loop)
        return await asyncio.wrap_future(asked)

    async def close(self) -> None:
        """End the engine; it answers nothing more."""
        await asyncio.to_thread(self._end)

    async def _ask(self, user: str, assistant: str, refusal: Refusal) -> Judgement:
        from vllm.v1.engine.exceptions import EngineDeadError

        async with self._places:
            try:
                return await asyncio.wait_for(self._judge.judge(user, assistant, refusal), self._timeout_s)
            except EngineDeadError as error:
                raise GuardUnavailable("the guard's engine has died") from error

    def _end(self) -> None:
        self._engine.shutdown()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
