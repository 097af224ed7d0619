"""A rollout server's handle is read without vLLM, and calls the server all the same."""

import asyncio
import inspect
import subprocess
import sys

import pytest

pytestmark = pytest.mark.versions

READ = """
import pickle, sys
server = pickle.load(sys.stdin.buffer)
heavy = [name for name in ("vllm", "verl", "torch") if name in sys.modules]
print(server.__name__, hasattr(server, "generate"), heavy)
"""


class Server:
    """A server with the kinds of methods that verl's has; a constructor's argument comes back from each."""

    def __init__(self, name: str, *, port: int = 1) -> None:
        self.name, self.port = name, port

    def address(self) -> str:
        return f"{self.name}:{self.port}"

    async def generate(self, prompt: str, *, seed: int) -> str:
        if seed < 0:
            raise ValueError(f"{self.name} has no seed {seed}")
        return f"{self.name} {prompt} {seed}"


def test_its_methods_are_the_servers_methods():
    from verl.workers.rollout.vllm_rollout.vllm_async_server import vLLMHttpServer

    from sinternal_verl.training.light_handles import light

    ours = light(vLLMHttpServer)
    for name, method in inspect.getmembers(vLLMHttpServer, inspect.isfunction):
        assert inspect.iscoroutinefunction(getattr(ours, name)) == inspect.iscoroutinefunction(method), name
        # These need forwarding of their own. verl 0.9.1 has none.
        assert not inspect.isgeneratorfunction(method) and not inspect.isasyncgenfunction(method), name


def test_the_class_is_read_in_a_process_that_imports_neither_vllm_nor_torch():
    from ray import cloudpickle
    from verl.workers.rollout.vllm_rollout.vllm_async_server import vLLMHttpServer

    from sinternal_verl.training.light_handles import light

    pickled = cloudpickle.dumps(light(vLLMHttpServer))
    done = subprocess.run([sys.executable, "-c", READ], input=pickled, capture_output=True, check=True, timeout=100)
    assert done.stdout.decode().strip() == "vLLMHttpServer True []"


def test_it_makes_the_server_and_hands_calls_and_errors_through():
    from sinternal_verl.training.light_handles import light

    server = light(Server)("one", port=2)

    assert server.address() == "one:2"
    assert asyncio.run(server.generate("what", seed=3)) == "one what 3"
    with pytest.raises(ValueError, match="one has no seed -1"):
        asyncio.run(server.generate("what", seed=-1))


def test_verls_replica_starts_its_servers_under_the_light_class(monkeypatch):
    from verl.workers.rollout.replica import RolloutReplicaRegistry, get_rollout_replica_class
    from verl.workers.rollout.vllm_rollout.vllm_async_server import vLLMReplica

    from sinternal_verl.training.light_handles import send_light_handles

    monkeypatch.setattr(RolloutReplicaRegistry, "_registry", dict(RolloutReplicaRegistry._registry))
    send_light_handles()
    replica = get_rollout_replica_class("vllm")
    send_light_handles()

    assert get_rollout_replica_class("vllm") is replica
    assert issubclass(replica, vLLMReplica)
