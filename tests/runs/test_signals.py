"""Real processes that are told to end, whatever their main thread does."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

DRIVER = """
import os, signal, subprocess, sys, time
from sinternal_verl.runs.ending import Run, begin_run
from sinternal_verl.runs.signals import end_on_signals
begin_run(Run(command="main +recipe=mine"))
end_on_signals()
"""

SLEEPS = """
print("ready", flush=True)
time.sleep(100)
"""

WAITS_IN_A_COLLECTIVE = """
import torch.distributed as dist
join = f"import sys, time, torch.distributed as d; d.init_process_group('gloo', init_method='file://{sys.argv[1]}'"
other = subprocess.Popen([sys.executable, "-c", join + ", rank=1, world_size=2); time.sleep(100)"])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=0, world_size=2)
print("ready", flush=True)
dist.barrier()
"""

RAYS_HANDLER = "signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))"

FORKS = """
import multiprocessing
worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(100,))
worker.start()
worker.terminate()
worker.join(10)
print("worker", worker.exitcode, file=sys.stderr, flush=True)
"""


def end(number: int, tmp_path, code: str, ignored: int | None = None) -> tuple[int, str]:
    """Exit code and errors of a process that gets the signal."""
    errors = tmp_path / "errors"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER + code, str(tmp_path / "store")],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
            preexec_fn=ignored and (lambda: signal.signal(ignored, signal.SIG_IGN)),
        )
    try:
        assert process.stdout.readline() == "ready\n", errors.read_text()
        time.sleep(0.5)
        process.send_signal(number)
        return process.wait(5), errors.read_text()
    finally:
        with suppress(ProcessLookupError):  # nothing of its session is left
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("code", [SLEEPS, WAITS_IN_A_COLLECTIVE], ids=["sleeps", "waits_in_a_collective"])
def test_it_ends_at_once_with_the_signals_code_its_lines_and_no_traceback(number, code, tmp_path):
    returned, errors = end(number, tmp_path, code)

    assert returned == 128 + number
    expected = f"sinternal_verl: the run was ended by {number.name}\n  to go on:       main +recipe=mine\n"
    assert errors.endswith(expected) and "Traceback" not in errors


def test_a_handler_that_ray_puts_in_place_does_not_take_the_lines_away(tmp_path):
    returned, errors = end(signal.SIGTERM, tmp_path, RAYS_HANDLER + SLEEPS)

    assert returned == 128 + signal.SIGTERM
    assert errors.count("the run was ended by SIGTERM") == 1


def test_a_forked_worker_can_be_terminated_and_its_end_is_not_the_runs(tmp_path):
    _, errors = end(signal.SIGINT, tmp_path, FORKS + SLEEPS)

    assert f"worker {-signal.SIGTERM}\n" in errors
    assert "ended by SIGINT" in errors and "ended by SIGTERM" not in errors


def test_what_the_user_has_had_ignored_stays_ignored(tmp_path):
    """nohup, or a job in the background of a script."""
    with pytest.raises(subprocess.TimeoutExpired):
        end(signal.SIGHUP, tmp_path, SLEEPS, ignored=signal.SIGHUP)
