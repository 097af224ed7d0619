"""Ends a process whose event loop stands still, so that Ray starts it again.

An inline scorer that does not return, an async one that blocks, and a regular expression that keeps Python's lock all
hold a reward worker's event loop, and with it every sample of the worker and every time limit. Nothing within Python
can end them. `faulthandler` waits in a thread that needs no lock: it writes where each thread stands, and ends the
process. Ray starts the worker again and repeats its samples (`sinternal_verl.training.reward_workers`).
"""

import asyncio
import faulthandler
import sys

MIN_FROZEN_S = 60.0
"""The least time for which an event loop must stand still: a busy machine holds one for some seconds."""

BEATS = 8
"""How often within the time an event loop shows that it goes on."""


async def end_when_frozen(limit_s: float) -> None:
    """End the process when this event loop stands still for ``limit_s``, or for `MIN_FROZEN_S` if that is longer. It
    runs until it is cancelled."""
    seconds = max(limit_s, MIN_FROZEN_S)
    # stderr may be replaced by an object without a file; the process's own is always there.
    try:
        while True:
            faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__)
            await asyncio.sleep(seconds / BEATS)
    finally:
        faulthandler.cancel_dump_traceback_later()
