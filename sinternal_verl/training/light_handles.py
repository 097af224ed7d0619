"""Handles of the rollout servers that are read without importing vLLM.

A process that is sent an actor's handle imports the actor's class with all that its module imports: vLLM, several
seconds of a core (Ray 2.56). The load balancer, the training workers and the agent loop workers are sent the
servers' handles when everything else is up, and only call the servers. So Ray is given a class that names the
same methods, and that makes verl's server once it is an actor.
"""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import ray
from verl.workers.rollout.replica import RolloutReplicaRegistry


def light(server: type) -> type:
    """A class that has the methods of ``server`` and hands them to a server, which its constructor imports and makes.

    It can be pickled by value, and holds only the names of ``server``.
    """
    module, name = server.__module__, server.__name__

    def make(self: Any, *args: Any, **kwargs: Any) -> None:
        self.server = getattr(importlib.import_module(module), name)(*args, **kwargs)

    methods = {
        method: _forward(method, inspect.iscoroutinefunction(function))
        for method, function in inspect.getmembers(server, inspect.isfunction)
        if method != "__init__"
    }
    return type(name, (), {"__init__": make, **methods})


def _forward(method: str, is_coroutine: bool) -> Callable:
    async def call_async(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await getattr(self.server, method)(*args, **kwargs)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.server, method)(*args, **kwargs)

    return call_async if is_coroutine else call


def send_light_handles() -> None:
    """Start the servers of this process's vLLM replicas under a light class; safe to call twice."""
    replica = RolloutReplicaRegistry.get("vllm")
    if replica.__module__ == __name__:
        return

    class LightReplica(replica):
        """verl's replica of vLLM."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.server_class = ray.remote(light(self.server_class.__ray_actor_class__))

    RolloutReplicaRegistry.register("vllm", lambda: LightReplica)
