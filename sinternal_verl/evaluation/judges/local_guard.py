"""A guard in this process, by vLLM, behind the interface of `sinternal_verl.guard.backend.Backend`.

vLLM's engine belongs to one event loop, and Inspect starts a new one for each evaluation. So the engine has a loop of
its own, in a thread of its own, and judgements travel between the two. All judges of one process with the same
settings share one engine, because two would not fit into the memory of most machines. It ends with the process, or by
`end_local_guards`.
"""

import asyncio
import atexit
import threading
from collections.abc import Mapping
from typing import Any, get_type_hints

from sinternal_verl.evaluation.judges.settings import problems
from sinternal_verl.guard.engine import EngineSettings, GuardEngine
from sinternal_verl.guard.errors import GuardUnavailable
from sinternal_verl.guard.judge import DECODE_TOKENS, Judge, Judgement, Mode, Refusal
from sinternal_verl.guard.template import GuardTemplate

END_S = 10.0
"""How long the end of an engine's thread is waited for."""

CANCEL_S = 0.1
"""How long vLLM's tasks have to end after they were cancelled."""


def engine_settings(settings: Mapping[str, Any]) -> EngineSettings:
    """
    Raises:
        ValueError: there is no such setting of an engine, or it cannot have this value.
    """
    if wrong := problems(get_type_hints(EngineSettings), settings):
        raise ValueError("\n".join(f"engine: {what}" for what in wrong))
    return EngineSettings(**settings)


class LocalGuard:
    """A judge of the process's guard of these settings. The first one loads it, which takes long: not in an event loop.

    Args:
        settings: the engine's.
        mode: see `sinternal_verl.guard.judge`.
        timeout_s: seconds that one judgement may take, once it has one of the engine's places.
    """

    def __init__(self, settings: EngineSettings, mode: Mode, timeout_s: float) -> None:
        with _starting:
            if settings not in _running:
                _running[settings] = _Host(settings)
        self._host, self._timeout_s = _running[settings], timeout_s
        self._judge = Judge(self._host.template, self._host.tokenizer, self._host.engine, mode)

    async def judge(self, user: str, assistant: str, refusal: Refusal = True) -> Judgement:
        """See `sinternal_verl.guard.backend.Backend.judge`."""
        asked = asyncio.run_coroutine_threadsafe(self._ask(user, assistant, refusal), self._host.loop)
        return await asyncio.wrap_future(asked)

    async def close(self) -> None:
        """Do nothing: another judge may ask the same engine."""

    async def _ask(self, user: str, assistant: str, refusal: Refusal) -> Judgement:
        from vllm.v1.engine.exceptions import EngineDeadError

        async with self._host.places:
            try:
                return await asyncio.wait_for(self._judge.judge(user, assistant, refusal), self._timeout_s)
            except EngineDeadError as error:
                raise GuardUnavailable("the guard's engine has died") from error


class _Host:
    """An engine, and the event loop that it lives in."""

    def __init__(self, settings: EngineSettings) -> None:
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(settings.model)
        self.template = GuardTemplate(self.tokenizer, settings.max_model_len - DECODE_TOKENS)
        self.engine = GuardEngine(settings)
        self.loop, self.places = asyncio.new_event_loop(), asyncio.Semaphore(settings.max_num_seqs)
        self._thread = threading.Thread(target=self.loop.run_forever, name="local-guard", daemon=True)
        self._thread.start()

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self._end)
        self._thread.join(END_S)

    def _end(self) -> None:
        # In the loop's own thread: else vLLM's task there sees the engine's end before it is cancelled, and logs it.
        self.engine.shutdown()
        self.loop.call_later(CANCEL_S, self.loop.stop)


_running: dict[EngineSettings, _Host] = {}
_starting = threading.Lock()


@atexit.register
def end_local_guards() -> None:
    """End all engines; they answer nothing more."""
    # One that still starts when the process ends is vLLM's to end.
    if _starting.acquire(timeout=END_S):
        try:
            while _running:
                _running.popitem()[1].end()
        finally:
            _starting.release()
