"""The guard as Ray actors: N replicas, each with an engine of its own.

The trainer starts them, waits for them for a bounded time, and owns them: they end with its job. Reward
workers only look them up by name (`sinternal_verl.guard.client`). Ray restarts a replica that dies. A
replica whose engine died ends itself, so that Ray restarts it, too.
"""

import asyncio
import concurrent.futures
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import ray

from sinternal_verl.guard.engine import EngineSettings, GuardEngine
from sinternal_verl.guard.errors import GuardUnavailable
from sinternal_verl.guard.gauges import WindowGauges
from sinternal_verl.guard.judge import DECODE_TOKENS, Generated, Judge, Judgement, Mode, Refusal
from sinternal_verl.guard.mailbox import Answers
from sinternal_verl.guard.template import GuardTemplate
from sinternal_verl.guard.throughput import measure
from sinternal_verl.guard.window import Window

logger = logging.getLogger(__name__)

NAME = "sinternal_guard_{}"
MAX_RESTARTS = 100
"""How often one replica is restarted in a run."""

RESTART_PAUSE_S = 10.0
"""Pause between two tries to restart a replica."""

WARM_UP_CONVERSATIONS = 8
"""How many conversations a replica judges before it is ready."""

ENGINE_DIED = "the engine of this guard replica has died: Ray starts the replica again"

END_TIMEOUT_S = 30.0
"""How long to wait until the names of ended replicas are free."""


@dataclass(frozen=True)
class GuardSettings:
    """``sinternal.guard`` of the configuration, as far as replicas need it.

    Attributes:
        engine: settings of each replica's engine.
        mode: how a verdict is read, ``first_token`` or ``decode`` (`sinternal_verl.guard.judge`).
        replicas: number of replicas.
        num_gpus: GPUs of one replica. With a fraction several replicas share a GPU that the trainer does not
            hold; with 0 they run on the CPU.
        num_cpus: logical CPUs of one replica.
        max_queue: requests a replica holds, admitted and waiting ones, before it refuses more.
        request_timeout_s: seconds that one request may take after it was admitted.
        start_timeout_s: how long to wait until all replicas are ready.
        require_verdict: whether a replica must give a verdict to be ready; False is for a guard of random weights.
    """

    engine: EngineSettings
    mode: Mode = "first_token"
    replicas: int = 1
    num_gpus: float = 1.0
    num_cpus: float = 1.0
    max_queue: int = 4096
    request_timeout_s: float = 60.0
    start_timeout_s: float = 900.0
    require_verdict: bool = True


class GuardReplica(Answers):
    """One replica; a Ray actor class, wrapped in `start_guard`."""

    def __init__(self, settings: GuardSettings) -> None:
        self._reconstructed = ray.get_runtime_context().was_current_actor_reconstructed
        self._gauges: asyncio.Task[None] | None = None
        _see_own_gpus_only()
        try:
            self._start(settings)
        except Exception:
            if not self._reconstructed:
                raise
            # Ray gives up an actor whose constructor raises, but restarts one that dies. By then the memory
            # that the last replica held may be free.
            logger.exception("this guard replica could not be started again; one more try in %g s", RESTART_PAUSE_S)
            time.sleep(RESTART_PAUSE_S)
            os._exit(1)

    def _start(self, settings: GuardSettings) -> None:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(settings.engine.model)
        template = GuardTemplate(tokenizer, settings.engine.max_model_len - DECODE_TOKENS)
        self._engine = GuardEngine(settings.engine)
        self._judge = Judge(template, tokenizer, self._engine, settings.mode)
        self._settings = settings
        # Twice the engine's batch: while it computes one, the next is ready.
        self._most = 2 * settings.engine.max_num_seqs
        self.window = Window(self._most, settings.max_queue, settings.request_timeout_s)
        self._per_second: float | None = None
        if self._reconstructed:
            logger.error("this guard replica replaces one that died")

    async def ready(self) -> int:
        """Judge some conversations, because the first batch may take seconds to compile; return the process id.

        Raises:
            GuardUnavailable: none of them has a verdict.
        """
        if self._gauges is None:
            name = ray.get_runtime_context().get_actor_name() or ""
            self._gauges = asyncio.create_task(WindowGauges(self.window, name).keep())
        judgements = await asyncio.gather(
            *(self._judge.judge(f"Hello {number}?", "Hello!") for number in range(WARM_UP_CONVERSATIONS))
        )
        if self._settings.require_verdict and not any(judgement.verdict for judgement in judgements):
            raise GuardUnavailable(
                f"sinternal.guard.engine.model = {self._settings.engine.model}: this model is no guard: it gives none "
                f"of {len(judgements)} harmless conversations a verdict ({judgements[0].reason}); give a "
                "Qwen3Guard-Gen model, or sinternal.guard.require_verdict=false to measure with random weights"
            )
        if self._per_second is None:
            self._per_second = await measure(self._judge.judge, self._most)
        return os.getpid()

    async def verdicts_per_second(self) -> float | None:
        """What `ready` measured; None before it."""
        return self._per_second

    async def judge(self, user: str, assistant: str, refusal: Refusal = True) -> Judgement:
        """See `Judge.judge`."""
        return await self._watched(self._judge.judge(user, assistant, refusal))

    async def generate(self, ids: list[int], tokens: int) -> Generated:
        """Continue token ids as they are, for `sinternal_verl.guard.http`.

        Raises:
            ValueError: the engine does not take so many tokens.
        """
        return await self._watched(self._engine(ids, tokens))

    async def works(self) -> None:
        """Return when the engine works; the caller has the time limit. See `GuardEngine.works`."""
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            await self._engine.works()
        except EngineDeadError:
            logger.exception(ENGINE_DIED)
            os._exit(1)

    async def _watched(self, request: Coroutine[Any, Any, Any]) -> Any:
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            return await request
        except EngineDeadError:
            logger.exception(ENGINE_DIED)
            os._exit(1)


