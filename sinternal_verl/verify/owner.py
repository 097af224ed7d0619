"""Who has a store: processes, and a file that lets one at a time have it where a file system's locks fail.

The file is made by a hard link, which comes whole or not at all on all file systems that have links. A process of this
machine that is gone is seen to be gone, and its file is taken over. Of another machine's process nobody here knows,
so the message names the file to delete.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path

TAKE_OVER_TIMEOUT_S = 10.0
"""How long a process waits for others of this machine that look at the same file."""


class Owned(RuntimeError):
    """Another process has it; the message says which, and what to do."""


@dataclass(frozen=True)
class Process:
    """One process.

    Attributes:
        host: name of its machine.
        machine: tells this start of this machine, and the namespace that its process numbers are of.
        pid: its number.
        started: when it started, as the machine counts; another process may get the same number later.
        since: when it came, as text.
    """

    host: str
    machine: str
    pid: int
    started: str
    since: str

    @classmethod
    def here(cls) -> "Process":
        """This process."""
        return cls(socket.gethostname(), _machine(), os.getpid(), _started(os.getpid()), time.strftime("%F %T"))

    def alive(self) -> bool | None:
        """Whether it runs; None where that cannot be seen from this machine."""
        if self.machine != _machine():
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # another user's
            return True
        return _started(self.pid) == self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} (since {self.since})"


class OwnerFile:
    """The file that says who has the store.

    Args:
        path: the file. `take` makes it, and `leave` removes it.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._mine = path, ""

    def take(self) -> None:
        """Become the owner.

        Raises:
            Owned: another process is.
            OSError: the file cannot be written, or the file system has no hard links.
        """
        mine = json.dumps(asdict(Process.here()))
        new = self._path.with_name(f".{self._path.name}.{socket.gethostname()}.{os.getpid()}")
        new.write_text(mine)
        try:
            while not _linked(new, self._path):
                self.check()
        finally:
            new.unlink()
        self._mine = mine

    def leave(self) -> None:
        """Be the owner no longer."""
        # A user may have removed the file by hand, and another process may have come.
        if self._mine and self._read() == self._mine:
            self._path.unlink()
        self._mine = ""

    def check(self) -> None:
        """Remove the file of a process that is gone.

        Raises:
            Owned: there is another process, or it cannot be seen whether it is gone.
        """
        if not self._path.exists():
            return
        with _alone(self._path):
            text = self._read()
            if text is None:
                return
            try:
                owner = Process(**json.loads(text))
            except (ValueError, TypeError):
                raise Owned(f"{self._path} does not say by whom; delete it if nothing uses the store") from None
            alive = owner.alive()
            if alive is False:
                self._path.unlink()
                return
        step = "wait for its end" if alive else f"wait for its end, delete {self._path} if it is gone"
        raise Owned(f"{owner} has it, and where locks fail, one process at a time may have it; {step}")

    def _read(self) -> str | None:
        try:
            return self._path.read_text()
        except FileNotFoundError:
            return None


def _linked(new: Path, path: Path) -> bool:
    try:
        os.link(new, path)
    except FileExistsError:
        # NFS may have made the link, lost its answer, and tried again.
        return new.stat().st_nlink == 2
    return True


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Lets one process of this machine at a time look at a file and remove it.

    The lock is an address, which the system frees when its process ends, however it ends.
    """
    name = blake2b(str(path.resolve()).encode(), digest_size=16).hexdigest()
    deadline = time.monotonic() + TAKE_OVER_TIMEOUT_S
    with socket.socket(socket.AF_UNIX) as lock:
        while True:
            try:
                lock.bind(f"\0sinternal-verl-{name}")
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise Owned(f"other processes look at {path} at this time; try again") from error
                time.sleep(0.01)
        yield


@cache
def _machine() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id")
    start = boot.read_text().strip() if boot.exists() else socket.gethostname()
    space = Path("/proc/self/ns/pid")
    return f"{start} {os.stat(space).st_ino if space.exists() else 0}"


def _started(pid: int) -> str:
    """When a process started, in ticks since the machine did; empty where there is none, or only what its parent has
    not yet collected of it."""
    try:
        # The name, in parentheses, may hold anything. The fields behind it: see ``man proc_pid_stat``.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
