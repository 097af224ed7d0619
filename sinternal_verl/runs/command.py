"""The command line that the user typed, to be pasted into a shell."""

import os
import shlex
import shutil
import sys
from contextlib import suppress
from pathlib import Path

TORCHRUN = "TORCHELASTIC_RUN_ID"
"""torchrun sets it in every process that it starts. (torch 2.11, 2.13)"""


def typed_command() -> str:
    """The command of this process, or of the torchrun that started it, quoted for a shell."""
    arguments = sys.orig_argv
    if TORCHRUN in os.environ:
        # Where torchrun is gone, or this is not Linux, the rank's own command has at least the overrides.
        with suppress(OSError):
            arguments = os.fsdecode(Path(f"/proc/{os.getppid()}/cmdline").read_bytes()).split("\0")[:-1]
    return shlex.join(as_typed(arguments))


def as_typed(arguments: list[str]) -> list[str]:
    """The arguments without the interpreter that the kernel puts before a script such as ``torchrun``."""
    interpreter, *rest = arguments
    if rest and Path(rest[0]).parent == Path(interpreter).parent and os.access(rest[0], os.X_OK):
        script = Path(rest[0]).name
        return [script if shutil.which(script) == rest[0] else rest[0], *rest[1:]]
    return arguments
