"""A command as a process: how it ends when its user ends it, or when the reader of its output does.

Ctrl-C gives one line and the exit code 130, SIGTERM 143. A reader that closes the pipe, as ``head`` does, ends the
command with 141 and without a word: a shell reports the same of any program that writes on.
"""

import io
import signal
import sys
from collections.abc import Callable
from typing import TextIO

INTERRUPTED = 128 + signal.SIGINT
PIPE_CLOSED = 128 + signal.SIGPIPE


def run_as_process(command: Callable[[], int], next_step: Callable[[], str]) -> int:
    """Run a command and return the exit code of the process.

    Args:
        next_step: what the user may do after an interrupt; empty where there is nothing to say.
    """
    # SIGTERM raises SystemExit, so that a command ends what it has started, as after an interrupt.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.stdout, sys.stderr = (stream and _ends_with_its_reader(stream) for stream in (sys.stdout, sys.stderr))
    try:
        return command()
    except KeyboardInterrupt:
        print("\nsinternal_verl: " + "; ".join(filter(None, ["interrupted", next_step()])), file=sys.stderr)
        return INTERRUPTED
    finally:
        # Not left to the interpreter, which reports a failed flush in its own words.
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()


class _Output(io.FileIO):
    """The file of stdout or stderr. Where nobody reads it, the process ends: by SystemExit, because a command takes an
    OSError for one of its own files."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._failed = False

    def write(self, data: memoryview) -> int | None:
        if not self._failed:
            try:
                return super().write(data)
            except OSError as error:
                self._failed = True
                closed = isinstance(error, BrokenPipeError)
                raise SystemExit(PIPE_CLOSED if closed else f"sinternal_verl: no output: {error}") from None
        # What is still in the buffers is lost, and must not fail once more.
        return memoryview(data).nbytes


def _ends_with_its_reader(stream: TextIO) -> TextIO:
    stream.flush()
    file = io.BufferedWriter(_Output(stream.fileno()))
    return io.TextIOWrapper(file, stream.encoding, stream.errors, line_buffering=stream.line_buffering)
