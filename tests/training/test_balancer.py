"""verl's load balancer needs nothing of verl where it runs."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.versions

LOAD = """
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


def test_it_works_in_a_process_that_imports_neither_verl_nor_torch():
    from ray import cloudpickle
    from verl.workers.rollout import router

    from sinternal_verl.training.balancer import send_the_balancer_by_value

    send_the_balancer_by_value()
    send_the_balancer_by_value()
    try:
        pickled = cloudpickle.dumps(router.GlobalRequestLoadBalancer)
    finally:
        cloudpickle.unregister_pickle_by_value(router)
    done = subprocess.run([sys.executable, "-c", LOAD], input=pickled, capture_output=True, check=True, timeout=100)

    assert done.stdout.decode().strip() == "['three', 'two']"
