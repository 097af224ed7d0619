"""What a run prints when it ends: how it ended, where its checkpoint and metrics are, and the command to go on.

1. The start check calls `begin_run` in the driver of the GRPO main and in every rank of the SFT main.
   Only the first rank prints.
2. The run counts its rows and writes its last step into its record (`record.LAST_STEP`). For the SFT main
   `plan_steps` does this; the GRPO main's trainer runs in another process, maybe on another node.
3. `end_run` notes how the job ended. The lines are printed when the process exits, below any traceback.
4. On a signal `signals` ends the process, and the watchdog ends a dead run. Both call `close_run`.

torchrun prints a summary of its own after its ranks have ended. It reads the cause from a file that each
rank may write, so the lines of a failed rank go there, too.
"""

import atexit
import json
import os
import shlex
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sinternal_verl.runs.record import (
    CONFIGURATION,
    LAST_STEP,
    METRICS,
    last_checkpoint,
    read_record,
    recorded_file,
    step_folder,
    update_record,
)

MAX_CAUSE_LINES = 16
MAX_LINE_CHARACTERS = 500
"""Limits for an exception's message, which may hold a whole prompt or the output of another process."""

TORCHRUN_ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
"""Environment variable in which torchrun names a rank's file for the cause. (torch 2.11 and 2.13)"""

NO_MORE_BATCHES = "there are no more batches; raise trainer.total_epochs or lower trainer.total_training_steps"

SIGNAL_WAIT_S = 1.0
"""How long an unexplained exit waits for the thread of `signals`, which may explain it: Ray answers SIGTERM with an
exit of its own."""


@dataclass(frozen=True)
class Run:
    """What is known of a run when it starts.

    Attributes:
        folder: the folder of its checkpoints and its record, which names its files; None where it is not on
            this machine.
        command: the command that goes on from the last checkpoint.
        more: the override to add when the run is done and is to train on.
        epochs: how often it trains on its rows.
        total_steps: the step at which it ends, whatever ``epochs`` is; None leaves it to ``epochs``.
        trains: False for a run that only validates.
        speaks: whether this process prints.
    """

    folder: Path | None = None
    command: str | None = None
    more: str = ""
    epochs: int = 1
    total_steps: int | None = None
    trains: bool = True
    speaks: bool = True

    @property
    def checkpoint(self) -> int | None:
        """The step of the last whole checkpoint."""
        return last_checkpoint(self.folder) if self.folder else None

    @property
    def step(self) -> int:
        """The last step that was trained, as far as the files show."""
        return max(self.checkpoint or 0, _last_logged(self.file(METRICS)))

    @property
    def last_step(self) -> int | None:
        """The step at which the run is done; None until its rows are counted."""
        return read_record(self.folder).get(LAST_STEP) if self.folder and self.trains else None

    def file(self, key: str) -> Path | None:
        """The metrics or the configuration of this start."""
        return recorded_file(self.folder, key) if self.folder else None

    @property
    def is_short(self) -> bool:
        """Whether the run is known to have ended before its last step."""
        return self.last_step is not None and self.step < self.last_step

    def closing_lines(self) -> list[str]:
        """Lines that say where everything is and what to type next."""
        lines: list[tuple[str, object]] = []
        saved = self.checkpoint
        if self.folder and self.trains:
            checkpoint = f"none in {self.folder}" if saved is None else step_folder(self.folder, saved)
            lines.append(("checkpoint", checkpoint))
        lines += [(key, self.file(key)) for key in (METRICS, CONFIGURATION)]
        done = saved is not None and self.trains and not self.is_short
        if done:
            export = ["sinternal-verl", "export", "--checkpoint", str(self.folder), "--out", f"{self.folder}_hf"]
            lines.append(("to export", shlex.join(export)))
        if self.command:
            lines.append(("to go on", f"{self.command} {self.more}".strip() if done else self.command))
        return [f"  {name + ':':15} {value}" for name, value in lines if value]


_run = Run()
_counts_steps = False
"""Whether this process makes the steps, so that the files it sees are up to date."""

_ending: str | None = None
_closing = threading.Lock()
_closed = False


def begin_run(run: Run) -> None:
    """Have this process print the closing lines of ``run`` when it exits."""
    global _run
    _run = run
    atexit.register(close_run)


def plan_steps(steps_per_epoch: int) -> int | None:
    """Write the run's last step into its record and return it; None when no run has begun here.

    Args:
        steps_per_epoch: number of steps that the loaded rows make.
    """
    global _counts_steps
    if _run.folder is None:
        return None
    last = _run.total_steps or steps_per_epoch * _run.epochs
    if _run.speaks:
        update_record(_run.folder, **{LAST_STEP: last})
        _counts_steps = True
    return last


def end_run(error: BaseException | None, dead: Mapping[str, str] | None = None) -> bool:
    """Note that the job has ended, with ``error`` or without; return whether it reached its last step.

    Args:
        dead: why each dead process died, by name.
    """
    global _ending
    if error is not None:
        _ending = describe("failed", cause_of(error), dead or {})
    elif _counts_steps and _run.is_short:
        # verl's SFT main leaves its loop without a message when its data loader has no more batches.
        _ending = describe("ended early", NO_MORE_BATCHES)
    else:
        _ending = describe("is done")
        atexit.register(close_run)
        return True
    _tell_torchrun(_ending)
    atexit.register(close_run)
    return False


def close_run(ending: str | None = None) -> None:
    """Print how the run ended, once."""
    global _closed
    if not (ending or _ending or _closed):
        time.sleep(SIGNAL_WAIT_S)
    with _closing:
        if _closed:
            return
        _closed = True
        if _run.speaks:
            print("\n" + (ending or _ending or describe("was ended")), file=sys.stderr, flush=True)


def describe(how: str, cause: str = "", dead: Mapping[str, str] | None = None) -> str:
    """The whole ending: ``the run <how> at step 7 of 10: <cause>``, who died, and the closing lines."""
    at = f" at step {_run.step} of {_run.last_step}" if _run.last_step is not None else ""
    lines = [f"sinternal_verl: the run {how}{at}{': ' if cause else ''}{cause}"]
    lines += [f"  {name}: {why}" for name, why in (dead or {}).items()]
    return "\n".join([*lines, *_run.closing_lines()])


def cause_of(error: BaseException) -> str:
    """Type and message of ``error``; where Ray wraps an exception of another process, those of the wrapped one."""
    if "ray" in sys.modules:
        from ray.exceptions import RayTaskError

        while isinstance(error, RayTaskError) and isinstance(error.cause, BaseException):
            error = error.cause
    lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
    if len(lines) > MAX_CAUSE_LINES:
        half = MAX_CAUSE_LINES // 2
        lines = [*lines[:half], f"... ({len(lines) - 2 * half} lines)", *lines[-half:]]
    cut = [line if len(line) <= MAX_LINE_CHARACTERS else f"{line[:MAX_LINE_CHARACTERS]} ..." for line in lines]
    return "\n    ".join(cut)


def _tell_torchrun(ending: str) -> None:
    if path := os.environ.get(TORCHRUN_ERROR_FILE):
        extra = {"py_callstack": ending, "timestamp": str(int(time.time()))}
        Path(path).write_text(json.dumps({"message": {"message": ending, "extraInfo": extra}}))


def _last_logged(metrics: Path | None) -> int:
    """The last step in a metrics file; 0 where there is none. A run that dies may leave half a line, which is
    left out."""
    if metrics is None or not metrics.is_file():
        return 0
    *lines, _torn = metrics.read_bytes().split(b"\n")
    return json.loads(lines[-1])["step"] if lines else 0
