"""What a folder's file system can do for SQLite: whether a write-ahead log works on it, and whether its locks hold.

SQLite's write-ahead log shares memory between its processes, so all of them must be on one machine (see "Use Of WAL
Without Shared-Memory" on https://www.sqlite.org/wal.html). Only file systems of one machine are taken for that.
SQLite's other journal needs locks that hold for whoever may come, and some mounts have none: Lustre without ``flock``
refuses each, and with ``localflock`` each node has its own.
"""

import errno
import fcntl
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

LOCAL = frozenset(
    {"apfs", "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "reiserfs", "tmpfs", "xfs", "zfs"}
)
"""File systems that one machine has for itself."""

LOCKS_OF_ONE_MACHINE = frozenset({"localflock", "nolock", "local_lock=all", "local_lock=posix", "nobrl"})
"""Options of a mount by which a lock is seen on one machine alone: of Lustre, NFS and CIFS."""

KINDS_WITHOUT_LOCKS = ("fuse", "beegfs")
"""Beginnings of the file systems whose locks, by default, are seen on one machine alone."""

MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Mount:
    """The mount that a folder is on; see ``man proc_pid_mountinfo``."""

    kind: str
    options: frozenset[str]

    @property
    def local(self) -> bool:
        return self.kind in LOCAL

    @property
    def shares_locks(self) -> bool:
        """Whether a lock that one machine has is seen on all others."""
        return not self.kind.startswith(KINDS_WITHOUT_LOCKS) and not self.options & LOCKS_OF_ONE_MACHINE


def mount_of(folder: Path) -> Mount:
    """The mount of a folder. Where the system does not tell, it is of no kind, and so counts as a network's."""
    best, found = -1, Mount("", frozenset())
    for line in MOUNTS.read_text().splitlines() if MOUNTS.exists() else ():
        head, _, tail = line.partition(" - ")
        # Blanks and backslashes of a path are written as octal numbers.
        point = head.split()[4].encode().decode("unicode_escape").encode("latin-1").decode(errors="replace")
        # Of two mounts on one point the later one hides the other.
        if len(point) >= best and folder.resolve().is_relative_to(point):
            kind, _, options = tail.split(" ", 2)
            best, found = len(point), Mount(kind, frozenset(f"{head.split()[5]},{options}".split(",")))
    return found


def locks_work(folder: Path) -> bool:
    """Whether this file system grants a lock at all, tried on a file of its own.

    Raises:
        OSError: no file can be written here.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EINTR, errno.EAGAIN, errno.EACCES):
                raise
            return False
    return True


def locks_hold(folder: Path) -> bool:
    """Whether SQLite can trust the locks of this folder's file system."""
    return mount_of(folder).shares_locks and locks_work(folder)


def log_works(folder: Path) -> bool:
    """Whether SQLite's write-ahead log works in this folder."""
    return mount_of(folder).local and os.access(folder, os.W_OK)
