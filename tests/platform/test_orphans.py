"""What an engine runs in does not outlive the process that started it, over real processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from sinternal_verl.platform import orphans

pytestmark = pytest.mark.timeout(60)

ENGINE = """
import multiprocessing, os, sys, threading, time
from sinternal_verl.platform.orphans import no_orphans

def serve():
    # An engine does not see that its parent died, and has a process of its own below it.
    time.sleep(600)

def start():
    other = multiprocessing.Process(target=serve)
    other.start()
    with no_orphans():
        engine = multiprocessing.get_context(METHOD).Process(target=serve)
        engine.start()
        WITHIN
    print(engine.pid, other.pid, flush=True)
    END

if __name__ == "__main__":
    # Engines are started in threads, which end before them.
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    time.sleep(600)
"""


def started(tmp_path, method="spawn", end="pass", within="pass"):
    """A process with an engine, the engine's id, and that of a child which is none."""
    script = tmp_path / "engine.py"
    script.write_text(ENGINE.replace("METHOD", repr(method)).replace("END", end).replace("WITHIN", within))
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, start_new_session=True)
    engine, other = map(int, process.stdout.readline().split())
    return process, engine, other


def lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends(pid: int, within_s: float = 10) -> bool:
    deadline = time.monotonic() + within_s
    while lives(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not lives(pid)


def watchers(parent: int) -> list[int]:
    """The processes that watch for this one."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if orphans.__file__.encode() in words and str(parent).encode() in words:
            found.append(int(name))
    return found


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_killed_leaves_no_engine(tmp_path, method, number):
    process, engine, other = started(tmp_path, method)
    try:
        assert lives(engine) and len(watchers(process.pid)) == 1
        process.send_signal(number)
        process.wait()

        assert ends(engine) and lives(other)
        assert all(ends(pid) for pid in watchers(process.pid))
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def test_a_process_that_is_killed_while_its_engine_starts(tmp_path):
    starts = "print(engine.pid, other.pid, flush=True); time.sleep(600)"
    process, engine, _ = started(tmp_path, within=starts)
    try:
        deadline = time.monotonic() + 10
        while not watchers(process.pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
        process.wait()

        assert ends(engine)
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def test_the_watcher_ends_with_the_engine(tmp_path):
    process, engine, _ = started(tmp_path, end="engine.terminate()")
    try:
        assert ends(engine)
        assert all(ends(pid) for pid in watchers(process.pid))
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_nothing_is_started_without_an_engine():
    with orphans.no_orphans():
        pass

    assert not watchers(os.getpid())


def test_a_parent_that_died_before_it_was_watched(tmp_path):
    """Its number may be another's by then: whoever is no parent of the watcher counts as dead."""
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
    child.start()
    orphans.main(1, [child.pid])
    child.join(10)

    assert child.exitcode == -signal.SIGKILL
