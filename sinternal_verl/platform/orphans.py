"""Ends the processes of vLLM's engine once the process that started it has died.

The engine runs in a process of its own, and waits there for requests. It does not see that whoever asks was killed
(vLLM 0.24 and 0.27), and keeps its memory without end. This can go once vLLM ends it.

1. `no_orphans` starts this file as a process for the engines that are started within it.
2. That process waits on descriptors of all of them (pidfd), so a number that the kernel gives anew misleads nobody.
3. When the starting process dies, however it dies, the engines are killed. When they end, so does this.
"""

import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

LOOK_S = 0.1
"""How often children that have started are looked for."""


@contextmanager
def no_orphans() -> Iterator[None]:
    """Whatever `multiprocessing` starts within, in this thread or another, does not outlive this process.

    Where the kernel has no descriptors of processes nothing is done.
    """
    seen, done = set(multiprocessing.active_children()), threading.Event()

    def look() -> None:
        while not done.wait(LOOK_S):
            _watch(seen)

    # An engine is there long before it has started.
    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield
    finally:
        done.set()
        looking.join()
        _watch(seen)


def _watch(seen: set) -> None:
    """Start a process for the children that are not in ``seen``, and add them."""
    started = set(multiprocessing.active_children()) - seen
    seen |= started
    if started and _has_descriptors():
        # Isolated and without `site`: it needs the standard library alone, and starts in 20 ms.
        command = [sys.executable, "-IS", __file__, str(os.getpid()), *(str(child.pid) for child in started)]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        _watching.append(subprocess.Popen(command, start_new_session=True, **quiet))


_watching: list[subprocess.Popen] = []
"""They are waited for by nobody, and end by themselves."""


def _has_descriptors() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def main(parent: int, children: Sequence[int]) -> None:
    """Wait until the parent or all children have ended; of a parent that ended kill the children."""
    watched = set()
    for child in children:
        with suppress(ProcessLookupError):
            watched.add(os.pidfd_open(child))
    try:
        above = os.pidfd_open(parent)
    except ProcessLookupError:
        above = None
    # Its number may be another's already, but not this process's parent.
    if above is None or os.getppid() != parent:
        return _kill(watched)
    poll = select.poll()
    for descriptor in (above, *watched):
        poll.register(descriptor, select.POLLIN)
    while watched:
        for descriptor, _ in poll.poll():
            if descriptor == above:
                return _kill(watched)
            poll.unregister(descriptor)
            watched.remove(descriptor)


def _kill(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)


if __name__ == "__main__":
    parent, *children = map(int, sys.argv[1:])
    main(parent, children)
