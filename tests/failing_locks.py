"""A file system whose locks fail, as Lustre without ``flock``: the system refuses each lock of this process.

Run as a script, it takes the number of the error and a command, and runs the command like that.
"""

import ctypes
import os
import platform
import struct
import sys

FCNTL = {"x86_64": 72, "aarch64": 25}
LOCKS = (5, 6, 7, 36, 37, 38)
"""Commands of ``fcntl`` that read or set locks."""

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _FILTER = 22, 38, 2
_LOAD, _EQUAL, _RETURN, _ALLOW, _ERROR = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000


def here() -> bool:
    """Whether this machine can do it."""
    return sys.platform == "linux" and platform.machine() in FCNTL


def fail_locks(error: int) -> None:
    """Refuse all locks of this process, and of those that it starts, with this error."""
    # Offsets in the kernel's `struct seccomp_data`: the call's number is at 0, its second argument at 24.
    program = [(_LOAD, 0, 0, 0), (_EQUAL, 0, len(LOCKS) + 1, FCNTL[platform.machine()]), (_LOAD, 0, 0, 24)]
    program += [(_EQUAL, len(LOCKS) - number, 0, command) for number, command in enumerate(LOCKS)]
    program += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERROR | error)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _FILTER, ctypes.c_char_p(header), 0, 0)):
        if libc.prctl(*call):
            raise OSError(ctypes.get_errno(), "this machine filters no system calls")


if __name__ == "__main__":
    fail_locks(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