def start_guard(
    settings: GuardSettings, say_up: Callable[[str], None] = lambda replica: None
) -> list[ray.actor.ActorHandle]:
    """Start the replicas as named actors of this job and wait until all answer.

    Args:
        say_up: called for each replica that answers, with a name such as ``guard replica 1 of 2``.

    Raises:
        GuardUnavailable: a replica failed, or did not answer within ``start_timeout_s``; all are ended then.
    """
    # More concurrent calls than the queue holds, so that a call beyond the queue is refused instead of waiting.
    actor = ray.remote(max_restarts=MAX_RESTARTS, max_concurrency=settings.max_queue + 16)(GuardReplica)
    options = {"num_gpus": settings.num_gpus, "num_cpus": settings.num_cpus}
    replicas: list[ray.actor.ActorHandle] = []
    started, calls = time.monotonic(), []
    try:
        for number in range(settings.replicas):
            replicas.append(actor.options(name=NAME.format(number), **options).remote(settings))
            calls.append(replicas[-1].ready.remote())
            if 0 < settings.num_gpus < 1:
                # One after another: an engine that measures its memory would count that of a starting neighbour.
                ray.get(calls[-1], timeout=max(started + settings.start_timeout_s - time.monotonic(), 0.1))
        while calls:
            up, calls = ray.wait(calls, timeout=max(started + settings.start_timeout_s - time.monotonic(), 0.1))
            if not up:
                raise TimeoutError(f"{len(calls)} did not answer")
            ray.get(up)
            say_up(f"guard replica {settings.replicas - len(calls)} of {settings.replicas}")
    except (ray.exceptions.RayError, TimeoutError) as error:
        waited = time.monotonic() - started
        end_guard(replicas)
        if isinstance(cause := getattr(error, "cause", None), GuardUnavailable):
            raise cause from None  # without the lines of the replica's traceback
        raise GuardUnavailable(
            f"{settings.replicas} guard replicas of {settings.engine.model} were not ready after {waited:.0f} s "
            f"(sinternal.guard.start_timeout_s={settings.start_timeout_s:g}, each needs {settings.num_gpus:g} GPUs "
            f"and {settings.num_cpus:g} CPUs that no other actor holds): {error}"
        ) from error
    return replicas


class StartingGuard:
    """`start_guard` in a thread of its own: the caller starts its other parts meanwhile."""

    def __init__(self, settings: GuardSettings, say_up: Callable[[str], None] = lambda replica: None) -> None:
        self._replicas: concurrent.futures.Future[list[ray.actor.ActorHandle]] = concurrent.futures.Future()
        self._limit_s = settings.start_timeout_s + 2 * END_TIMEOUT_S
        # A daemon thread does not keep alive a caller that fails meanwhile.
        threading.Thread(target=self._start, args=(settings, say_up), name="sinternal-guard", daemon=True).start()

    def _start(self, settings: GuardSettings, say_up: Callable[[str], None]) -> None:
        try:
            self._replicas.set_result(start_guard(settings, say_up))
        except BaseException as error:
            # Logged at once, because the caller may still wait long for another part; `wait` raises it.
            logger.error("the guard did not start: %s", error)
            self._replicas.set_exception(error)

    def wait(self) -> list[ray.actor.ActorHandle]:
        """Wait until all replicas answer, and return them.

        Raises:
            GuardUnavailable: see `start_guard`; also where the thread does not end within its bound.
        """
        try:
            return self._replicas.result(self._limit_s)
        except concurrent.futures.TimeoutError as error:
            raise GuardUnavailable(f"the guard's start did not come back within {self._limit_s:g} s") from error


def end_guard(replicas: list[ray.actor.ActorHandle]) -> None:
    """End all replicas and wait, for at most `END_TIMEOUT_S`, until Ray has freed their names for others."""
    for replica in replicas:
        ray.kill(replica)
    deadline = time.monotonic() + END_TIMEOUT_S
    for number in range(len(replicas)):
        while _exists(NAME.format(number)) and time.monotonic() < deadline:
            time.sleep(0.1)


def _exists(name: str) -> bool:
    try:
        ray.get_actor(name)
    except ValueError:
        return False
    return True


def _see_own_gpus_only() -> None:
    """Set CUDA_VISIBLE_DEVICES where Ray is told not to: vLLM would take the first GPU that it sees."""
    if os.environ.get("RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"):
        gpus = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        if gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)


def guard_settings(guard: Mapping[str, Any]) -> GuardSettings:
    """The `GuardSettings` of a ``sinternal.guard`` node.

    Raises:
        TypeError: ``engine`` has a key that does not exist.
    """
    known = {name: guard[name] for name in GuardSettings.__dataclass_fields__ if name in guard and name != "engine"}
    return GuardSettings(engine=EngineSettings(**guard["engine"]), **known)
