"""A guard whose engine is scripted: it gives a fixed number of verdicts per second, one after the other. Replica, Ray,
window, template and judge are real, and so are the reward workers' scorers."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import ray

from sinternal_verl.guard import replica as replica_module
from sinternal_verl.guard.engine import EngineSettings
from sinternal_verl.guard.judge import DECODE_TOKENS, Generated, Judge
from sinternal_verl.guard.replica import GuardReplica, GuardSettings, end_guard, start_guard
from sinternal_verl.guard.template import GuardTemplate
from sinternal_verl.guard.window import Window
from sinternal_verl.scoring.registry import Router, bind
from sinternal_verl.scoring.run import Scoring
from sinternal_verl.scoring.score import Sample, Score

LINES = "Safety: Safe\nCategories: None\nRefusal: No"


class ScriptedEngine:
    """Answers ``per_second`` requests a second in the order in which they come; none any more after `hang`."""

    def __init__(self, per_second: float) -> None:
        self._each_s, self._free_at, self._hangs = 1 / per_second, 0.0, False

    async def __call__(self, ids, tokens, alternatives=None) -> Generated:
        self._free_at = max(self._free_at, time.monotonic()) + self._each_s
        await asyncio.sleep(self._free_at - time.monotonic())
        while self._hangs:
            await asyncio.sleep(0.1)
        return Generated([], LINES)

    def hang(self) -> None:
        self._hangs = True


def scripted(per_second: float) -> type[GuardReplica]:
    """The class of a replica with such an engine."""

    class ScriptedReplica(GuardReplica):
        def _start(self, settings: GuardSettings) -> None:
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(settings.engine.model)
            template = GuardTemplate(tokenizer, settings.engine.max_model_len - DECODE_TOKENS)
            self._engine = ScriptedEngine(per_second)
            self._judge = Judge(template, tokenizer, self._engine, "decode")
            self._settings, self._per_second, self._most = settings, None, 2 * settings.engine.max_num_seqs
            self.window = Window(self._most, settings.max_queue, settings.request_timeout_s)

        async def _watched(self, request):
            return await request

        async def hang(self) -> None:
            self._engine.hang()

        async def pid(self) -> int:
            return os.getpid()

        async def width(self) -> int:
            return self.window.limit

    return ScriptedReplica


@contextmanager
def running(model: Path, per_second: float, replicas: int = 1, **settings) -> Iterator[list[ray.actor.ActorHandle]]:
    """Scripted replicas, started as the trainer starts its own; they end with the block."""
    # Workers cannot import this file by its name.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    engine = EngineSettings(str(model), max_model_len=1024)
    with mock.patch.object(replica_module, "GuardReplica", scripted(per_second)):
        made = start_guard(GuardSettings(engine, num_gpus=0, num_cpus=0, replicas=replicas, **settings))
    try:
        yield made
    finally:
        end_guard(made)


class Worker:
    """A reward worker, as far as scorers are concerned."""

    def __init__(self, replicas: int, request_timeout_s: float, score_timeout_s: float) -> None:
        guard = {"backend": "ray_actor", "replicas": replicas, "request_timeout_s": request_timeout_s}
        self._scoring = Scoring(Router([bind("safety", {"sources": ["safety/*"], "guard": guard})]), score_timeout_s)

    async def score(self, name: str, count: int) -> list[Score]:
        """Score ``count`` answers that are asked for at once."""
        ask = ({"role": "user", "content": f"{name}: may I?"},)
        samples = [Sample("safety/benign/x", f"</think>Yes, {n}.", "benign", ask) for n in range(count)]
        return await asyncio.gather(*map(self._scoring.score, samples))


def workers(count: int, *settings) -> list[ray.actor.ActorHandle]:
    """Reward workers of these settings of a `Worker`."""
    actor = ray.remote(num_cpus=0, max_concurrency=1000)(Worker)
    return [actor.remote(*settings) for _ in range(count)]
