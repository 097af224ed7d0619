"""A real Ray cluster whose named actor is killed while the driver waits for another, as verl's does."""

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

DRIVER = """
import os, signal, time, ray
from sinternal_verl.training import watchdog
watchdog.PERIOD_S, watchdog.GRACE_S = 1.0, float({grace})
ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
watchdog.watch_this_run()

@ray.remote(num_cpus=0)
class Worker:
    def pid(self): return os.getpid()
    def wait(self, seconds): time.sleep(seconds)

worker, other = Worker.options(name="reward_loop_worker_0").remote(), Worker.remote()
pid = ray.get(worker.pid.remote())
time.sleep(3)
os.kill(pid, signal.SIGKILL)
ray.get(other.wait.remote({wait}))
watchdog.end_of_run(None)
print("the run ended by itself", flush=True)
"""


def drive(grace: float, wait: float) -> subprocess.CompletedProcess:
    code = DRIVER.format(grace=grace, wait=wait)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def test_a_dead_actor_ends_a_run_that_would_wait_for_ever():
    done = drive(grace=3, wait=1000)

    assert done.returncode == 1, done.stderr
    assert "the run failed" in done.stderr.splitlines()[-2]
    assert done.stderr.splitlines()[-1].strip().startswith("reward_loop_worker_0:")


def test_a_run_that_ends_within_the_grace_is_left_alone():
    done = drive(grace=60, wait=8)

    assert done.returncode == 0, done.stderr
    assert "the run ended by itself" in done.stdout
    assert "the run failed" not in done.stderr
