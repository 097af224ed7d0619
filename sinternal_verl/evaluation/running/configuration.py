"""What decides the figures of a suite's folder. It is written there when the suite begins; a later call goes on with
the same configuration, and another one is refused, each difference by name. One command at a time works in a folder."""

import errno
import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sinternal_verl.data.schema import write_whole

FILE = "configuration.json"
ABSENT = "none"
TAKEN = (errno.EAGAIN, errno.EACCES)
"""What a lock says that another process has."""


class OtherConfiguration(ValueError):
    """The folder holds a suite with another configuration; the message names each difference."""


class FolderError(RuntimeError):
    """The folder cannot be worked in: it cannot be written, or another command is there, whose logs Inspect would take
    for those of a call that has ended."""


def claim(out: Path, configuration: Mapping[str, Any]) -> bool:
    """Write the configuration into the folder, or find the same one there; return whether there was one.

    Raises:
        OtherConfiguration: see there.
    """
    # As it will be read back: tuples become lists.
    wanted = json.loads(json.dumps(configuration, ensure_ascii=False))
    file = out / FILE
    if not file.is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(wanted, indent=2, ensure_ascii=False) + "\n")
        return False
    try:
        there = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise OtherConfiguration(f"{file} cannot be read ({error}); give another --out") from error
    changed = list(differences(there, wanted))
    if changed:
        lines = [f"  {name}: it was begun with {before}, and this call has {now}" for name, before, now in changed]
        raise OtherConfiguration(
            "\n".join(
                [f"{out} holds a suite with another configuration; give another --out, or the same words:", *lines]
            )
        )
    return True


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Keep other commands out of a claimed folder while the block runs. The system ends the lock with the process. A
    file system without locks keeps nobody out.

    Raises:
        FolderError: another command is there, or the folder cannot be written.
    """
    try:
        file = (out / FILE).open("r+")
    except OSError as error:
        raise FolderError(f"--out {out}: {error.strerror or error}") from error
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in TAKEN:
                step = "wait for its end, or give another --out"
                raise FolderError(f"another command works in {out}; {step}") from error
        yield


def differences(before: Any, now: Any, name: str = "") -> Iterator[tuple[str, str, str]]:
    """The values that differ, each with its dotted name.

    >>> list(differences({"limit": 4, "model": {"model": "a"}}, {"limit": None, "model": {"model": "a"}}))
    [('limit', '4', 'none')]
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*before, *now]):
            yield from differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now:
        yield name, _shown(before), _shown(now)


def _shown(value: Any) -> str:
    return ABSENT if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
