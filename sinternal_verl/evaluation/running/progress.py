"""The progress of a suite in one line: items done, how fast, how long it will take, and what has no score so far.

Inspect tells its hooks of each item. On a terminal the line is rewritten in place; elsewhere it is printed once in a
while. It never holds a text of an item.
"""

import logging
import math
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import rich
from inspect_ai.hooks import Hooks, SampleEnd, TaskStart, hooks
from inspect_ai.log import EvalSample

from sinternal_verl.evaluation.tasks.opened import NOT_REACHED
from sinternal_verl.runs.launch import ProgressLine

PACKAGE, OURS = __name__.split(".")[:2]

QUIET_S = 60.0
"""Seconds between two lines where the output is no terminal."""

RECENT_S = 120.0
"""The rate is of so many seconds: the first items wait for a server that warms up."""

REFUSED = "PrerequisiteError"
"""What an item ends with where none can be asked for: the message is ours or Inspect's, and holds no text of an
item."""

INTERRUPTED = "CancelledError"
"""What an item ends with that was in flight when the user ended the suite."""

_EXCEPTION = re.compile(
    r"^(?:[a-z_][\w]*\.)*([A-Z]\w*(?:Error|Exception|Exceeded|Timeout))(?:\('Error code: (\d{3})|[(:]|$)", re.MULTILINE
)
"""The beginning of a line that names an exception."""

_SYSTEM_SAYS = re.compile(r"^\w+(?:Error|Exception): \[Errno \d+\] ([^:'\n]+)", re.MULTILINE)
"""The system's own words, such as those of a full disk."""

_GAVE_UP = re.compile(r"^(?:[a-z_]\w*\.)*RetryError\W.*<Future at \w+ state=finished raised (\w+)>", re.MULTILINE)
"""What Inspect raises after the last try of a request, and the exception of that try."""


@dataclass
class Progress:
    """What has been done of a suite.

    Attributes:
        total: items of all tasks, times their epochs.
        earlier: those that an earlier call has finished.
        done, failed: of this call. A failed item is asked again by the same command.
        unscored: of all that are finished.
        unjudged: of the unscored ones of this call, those whose judge could not be asked.
        patience: how many items in a row may lack their answer or verdict because a server does not serve.
        end: called once they are so many.
        in_a_row: how many they are now.
        errors: type of an exception -> how many items it failed.
        refused: why no item can be asked for; the first that says so ends the suite.
    """

    total: int
    earlier: int = 0
    done: int = 0
    unscored: int = 0
    unjudged: int = 0
    failed: int = 0
    errors: Counter = field(default_factory=Counter)
    patience: int = sys.maxsize
    end: Callable[[], None] | None = None
    in_a_row: int = 0
    refused: str = ""

    def __post_init__(self) -> None:
        self._line = ProgressLine("eval")
        self._line.EVERY_S = QUIET_S
        self._seen = [(time.monotonic(), 0)]

    def note(self, sample: EvalSample) -> None:
        """Count an item that has come to its end."""
        if sample.error is not None:
            name = error_name(sample.error.traceback)
            if name == INTERRUPTED:
                return
            if name == REFUSED and not self.refused:
                self.refused = sample.error.message
                if self.end:
                    self.end()
            self.failed += 1
            self.errors[name] += 1
            self.in_a_row += _GAVE_UP.search(sample.error.traceback) is not None
        else:
            scores = [score for score in (sample.scores or {}).values() if is_unscored(score.value)]
            unjudged = any(score.reason in NOT_REACHED for score in scores)
            self.done += 1
            self.unscored += bool(scores)
            self.unjudged += unjudged
            self.in_a_row = self.in_a_row + 1 if unjudged else 0
        if self.end and self.in_a_row == self.patience:
            self.end()
        self.show()

    def show(self) -> None:
        now = time.monotonic()
        ended = self.done + self.failed
        self._seen.append((now, ended))
        while len(self._seen) > 2 and self._seen[1][0] < now - RECENT_S:
            self._seen.pop(0)
        self._line.show(self.text(now))

    def text(self, now: float) -> str:
        """The line, such as ``120/1,950 items, 3.2 items/s, 9 min left, 4 unscored``."""
        words = [f"{self.earlier + self.done:,}/{self.total:,} items"]
        then, before = self._seen[0]
        rate = (self.done + self.failed - before) / (now - then) if now > then else 0.0
        if rate > 0:
            left = max(self.total - self.earlier - self.done - self.failed, 0)
            words += [f"{rate:.2g} items/s", f"{duration(left / rate)} left"]
        words += [f"{count} {name}" for name, count in (("unscored", self.unscored), ("failed", self.failed)) if count]
        return ", ".join(words)

    def close(self) -> None:
        self._line.show(self.text(time.monotonic()))
        self._line.close()


