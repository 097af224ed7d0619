"""Start a main as a user would, wait for what it writes, and find or end the processes it started."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil


def start(command: list[str], log: Path, cwd: Path, **environment: str) -> subprocess.Popen:
    """Run ``command`` in a session of its own, its output in ``log``."""
    import os

    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=cwd,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
            start_new_session=True,
        )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen, log: Path, limit_s: float) -> None:
    """Wait until ``condition`` holds; fail when the process ends or the limit passes first."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert process.poll() is None, f"ended with {process.returncode}:\n{log.read_text()[-3000:]}"
        assert time.monotonic() < deadline, f"nothing in {limit_s} s:\n{log.read_text()[-3000:]}"
        time.sleep(0.5)


def descendants(process: subprocess.Popen) -> list[psutil.Process]:
    """Every process ``process`` started, directly or not."""
    return psutil.Process(process.pid).children(recursive=True)


def named(processes: list[psutil.Process], text: str) -> psutil.Process:
    """The one whose title holds ``text``."""
    found = [p for p in processes if text in " ".join(p.cmdline())]
    assert len(found) == 1, f"{text}: {[' '.join(p.cmdline())[:80] for p in processes]}"
    return found[0]


def end_all(processes: list[psutil.Process]) -> None:
    """End what is left of a run, and nothing else."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=20)
