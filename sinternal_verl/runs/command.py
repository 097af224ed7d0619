"""The command line that the user typed, to be pasted into a shell."""

import os
import shlex
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from sinternal_verl.runs.secrets import MASK, masked

TORCHRUN = "TORCHELASTIC_RUN_ID"
"""torchrun sets it in every process that it starts. (torch 2.11, 2.13)"""


def typed_command() -> str:
    """The command of this process, or of the torchrun that started it, quoted for a shell and without
    secrets: a run prints it into its log."""
    arguments = sys.orig_argv
    if TORCHRUN in os.environ:
        # Where torchrun is gone, or this is not Linux, the rank's own command has at least the overrides.
        with suppress(OSError):
            arguments = os.fsdecode(Path(f"/proc/{os.getppid()}/cmdline").read_bytes()).split("\0")[:-1]
    return shlex.join(map(_without_secrets, as_typed(arguments)))


def as_typed(arguments: list[str]) -> list[str]:
    """The arguments without the interpreter that the kernel puts before a script such as ``torchrun``."""
    interpreter, *rest = arguments
    if rest and Path(rest[0]).parent == Path(interpreter).parent and os.access(rest[0], os.X_OK):
        script = Path(rest[0]).name
        return [script if shutil.which(script) == rest[0] else rest[0], *rest[1:]]
    return arguments


def _without_secrets(word: str) -> str:
    """An override as it was typed, or with `MASK` for its value where that is a secret or has one within."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, _, value = word.partition("=")
    if value.startswith(("{", "[")):
        with suppress(HydraException):  # a word that is no override
            inner = OverridesParser.create().parse_override(word).value()
            return word if masked(key, inner) == inner else f"{key}={MASK}"
    shown = masked(key, value)
    return word if shown == value else f"{key}={shown}"
