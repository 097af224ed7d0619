"""Looks below and above a folder, and no further than some bounds: what is given may be a home directory.

A run may have been moved: a path of its configuration that is gone is looked for by its last names.
"""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

MAX_DEPTH = 2
"""How far below the given folder metrics and dumps are looked for."""

MAX_ENTRIES = 5_000
"""How many files and folders are looked at."""

MAX_PARENTS = 4
"""How far above the given folder the working directory of a run is looked for."""

_PASSED_OVER = re.compile(r"\..*|__.*__|global_step_\d+|outputs|multirun|tensorboard.*|wandb|mlflow|mlruns|swanlog")


def files_below(folder: Path) -> Iterator[Path]:
    """Files of a folder and of those below."""
    for one in (folder, *folders_below(folder)):
        try:
            yield from (file for file in islice(sorted(one.iterdir()), MAX_ENTRIES) if file.is_file())
        except OSError:  # below the given folder, others' folders may be closed to us
            continue


def folders_below(folder: Path) -> list[Path]:
    """Folders below, as far as `MAX_DEPTH`; those of checkpoints and other programs' files are passed over."""
    found: list[Path] = []
    level = [folder]
    for _ in range(MAX_DEPTH):
        following: list[Path] = []
        for one in level:
            try:
                entries = list(islice(one.iterdir(), MAX_ENTRIES))
                following += sorted(each for each in entries if each.is_dir() and not _PASSED_OVER.fullmatch(each.name))
            except OSError:
                continue
        found += following[: MAX_ENTRIES - len(found)]
        level = following
    return found


def moved(path: Path, folder: Path, local_dir: Any = None) -> Path | None:
    """A path as it is written, or where it is after the run was moved, or after it began in another directory. A copy
    has its own: another run may have been started where the first one was."""
    candidates = []
    if isinstance(local_dir, str) and path.is_relative_to(local_dir):
        candidates.append(folder / path.relative_to(local_dir))
    if path.is_absolute():
        candidates.append(path)
    if not path.is_absolute():
        candidates += [base / path for base in (folder, *list(folder.parents)[:MAX_PARENTS])]
    candidates += [folder / path.name, folder.parent / path.name]
    # os.path: a name of a broken record may be longer than any file's.
    return next((one for one in candidates if os.path.exists(one)), None)
