"""A process whose event loop stands still ends; the processes are real, because the way out is theirs."""

import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, re, threading, time
from sinternal_verl.training import frozen
frozen.MIN_FROZEN_S = 1.0

def keeps_the_lock():
    re.match("(a|aa)+$", "a" * 60 + "b")

async def main():
    task = asyncio.create_task(frozen.end_when_frozen(1.0))
    await asyncio.sleep(2.5)
    print("alive", flush=True)
    {what}
    await asyncio.sleep(0)
    task.cancel()
    print("the end", flush=True)

asyncio.run(main())
"""


def run(what: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", SCRIPT.format(what=what)], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "what",
    [
        "time.sleep(100)",
        "keeps_the_lock()",
        "threading.Thread(target=keeps_the_lock).start(); await asyncio.sleep(100)",
    ],
    ids=["an inline call that sleeps", "an inline call that keeps Python's lock", "a thread that keeps it"],
)
def test_a_process_that_stands_still_ends_and_says_where_it_stands(what):
    done = run(what)

    assert done.returncode == 1 and done.stdout == "alive\n"
    assert "Timeout (0:00:01)!" in done.stderr
    assert "keeps_the_lock" in done.stderr or "in main" in done.stderr


def test_one_that_goes_on_is_left_alone_and_ends_by_itself():
    done = run("time.sleep(0.3)")

    assert (done.returncode, done.stdout) == (0, "alive\nthe end\n")
