"""Runs a command for as long as whoever asked for it lives.

    python -m sinternal_verl.evaluation.running.keeper COMMAND

1. The asking process holds the other end of this one's standard input, which ends with it, however it dies.
2. Then the command's whole process group is ended: SIGTERM first, SIGKILL where that is not enough.
3. The keeper and the command have sessions of their own, so a Ctrl-C of the terminal reaches neither: who asked
   decides when the command ends.
4. Where the keeper itself is killed, a shell that waits for its end does the same in its place.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

from sinternal_verl.runs.launch import end_session

PATIENCE_S = 20.0
"""How long the command may take to end by itself. vLLM ends its engine within some seconds."""

COMMAND = 'echo $$ >&0; exec "$@" </dev/null'
"""Names its group to the successor before it becomes the command, so that no command runs that nobody would end."""

SUCCESSOR = """
read -r group || exit
read -r _
kill -TERM "$group"
while [ "$1" -gt "${waited:=0}" ] && kill -0 "-$group"; do sleep 1; waited=$((waited + 1)); done
kill -KILL "-$group"
"""
"""Reads the id of a group, waits for the end of its input, which only the keeper holds open by then, and ends the group
within $1 seconds."""


def main(command: list[str]) -> int:
    """Run the command until it ends or standard input does; return its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    successor = _successor()
    process = subprocess.Popen(["sh", "-c", COMMAND, "sh", *command], stdin=successor.stdin, start_new_session=True)
    threading.Thread(target=_end_with_input, args=(process,), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        return process.wait()
    finally:
        end_session(process, PATIENCE_S)
        # A command that was killed leaves its children: vLLM's engine would keep its memory.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        # Only now: a keeper that is killed while it ends the command has its successor still.
        successor.kill()
        successor.wait()


def _successor() -> subprocess.Popen:
    """Who ends the command where this process is killed."""
    return subprocess.Popen(
        ["sh", "-c", SUCCESSOR, "sh", f"{PATIENCE_S:.0f}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _end_with_input(process: subprocess.Popen) -> None:
    # Nobody writes: this returns when the other end is closed. It is not read through sys.stdin, whose lock would be
    # held when the interpreter ends.
    while os.read(0, 1024):
        pass
    end_session(process, PATIENCE_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
