"""Runs a command for as long as whoever asked for it lives.

    python -m sinternal_verl.evaluation.running.keeper COMMAND

1. The asking process holds the other end of this one's standard input, which ends with it, however it dies.
2. Then the command's whole process group is ended: SIGTERM first, SIGKILL where that is not enough.
3. The keeper and the command have sessions of their own, so a Ctrl-C of the terminal reaches neither: who asked
   decides when the command ends.
4. Where the keeper itself is killed, the kernel sends the command SIGTERM.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from sinternal_verl.runs.launch import end_session

PATIENCE_S = 20.0
"""How long the command may take to end by itself. vLLM ends its engine within some seconds."""

PR_SET_PDEATHSIG = 1
"""Of prctl(2): the signal that a process gets when its parent has died. (linux/prctl.h)"""


def main(command: list[str]) -> int:
    """Run the command until it ends or standard input does; return its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_end_with_parent(os.getpid())
    )
    threading.Thread(target=_end_with_input, args=(process,), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        return process.wait()
    finally:
        end_session(process, PATIENCE_S)
        # A command that was killed leaves its children: vLLM's engine would keep its memory.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _end_with_parent(parent: int) -> Callable[[], None]:
    """What a child calls before it becomes the command, so that it gets SIGTERM when this process dies."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask_kernel() -> None:
        if prctl(PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != parent:
            # It died before the kernel was asked.
            os._exit(128 + signal.SIGTERM)

    return ask_kernel


def _end_with_input(process: subprocess.Popen) -> None:
    # Nobody writes: this returns when the other end is closed. It is not read through sys.stdin, whose lock would be
    # held when the interpreter ends.
    while os.read(0, 1024):
        pass
    end_session(process, PATIENCE_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
