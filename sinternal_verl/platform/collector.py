"""Pauses Python's garbage collector while a process starts.

An import makes objects that stay, and the collector searches them again and again: without it ``import verl``
takes three quarters of the time. Ray runs `pause_collector` in each of a run's workers before anything else
(``runtime_env.worker_process_setup_hook``). A main calls it when verl has chosen the CPU platform.
"""

import gc
import os
import threading

PAUSE_S = 60.0
"""A process has started by then. The cycles that are not collected until then take little memory on a CPU."""


def pause_collector() -> None:
    """Switch the collector off for `PAUSE_S`; where it is off already, do nothing."""
    if not gc.isenabled():
        return
    gc.disable()
    # A forked child does not inherit the timer, so its collector is switched on at once.
    os.register_at_fork(after_in_child=gc.enable)
    timer = threading.Timer(PAUSE_S, gc.enable)
    timer.daemon = True
    timer.start()
