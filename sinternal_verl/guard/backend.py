"""How a scorer reaches its guard: one small interface, chosen by ``sinternal.guard.backend``."""

from collections.abc import Mapping
from typing import Any, Protocol

from sinternal_verl.guard.judge import Judgement, Refusal

BACKENDS = ("ray_actor", "openai_endpoint", "verl_router")


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
    """The backend of a ``sinternal.guard`` node of the configuration.

    Raises:
        GuardUnavailable: the trainer has started no replicas.
        ValueError: there is no backend of this name.
    """
    if guard["backend"] == "ray_actor":
        from sinternal_verl.guard.client import ReplicaClient

        return ReplicaClient.look_up(guard["replicas"], guard["request_timeout_s"])
    if guard["backend"] in ("openai_endpoint", "verl_router"):
        from sinternal_verl.guard.endpoint import EndpointClient

        return EndpointClient.from_config(guard)
    raise ValueError(f"sinternal.guard.backend = {guard['backend']}: choose one of {', '.join(BACKENDS)}")
