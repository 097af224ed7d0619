"""The load balancer and the agent loop workers import only what they use."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.versions

BALANCER = """
import pickle, sys
balancer = pickle.load(sys.stdin.buffer)({"one": 1, "two": 2})
server, handle = balancer.acquire_server("a request")
assert balancer.acquire_server("a request") == (server, handle)
assert balancer.get_total_inflight() == 2
balancer.release_server(server, "a request")
assert balancer.clear_sticky_cache()["cleared_entries"] == 1
balancer.add_servers({"three": 3})
balancer.remove_servers(["one"])
print(sorted(balancer.get_all_servers()), *(name for name in ("verl", "torch") if name in sys.modules))
"""

AGENT_LOOP = """
import pickle, sys
worker = pickle.load(sys.stdin.buffer)
from verl.experimental.agent_loop import AgentLoopWorker
print(issubclass(worker, AgentLoopWorker), "verl.trainer.ppo.v1" in sys.modules, "sinternal_verl.plugin" in sys.modules)
"""


@pytest.fixture
def pickled():
    """A function from a class to its pickle, as our trainer's process makes it."""
    from ray import cloudpickle

    from sinternal_verl.training.by_value import MODULES, send_by_value

    send_by_value()
    send_by_value()
    yield cloudpickle.dumps
    for module in MODULES:
        cloudpickle.unregister_pickle_by_value(sys.modules[module])


def run(code: str, pickle: bytes) -> str:
    done = subprocess.run([sys.executable, "-c", code], input=pickle, capture_output=True, check=True, timeout=100)
    return done.stdout.decode().strip()


def test_the_balancer_works_in_a_process_that_imports_neither_verl_nor_torch(pickled):
    from verl.workers.rollout.router import GlobalRequestLoadBalancer

    assert run(BALANCER, pickled(GlobalRequestLoadBalancer)) == "['three', 'two']"


def test_an_agent_loop_worker_does_without_the_trainers_and_has_our_loop(pickled):
    from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopWorkerTQ

    from sinternal_verl.training.agent_workers import EarlyWorker

    for worker in (AgentLoopWorkerTQ.__ray_actor_class__, EarlyWorker):
        assert run(AGENT_LOOP, pickled(worker)) == "True False True"
