"""How a scorer reaches its guard: one small interface, chosen by ``sinternal.guard.backend``."""

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sinternal_verl.guard.errors import GuardUnavailable
from sinternal_verl.guard.judge import Judgement, Refusal

BACKENDS = ("ray_actor", "openai_endpoint", "verl_router")

RETRY_CONNECT_S = 60.0
"""How long a connection that failed is not tried again: a cause such as a full disk may pass."""


class Backend(Protocol):
    """What a safety scorer needs of a guard."""

    async def judge(self, user: str, assistant: str, refusal: Refusal = True) -> Judgement:
        """See `sinternal_verl.guard.judge.Judge.judge`.

        Raises:
            TimeoutError: no answer within the backend's deadline.
            GuardUnavailable: the guard answered with failures only.
        """

    async def close(self) -> None:
        """Close its connections."""


def connect(guard: Mapping[str, Any]) -> Backend:
    """The backend of a ``sinternal.guard`` node of the configuration. It may load a tokenizer: not in an event loop.

    Raises:
        GuardUnavailable: the trainer has started no replicas, or there is no key.
        ValueError: there is no backend of this name.
        OSError: the guard's tokenizer does not load.
    """
    if guard["backend"] == "ray_actor":
        from sinternal_verl.guard.client import ReplicaClient

        return ReplicaClient.look_up(guard["replicas"], guard["request_timeout_s"])
    if guard["backend"] in ("openai_endpoint", "verl_router"):
        from sinternal_verl.guard.endpoint import EndpointClient

        return EndpointClient.from_config(guard)
    raise ValueError(f"sinternal.guard.backend = {guard['backend']}: choose one of {', '.join(BACKENDS)}")


async def check_backend(backend: Backend, guard: Mapping[str, Any]) -> None:
    """Check that a guard behind HTTP judges, and wait for it where it starts later. Replicas have judged at their
    start.

    Raises:
        EndpointFault: see `sinternal_verl.guard.probe`.
    """
    if guard["backend"] != "ray_actor":
        from sinternal_verl.guard.probe import wait_until_it_judges

        await wait_until_it_judges(backend, guard)


class Connection:
    """One backend for all who ask. It is made in a thread, so that no event loop waits for a tokenizer, and once:
    where it cannot be made, all get the reason, and the next try comes after `RETRY_CONNECT_S`.

    Args:
        make: makes the backend, as `connect` does.
    """

    def __init__(self, make: Callable[[], Backend]) -> None:
        self._make, self._failed_at = make, 0.0
        self._made: concurrent.futures.Future[Backend | Exception] | None = None

    def start(self) -> None:
        """Begin, where it has not begun; returns at once."""
        if self._made and not self._may_retry(self._made):
            return
        self._made = concurrent.futures.Future()
        self._made.set_running_or_notify_cancel()  # so that a sample which is cancelled does not cancel it
        threading.Thread(target=self._run, args=(self._made,), name="guard-connection", daemon=True).start()

    async def get(self, within_s: float) -> Backend:
        """The backend.

        Raises:
            GuardUnavailable: it cannot be made, or is not there in time; the message says why.
        """
        self.start()
        try:
            made = await asyncio.wait_for(asyncio.wrap_future(self._made), within_s)
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise GuardUnavailable(f"no tokenizer and connection of the guard after {within_s:g} s") from error
        if isinstance(made, GuardUnavailable):
            raise GuardUnavailable(str(made)) from made
        if isinstance(made, Exception):
            raise GuardUnavailable(f"the guard cannot be asked: {type(made).__name__}: {made}") from made
        return made

    async def close(self) -> None:
        """Close the backend; who asks next gets a new one."""
        made, self._made = self._made, None
        if made and made.done() and not isinstance(made.result(), Exception):
            await made.result().close()

    def _run(self, made: concurrent.futures.Future) -> None:
        try:
            made.set_result(self._make())
        # Kept as a result: whatever a tokenizer raises is the reason that every sample gets.
        except Exception as error:
            self._failed_at = time.monotonic()
            made.set_result(error)

    def _may_retry(self, made: concurrent.futures.Future) -> bool:
        late = time.monotonic() - self._failed_at > RETRY_CONNECT_S
        return made.done() and isinstance(made.result(), Exception) and late
