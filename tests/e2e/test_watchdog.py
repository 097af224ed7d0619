"""A real Ray cluster whose named actor is killed while the driver waits for another, as verl's does."""

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(200)]

DRIVER = """
import os, signal, time, ray
from sinternal_verl.runs.ending import end_run
from sinternal_verl.training import watchdog
watchdog.FIRST_LOOK_S = watchdog.PERIOD_S = 1.0
watchdog.GRACE_S = float({grace})
ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
watchdog.watch_this_run()

@ray.remote(num_cpus=0)
class Worker:
    def pid(self): return os.getpid()
    def wait(self, seconds): time.sleep(seconds)
    def fail(self): raise RuntimeError("a consequence")

worker, other = Worker.options(name="reward_loop_worker_0").remote(), Worker.remote()
pid = ray.get(worker.pid.remote())
time.sleep(3)
{kill}
error = None
try:
    ray.get({await_})
except Exception as caught:
    error = caught
end_run(error, watchdog.who_died(error))
print("the run ended by itself", flush=True)
"""


DIES = "os.kill(pid, signal.SIGKILL)"


def drive(grace: float, await_: str, kill: str = DIES) -> subprocess.CompletedProcess:
    code = DRIVER.format(grace=grace, await_=await_, kill=kill)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def ending(done: subprocess.CompletedProcess) -> str:
    return done.stderr[done.stderr.rindex("sinternal_verl: ") :]


def test_a_dead_actor_ends_a_run_that_would_wait_for_ever():
    done = drive(grace=3, await_="other.wait.remote(1000)")

    assert done.returncode == 1, done.stderr
    assert ending(done).startswith(
        "sinternal_verl: the run failed: verl did not end by itself\n  reward_loop_worker_0: "
    )


def test_a_run_that_ends_within_the_grace_is_left_alone():
    done = drive(grace=60, await_="other.wait.remote(8)")

    assert done.returncode == 0, done.stderr
    assert "the run ended by itself" in done.stdout
    assert "the run failed" not in done.stderr


def test_a_run_that_fails_at_once_still_names_who_died():
    """verl may fail with a consequence before the watchdog's next look."""
    done = drive(grace=60, await_="other.fail.remote()")

    assert ending(done).startswith(
        "sinternal_verl: the run failed: RuntimeError: a consequence\n  reward_loop_worker_0: "
    )
    assert "ActorDiedError: " in ending(done)


def test_an_actor_the_run_itself_ends_is_not_reported():
    done = drive(grace=3, await_="other.wait.remote(12)", kill="ray.kill(worker)")

    assert done.returncode == 0, done.stderr
    assert "the run failed" not in done.stderr
