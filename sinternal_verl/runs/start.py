"""What a run prints while it starts: a line for each part that is up, ``start: <part> up after <s> s``.

The seconds count from the start of the driver's process. Ray hands the driver's environment to the processes of a
cluster that the run starts. In a cluster that the run joins, the seconds count from the start of the process that
prints the line.
"""

import logging
import os
import threading
import time

import psutil
import ray

STARTED = "SINTERNAL_STARTED"
"""Environment variable with the time at which the driver started, in seconds since the epoch."""

MAX_START_S = 3600.0
"""How long to wait for actors; after that their line is not printed. Whoever needs an actor has a bound of its own."""


def begin_start() -> None:
    """Count the seconds from this process's start; called once, in the driver."""
    os.environ[STARTED] = str(psutil.Process().create_time())


def say_up(part: str) -> None:
    """Print the line of a part that is up."""
    started = float(os.environ.get(STARTED) or psutil.Process().create_time())
    # The clocks of two machines may differ a little, so the time is at least 0. The text and its line end are one
    # write, so that no other thread's line comes between them.
    print(f"start: {part} up after {max(time.time() - started, 0):.0f} s\n", end="", flush=True)


class SayWhenLogged(logging.Handler):
    """Prints the line of a part when a library logs that it is up, where it has no other hook.

    Args:
        parts: logged message -> name of the part.
    """

    def __init__(self, parts: dict[str, str]) -> None:
        super().__init__()
        self._parts = parts

    def emit(self, record: logging.LogRecord) -> None:
        if part := self._parts.get(record.getMessage()):
            say_up(part)


def say_when_up(part: str, actors: list[ray.actor.ActorHandle]) -> None:
    """Print the line once all actors have started; returns at once. Whoever uses an actor reports its failure."""
    calls = [actor.__ray_ready__.remote() for actor in actors]

    def wait() -> None:
        try:
            ray.get(calls, timeout=MAX_START_S)
        except ray.exceptions.RayError:
            return
        say_up(part)

    threading.Thread(target=wait, name="sinternal-start", daemon=True).start()
