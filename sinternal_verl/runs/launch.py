"""Runs one of verl's mains as a child process: its output goes to a log file, its steps are shown on one line."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sinternal_verl.runs.curves import Step, read_steps

POLL_S = 1.0


class MainFailed(RuntimeError):
    """A main ended with an error or ran longer than its limit; the message shows the log's name and its end."""


def grpo_command(*overrides: str) -> list[str]:
    """The command of verl's GRPO main, with this interpreter."""
    return [sys.executable, "-m", "verl.trainer.main_ppo", *overrides]


def sft_command(*overrides: str, processes: int = 1) -> list[str]:
    """The command of verl's SFT main under torchrun, with all processes on this machine."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return [*torchrun, "-m", "verl.trainer.sft_trainer", *overrides]


def run_main(
    command: list[str],
    log: Path,
    metrics: Path,
    limit_s: float,
    describe: Callable[[Step], str] = lambda step: "",
    total_steps: int | None = None,
    name: str = "run",
) -> list[Step]:
    """Run ``command`` to its end and return the steps it logged; see `Main`."""
    with Main(name, command, log, metrics, limit_s) as main:
        return main.follow(total_steps, describe)


class Main:
    """A running main of verl. Making it starts the command; leaving it as a context manager ends the command.

    Args:
        name: what to call it on the progress line.
        command: from `grpo_command` or `sft_command`.
        log: file for everything that the command prints.
        metrics: JSON lines to follow, one for each step: our trainer's file, or the one that verl's ``file``
            logger is told to write. An old file is removed.
        limit_s: seconds after which the command is ended.
    """

    def __init__(self, name: str, command: list[str], log: Path, metrics: Path, limit_s: float) -> None:
        self._name, self._log, self._metrics, self._limit_s = name, log, metrics, limit_s
        metrics.unlink(missing_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        # One thread for each process: on few cores more threads would only wait for each other.
        environment = {"OMP_NUM_THREADS": "1"} | os.environ | {"VERL_FILE_LOGGER_PATH": str(metrics)}
        self._started = time.monotonic()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )

    def __enter__(self) -> "Main":
        return self

    def __exit__(self, *exception: object) -> None:
        end_session(self._process)

    def follow(self, total_steps: int | None = None, describe: Callable[[Step], str] = lambda step: "") -> list[Step]:
        """Show the steps until the command ends, and return them.

        Args:
            total_steps: the number of steps to expect, for the line.
            describe: returns what to show of a step besides its number.

        Raises:
            MainFailed: the command failed or ran past its limit.
        """
        line, start = ProgressLine(self._name), StartLines(self._log)
        try:
            while True:
                # Steps are shown once more after the end: the command may have ended before the first look.
                ended, elapsed = self._process.poll() is not None, time.monotonic() - self._started
                steps = read_steps(self._metrics)
                text = _progress(steps[-1], total_steps, describe) if steps else start.read()
                line.show(f"{text}  {elapsed:.0f} s")
                if ended:
                    break
                if elapsed > self._limit_s:
                    limit = f"its limit of {self._limit_s:.0f} s"
                    raise MainFailed(f"{self._name} ran past {limit}; log: {self._log}\n{tail(self._log)}")
                time.sleep(POLL_S)
        finally:
            end_session(self._process)
            line.close()
        if self._process.returncode:
            code = self._process.returncode
            raise MainFailed(f"{self._name} ended with code {code}; log: {self._log}\n{tail(self._log)}")
        return read_steps(self._metrics)


def end_session(process: subprocess.Popen, patience_s: float = 20.0) -> None:
    """End a process that was started with ``start_new_session``, with its whole process group, if it still runs."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(patience_s)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(patience_s)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for a message."""
    return "\n".join(f"  | {line}" for line in log.read_text(errors="replace").splitlines()[-lines:])


def _progress(last: Step, total: int | None, describe: Callable[[Step], str]) -> str:
    of = f"/{total}" if total else ""
    return f"step {last.number}{of}  {describe(last)}"


class StartLines:
    """Reads the lines ``start: <part> up after <s> s`` of a main from its log while the log is written."""

    SAYS = re.compile(r"start: ([^\n]+? up after \d+ s)")

    def __init__(self, log: Path) -> None:
        self._log, self._read_bytes, self._latest = log, 0, "starting"

    def read(self) -> str:
        """The latest such line so far; ``starting`` before the first."""
        with self._log.open("rb") as log:
            log.seek(self._read_bytes)
            written = log.read()
        # A last line without its end is read again by the next call.
        whole = written[: written.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for match in self.SAYS.finditer(whole.decode(errors="replace")):
            self._latest = f"starting: {match[1]}"
        return self._latest


class ProgressLine:
    """A line that is rewritten in place on a terminal; elsewhere it is printed at most every `EVERY_S` seconds."""

    EVERY_S = 15.0

    def __init__(self, name: str) -> None:
        self._name, self._last, self._shown_at = name, "", 0.0

    def show(self, text: str) -> None:
        now = time.monotonic()
        if sys.stdout.isatty():
            print(f"\r\033[K{self._name}: {text}", end="", flush=True)
        elif text != self._last and now - self._shown_at >= self.EVERY_S:
            print(f"{self._name}: {text}", flush=True)
            self._shown_at = now
        self._last = text

    def close(self) -> None:
        print(
            f"\r\033[K{self._name}: {self._last}" if sys.stdout.isatty() else f"{self._name}: {self._last}", flush=True
        )
