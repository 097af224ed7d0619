"""Ends a process on a signal: it prints how the run ended, and exits with the signal's exit code.

A main thread that waits in a collective of torch or in Ray runs no Python handler. So the numbers of signals go
through a pipe to a thread (``signal.set_wakeup_fd``). This works whatever the main thread does, and also where
Ray has replaced our handler.
"""

import os
import signal
import threading

from sinternal_verl.runs.command import TORCHRUN
from sinternal_verl.runs.ending import close_run, describe

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_on_signals() -> None:
    """Watch for the signals in `ENDING`, except those that are ignored already (``nohup``, a background job).

    Call it in the main thread.
    """
    watched = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    read, write = os.pipe()
    os.set_blocking(write, False)

    def pass_on(number: int, frame: object) -> None:
        # A second way into the pipe, because asyncio may take the wakeup descriptor for itself.
        os.write(write, bytes([number]))

    for number in watched:
        signal.signal(number, pass_on)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    _leave_to_this_process(watched)
    threading.Thread(target=_end_on, args=(read, watched), name="sinternal-signals", daemon=True).start()


def _leave_to_this_process(watched: list[signal.Signals]) -> None:
    """Restore the default handlers in a forked child, such as a data loader's worker. Otherwise the child would not
    end on a signal, and its signal would reach this process through the pipe that they share."""
    thread = threading.local()

    def hold_back() -> None:
        thread.mask = signal.pthread_sigmask(signal.SIG_BLOCK, watched)

    def let_through() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, thread.mask)

    def forget() -> None:
        signal.set_wakeup_fd(-1)
        for number in watched:
            signal.signal(number, signal.SIG_DFL)
        let_through()

    os.register_at_fork(before=hold_back, after_in_parent=let_through, after_in_child=forget)


def _end_on(read: int, watched: list[signal.Signals]) -> None:
    while (number := os.read(read, 1)[0]) not in watched:
        pass
    name = signal.Signals(number).name
    from_torchrun = number == signal.SIGTERM and TORCHRUN in os.environ
    why = "torchrun sends it when a rank has failed, which it names below, or when it is told to end"
    try:
        close_run(describe(f"was ended by {name}", why if from_torchrun else ""))
    finally:
        os._exit(128 + number)
