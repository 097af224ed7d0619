"""Runs a demo's commands as a user types them: prints each, keeps all in ``commands.sh``, and logs what they say."""

import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sinternal_verl.demo.policy import LIMIT_S
from sinternal_verl.demo.settings import describe_sft
from sinternal_verl.runs.launch import POLL_S, Main, MainFailed, ProgressLine, end_session, sft_command, tail

SERVER_START_S = 60
"""The longest wait for a server's address."""

COMMANDS = "commands.sh"
SINTERNAL_VERL = (sys.executable, "-m", "sinternal_verl.cli")


class Commands:
    """The commands of one demo; each has a name, by which its log is called.

    Args:
        folder: where the logs and ``commands.sh`` go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sinternal_verl(self, name: str, *words: str) -> Path:
        """Run a command of ``sinternal-verl`` to its end; return its log.

        Raises:
            MainFailed: it failed or ran past `LIMIT_S`.
        """
        with self.started(name, *words) as command:
            return command.finish()

    @contextmanager
    def started(self, name: str, *words: str) -> Iterator["Command"]:
        """The same, to be finished by the caller; it is ended where the caller fails before."""
        with _running(name, self._say([*SINTERNAL_VERL, *words]), self.log(name)) as command:
            yield command

    def sft(self, name: str, overrides: Sequence[str], steps: int) -> None:
        """Run verl's SFT main to its end.

        Raises:
            MainFailed: it failed or ran past `LIMIT_S`.
        """
        command = self._say(sft_command(*overrides))
        with Main(name, command, self.log(name), self._folder / f"{name}.jsonl", LIMIT_S) as main:
            main.follow(steps, describe_sft)

    @contextmanager
    def server(self, name: str, *words: str) -> Iterator[str]:
        """Run a server of this package while the caller needs it; its address, the first line that it prints.

        Raises:
            MainFailed: it has no address after `SERVER_START_S`.
        """
        log = self.log(name)
        with _running(name, [sys.executable, *words, "--port", "0"], log) as command:
            address = command.first_line(SERVER_START_S)
            # Shown with the port that it found, so that the commands after it can be repeated as they are.
            self._say([sys.executable, *words, "--port", address.rpartition(":")[2].partition("/")[0]], "&")
            yield address

    def log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _say(self, command: Sequence[str], end: str = "") -> list[str]:
        """Print the command and keep it."""
        words = list(map(shlex.quote, command))
        # The words that say what runs stay on one line, and each override has its own.
        overrides = (number for number, word in enumerate(words) if "=" in word and not word.startswith("-"))
        first = next(overrides, len(words))
        text = " \\\n    ".join([" ".join(words[:first]), *words[first:]]) + (f" {end}" if end else "")
        print(f"\n{text}", flush=True)
        with (self._folder / COMMANDS).open("a") as file:
            file.write(f"{text}\n\n")
        return list(command)


class Command:
    """A command that runs.

    Raises:
        MainFailed: by its methods, where it failed or took too long; the message has the log's end.
    """

    def __init__(self, name: str, process: subprocess.Popen, log: Path) -> None:
        self._name, self._process, self._log, self._started = name, process, log, time.monotonic()

    def finish(self) -> Path:
        """Wait for its end; return its log."""
        line = ProgressLine(self._name)
        try:
            while self._process.poll() is None:
                line.show(f"{time.monotonic() - self._started:.0f} s")
                if time.monotonic() - self._started > LIMIT_S:
                    self._fail(f"ran past its limit of {LIMIT_S} s")
                time.sleep(POLL_S)
        finally:
            line.close()
        if self._process.returncode:
            self._fail(f"ended with code {self._process.returncode}")
        return self._log

    def first_line(self, limit_s: float) -> str:
        """The first line that it prints."""
        while "\n" not in (text := self._log.read_text()):
            if self._process.poll() is not None or time.monotonic() - self._started > limit_s:
                self._fail(f"printed no line within {limit_s} s")
            time.sleep(POLL_S / 10)
        return text.partition("\n")[0]

    def _fail(self, how: str) -> None:
        raise MainFailed(f"{self._name} {how}; log: {self._log}\n{tail(self._log)}")


@contextmanager
def _running(name: str, command: Sequence[str], log: Path) -> Iterator[Command]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield Command(name, process, log)
    finally:
        end_session(process)