def is_unscored(value: object) -> bool:
    """Whether the value of a score says that there is none."""
    return isinstance(value, float) and math.isnan(value)


def error_name(traceback: str) -> str:
    """The type of the exception that failed an item or a task, and its HTTP status or the system's words. What it says
    beside may hold a prompt.

    >>> error_name("Traceback (most recent call last):\\n  ...\\nBadRequestError('Error code: 400 - ...')")
    'BadRequestError 400'
    >>> error_name("tenacity.RetryError: RetryError[<Future at 0x7f state=finished raised APIConnectionError>]")
    'APIConnectionError'
    >>> error_name("Traceback (most recent call last):\\n  ...\\nOSError: [Errno 28] No space left on device: 'a.eval'")
    'OSError: No space left on device'
    """
    if gave_up := _GAVE_UP.search(traceback):
        return gave_up[1]
    found = list(_EXCEPTION.finditer(traceback))
    if not found:
        return "error"
    said = list(_SYSTEM_SAYS.finditer(traceback))
    return ": ".join([" ".join(filter(None, found[-1].groups())), *(each[1] for each in said[-1:])])


def duration(seconds: float) -> str:
    """
    >>> duration(42), duration(540), duration(9000)
    ('42 s', '9 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class _Warnings(logging.Handler):
    """Prints the warnings of the evaluation. None of them holds a text of an item, as others of this package may."""

    def emit(self, record: logging.LogRecord) -> None:
        # On a terminal a progress line may stand where it is printed.
        clear = "\r\033[K" if sys.stderr.isatty() else ""
        print(f"{clear}{PACKAGE}: warning: {record.getMessage()}", file=sys.stderr, flush=True)


_warnings = _Warnings(logging.WARNING)


@contextmanager
def quiet_inspect() -> Iterator[None]:
    """Have Inspect print nothing while the block runs, and the evaluation its warnings, which Inspect swallows, too."""
    console, ours = rich.get_console(), logging.getLogger(f"{PACKAGE}.{OURS}")
    before, console.quiet = console.quiet, True
    added = _warnings not in ours.handlers
    ours.addHandler(_warnings)
    try:
        with warnings.catch_warnings():
            # It repeats what a server wrote, where that is of another form than OpenAI's.
            warnings.filterwarnings("ignore", message="Pydantic serializer warnings")
            yield
    finally:
        console.quiet = before
        if added:
            ours.removeHandler(_warnings)


_shown: Progress | None = None


@contextmanager
def shown(progress: Progress) -> Iterator[Progress]:
    """Have Inspect's hooks tell a `Progress` while the block runs."""
    global _shown
    _shown = progress
    progress.show()
    try:
        yield progress
    finally:
        _shown = None
        progress.close()


@hooks(name="sinternal_progress", description="The progress line of sinternal-verl eval")
class _Tell(Hooks):
    def enabled(self) -> bool:
        return _shown is not None

    async def on_task_start(self, data: TaskStart) -> None:
        _shown.show()

    async def on_sample_end(self, data: SampleEnd) -> None:
        _shown.note(data.sample)
