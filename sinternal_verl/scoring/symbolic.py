"""Symbolic comparison by Math-Verify, in processes that are ended at their deadline.

Math-Verify's own time-outs need the main thread, and nothing ends a stuck worker of a pool, so a few
degenerate answers would stop all later ones. Here

1. up to `MAX_WORKERS` processes each compare one pair at a time, so that a slow one does not hold up the others;
2. a comparison that takes longer than its deadline ends its worker, and a later one starts a new worker;
3. a worker ends itself a little later than that, so that none outlives a caller that was killed.

It is for evaluation: to start a worker takes some seconds.
"""

import importlib.util
import logging
import multiprocessing
import re
import signal
import threading
from math import ceil
from multiprocessing.connection import Connection

from sinternal_verl.scoring.score import Outcome

logger = logging.getLogger(__name__)

MAX_WORKERS = 4
"""The most comparisons that run at a time in one process; each worker holds some 100 MB."""

START_LIMIT_S = 60.0
END_LIMIT_S = 10.0
DEADLINE_S = 5.0
"""The time limit of one comparison; ordinary ones take milliseconds."""

WAIT_LIMIT_S = 60.0
"""The time limit of the wait for a worker. 32 comparisons that are all stuck take some 8 deadlines and starts."""

GRACE_S = 5
"""How much longer than its deadline a worker lives that nobody ends."""

# Borders of mathematics within the answer. Math-Verify would take the last formula between them for the answer.
_BORDERS = re.compile(r"(\\\\|\\\$)|\\[()\[\]]|\$")


def equal(answer: str, gold: str, deadline_s: float = DEADLINE_S) -> Outcome:
    """``CORRECT``, ``MISMATCH`` or, past the deadline or after a crash of the worker, ``TIMED_OUT``.

    Each of the two is read as a whole: a sentence is no answer, whatever formula it holds.

    Raises:
        ImportError: Math-Verify is not installed; the message says what to type.
        RuntimeError: a worker does not start.
        TimeoutError: no worker was free within `WAIT_LIMIT_S`.
    """
    require_math_verify()
    return _pool.ask(answer, gold, deadline_s)


def require_math_verify() -> None:
    """Raise ImportError, with what to type, where Math-Verify is not installed."""
    if importlib.util.find_spec("math_verify") is None:
        raise ImportError("mode=symbolic needs Math-Verify: pip install 'sinternal_verl[eval]'")


class _Pool:
    """Workers that are started when no idle one is left."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._slots = threading.BoundedSemaphore(workers)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._unfinished = 0

    def ask(self, answer: str, gold: str, deadline_s: float) -> Outcome:
        if not self._slots.acquire(timeout=WAIT_LIMIT_S):
            raise TimeoutError(f"none of {self._workers} Math-Verify workers was free within {WAIT_LIMIT_S:g} s")
        worker = None
        try:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            worker = worker or _Worker()
            outcome = worker.ask(answer, gold, deadline_s)
            if outcome is Outcome.TIMED_OUT:
                self._count(answer, deadline_s)
            else:
                with self._lock:
                    self._idle.append(worker)
                worker = None
            return outcome
        finally:
            if worker is not None:
                worker.end()
            self._slots.release()

    def end(self) -> None:
        """End the idle workers; a busy one ends at its deadline at the latest."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()

    def _count(self, answer: str, deadline_s: float) -> None:
        with self._lock:
            self._unfinished += 1
            count = self._unfinished
        if count & (count - 1) == 0:
            logger.warning("Math-Verify did not finish within %g s, %d so far: %.80s", deadline_s, count, answer)


class _Worker:
    """A process that compares one pair at a time.

    Raises:
        RuntimeError: the process does not start.
    """

    def __init__(self) -> None:
        # spawn, because a fork of a process with threads (Ray's, torch's) can deadlock.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        try:
            if self._pipe.poll(START_LIMIT_S) and self._pipe.recv() == "ready":
                return
        except (EOFError, ConnectionResetError):
            pass
        self.end()
        raise RuntimeError(f"Math-Verify's worker died or did not start within {START_LIMIT_S:g} s")

    def ask(self, answer: str, gold: str, deadline_s: float) -> Outcome:
        try:
            self._pipe.send((answer, gold, deadline_s))
            if self._pipe.poll(deadline_s):
                return Outcome.CORRECT if self._pipe.recv() else Outcome.MISMATCH
        except (EOFError, BrokenPipeError, ConnectionResetError):
            pass  # the worker has died
        return Outcome.TIMED_OUT

    def end(self) -> None:
        self.process.kill()
        self.process.join(END_LIMIT_S)
        self._pipe.close()


def _serve(pipe: Connection) -> None:
    from math_verify import LatexExtractionConfig, parse, verify

    # Only the box: Math-Verify's other ways to find an answer look for one within a text.
    box = [LatexExtractionConfig(boxed_match_priority=0)]
    pipe.send("ready")
    while True:
        try:
            answer, gold, deadline_s = pipe.recv()
        except EOFError:
            return
        # No time-outs of its own in here: they would need signals of the main thread, and do not end C code. The
        # caller ends this process; where there is no caller any more, the alarm does.
        signal.alarm(ceil(deadline_s) + GRACE_S)
        sides = [
            parse(rf"\boxed{{{_BORDERS.sub(_kept, text)}}}", box, fallback_mode="no_fallback", parsing_timeout=None)
            for text in (gold, answer)
        ]
        same = all(sides) and bool(verify(*sides, timeout_seconds=None))
        signal.alarm(0)
        pipe.send(same)


def _kept(border: re.Match[str]) -> str:
    return border[1] or " "


_pool = _Pool(MAX_WORKERS)
