"""The guard as Ray actors: N replicas, each with an engine of its own.

The trainer starts them, waits for them within a bound, and owns them: they end with its job. Reward
workers only look them up by name (`sinternal_verl.guard.client`). A replica that dies is started again
by Ray; one whose engine died ends itself, so that Ray sees it.
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
from sinternal_verl.guard.errors import GuardUnavailable, QueueFull
from sinternal_verl.guard.judge import DECODE_TOKENS, Generated, Judge, Judgement, Mode
from sinternal_verl.guard.mailbox import Answers
from sinternal_verl.guard.template import GuardTemplate

logger = logging.getLogger(__name__)

NAME = "sinternal_guard_{}"
MAX_RESTARTS = 100
"""Of one replica in a run."""

RESTART_PAUSE_S = 10.0
"""Between two tries to start a replica again."""

WARM_UP_CONVERSATIONS = 8
"""Conversations judged before a replica is ready."""

END_TIMEOUT_S = 30.0
"""Bound on the wait for ended replicas."""


@dataclass(frozen=True)
class GuardSettings:
    """``sinternal.guard`` of the configuration, as far as replicas need it.

    Attributes:
        engine: of each replica.
        mode: how verdicts are had (`sinternal_verl.guard.judge`).
        replicas: how many.
        num_gpus: GPUs of one replica; a fraction shares a GPU that the trainer does not hold, 0 is a CPU.
        num_cpus: logical CPUs of one replica.
        max_queue: requests a replica holds before it refuses more.
        start_timeout_s: bound on the wait for all replicas.
    """

    engine: EngineSettings
    mode: Mode = "first_token"
    replicas: int = 1
    num_gpus: float = 1.0
    num_cpus: float = 1.0
    max_queue: int = 4096
    start_timeout_s: float = 900.0


class GuardReplica(Answers):
    """One replica; a Ray actor class, wrapped in `start_guard`."""

    def __init__(self, settings: GuardSettings) -> None:
        self._reconstructed = ray.get_runtime_context().was_current_actor_reconstructed
        _see_own_gpus_only()
        try:
            self._start(settings)
        except Exception:
            if not self._reconstructed:
                raise
            # Ray gives up an actor whose constructor raises, and starts again one that dies: what the
            # last one held may be free by then.
            logger.exception("this guard replica could not be started again; one more try in %g s", RESTART_PAUSE_S)
            time.sleep(RESTART_PAUSE_S)
            os._exit(1)

    def _start(self, settings: GuardSettings) -> None:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(settings.engine.model)
        template = GuardTemplate(tokenizer, settings.engine.max_model_len - DECODE_TOKENS)
        self._engine = GuardEngine(settings.engine)
        self._judge = Judge(template, tokenizer, self._engine, settings.mode)
        self._max_queue, self._outstanding = settings.max_queue, 0
        if self._reconstructed:
            logger.error("this guard replica replaces one that died")

    async def ready(self) -> int:
        """The process id, once the engine has judged: its first batch may take seconds to compile."""
        await asyncio.gather(
            *(self._judge.judge(f"Hello {number}?", "Hello!") for number in range(WARM_UP_CONVERSATIONS))
        )
        return os.getpid()

    async def judge(self, user: str, assistant: str, refusal: bool = True) -> Judgement:
        """See `Judge.judge`.

        Raises:
            QueueFull: the replica holds ``max_queue`` requests.
        """
        return await self._bounded(self._judge.judge(user, assistant, refusal))

    async def generate(self, ids: list[int], tokens: int) -> Generated:
        """Continue token ids as they are, for `sinternal_verl.guard.http`.

        Raises:
            QueueFull: as above.
            ValueError: the engine does not take so many tokens.
        """
        return await self._bounded(self._engine(ids, tokens))

    async def _bounded(self, request: Coroutine[Any, Any, Any]) -> Any:
        from vllm.v1.engine.exceptions import EngineDeadError

        if self._outstanding >= self._max_queue:
            request.close()
            raise QueueFull(f"{self._outstanding} requests wait; sinternal.guard.max_queue={self._max_queue}")
        self._outstanding += 1
        try:
            return await request
        except EngineDeadError:
            logger.exception("the engine of this guard replica has died: Ray starts the replica again")
            os._exit(1)
        finally:
            self._outstanding -= 1


def start_guard(
    settings: GuardSettings, say_up: Callable[[str], None] = lambda replica: None
) -> list[ray.actor.ActorHandle]:
    """Start the replicas as named actors of this job and wait until all answer.

    Args:
        say_up: told of each replica that answers.

    Raises:
        GuardUnavailable: they did not within ``start_timeout_s``, or failed; all are ended then.
    """
    # More calls at a time than the queue holds, so that the one too many is refused and does not wait.
    actor = ray.remote(max_restarts=MAX_RESTARTS, max_concurrency=settings.max_queue + 16)(GuardReplica)
    options = {"num_gpus": settings.num_gpus, "num_cpus": settings.num_cpus}
    replicas: list[ray.actor.ActorHandle] = []
    started, calls = time.monotonic(), []
    try:
        for number in range(settings.replicas):
            replicas.append(actor.options(name=NAME.format(number), **options).remote(settings))
            calls.append(replicas[-1].ready.remote())
            if 0 < settings.num_gpus < 1:
                # One after another: an engine that measures its memory takes a neighbour's for its own.
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
        # A daemon: a caller that fails meanwhile ends without it.
        threading.Thread(target=self._start, args=(settings, say_up), name="sinternal-guard", daemon=True).start()

    def _start(self, settings: GuardSettings, say_up: Callable[[str], None]) -> None:
        try:
            self._replicas.set_result(start_guard(settings, say_up))
        except BaseException as error:
            # Said at once, for whoever waits meanwhile for a part that takes long; raised where it is waited for.
            logger.error("the guard did not start: %s", error)
            self._replicas.set_exception(error)

    def wait(self) -> list[ray.actor.ActorHandle]:
        """The replicas, once all answer.

        Raises:
            GuardUnavailable: as `start_guard`.
        """
        try:
            return self._replicas.result(self._limit_s)
        except concurrent.futures.TimeoutError as error:
            raise GuardUnavailable(f"the guard's start did not come back within {self._limit_s:g} s") from error


def end_guard(replicas: list[ray.actor.ActorHandle]) -> None:
    """End all replicas and wait, within a bound, until others may take their names: Ray frees them later."""
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
    """Where Ray is told not to set CUDA_VISIBLE_DEVICES, do it here: vLLM takes the first it sees."""
    if os.environ.get("RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"):
        gpus = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        if gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)


def guard_settings(guard: Mapping[str, Any]) -> GuardSettings:
    """`GuardSettings` of a ``sinternal.guard`` node.

    Raises:
        TypeError: a key that does not exist.
    """
    known = {name: guard[name] for name in GuardSettings.__dataclass_fields__ if name in guard and name != "engine"}
    return GuardSettings(engine=EngineSettings(**guard["engine"]), **known)
