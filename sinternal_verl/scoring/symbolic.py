"""Symbolic comparison by Math-Verify, in a process of its own that is ended at its deadline.

Math-Verify's own time-outs need the main thread, and nothing ends a stuck worker of a pool, so a few
degenerate answers would stop all later ones. Here one worker serves this process. A comparison that takes
longer than the deadline gives ``TIMED_OUT``, and the next one gets a new worker. It is for evaluation: to
start a worker takes some seconds.
"""

import importlib.util
import multiprocessing
import threading
from multiprocessing.connection import Connection

from sinternal_verl.scoring.score import Outcome

START_LIMIT_S = 60.0
DEADLINE_S = 5.0
"""The time limit of one comparison; ordinary ones take milliseconds."""


def equal(answer: str, gold: str, deadline_s: float = DEADLINE_S) -> Outcome:
    """``CORRECT``, ``MISMATCH`` or, past the deadline or after a crash of the worker, ``TIMED_OUT``.

    Raises:
        ImportError: Math-Verify is not installed; the message says what to type.
    """
    require_math_verify()
    with _lock:
        return _worker.ask(answer, gold, deadline_s)


def require_math_verify() -> None:
    """Raise ImportError, with what to type, where Math-Verify is not installed."""
    if importlib.util.find_spec("math_verify") is None:
        raise ImportError("mode=symbolic needs Math-Verify: pip install 'sinternal_verl[eval]'")


class _Worker:
    def __init__(self) -> None:
        self._process = None
        self._pipe: Connection | None = None

    def ask(self, answer: str, gold: str, deadline_s: float) -> Outcome:
        try:
            if self._process is None:
                self._start()
            self._pipe.send((answer, gold))
            if self._pipe.poll(deadline_s):
                return Outcome.CORRECT if self._pipe.recv() else Outcome.MISMATCH
        except (EOFError, BrokenPipeError, ConnectionResetError):
            pass  # the worker has died; it is ended below, and the next question starts a new one
        self.end()
        return Outcome.TIMED_OUT

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join(START_LIMIT_S)
            self._pipe.close()
        self._process = self._pipe = None

    def _start(self) -> None:
        # spawn, because a fork of a process with threads (Ray's, torch's) can deadlock.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        if not self._pipe.poll(START_LIMIT_S):
            raise EOFError("the worker did not start")
        self._pipe.recv()


def _serve(pipe: Connection) -> None:
    from math_verify import parse, verify

    pipe.send("ready")
    while True:
        try:
            answer, gold = pipe.recv()
        except EOFError:
            return
        # No time-outs in here: they would need signals of the main thread. The caller ends this process instead.
        sides = [parse(rf"\boxed{{{text}}}", parsing_timeout=None) for text in (gold, answer)]
        pipe.send(bool(verify(*sides, timeout_seconds=None)))


_lock = threading.Lock()
_worker = _Worker()
