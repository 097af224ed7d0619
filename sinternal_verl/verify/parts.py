"""A build in parts: each has a folder and a store of its own below the build's folder, and they become one.

A store of its own, because SQLite trusts locks that many shared file systems do not keep. The replies of all parts are
copied into the build's own store, from which the whole is selected as if it had been built at once. A reply that is
there already is not copied again, so merging may be repeated, and goes on after a kill.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sinternal_verl.overrides import override, shell_line
from sinternal_verl.verify.build import Build
from sinternal_verl.verify.requests import Prompts
from sinternal_verl.verify.settings import BuildSettings
from sinternal_verl.verify.store import Store

PART = re.compile(r"part-(\d+)")
"""Folder of a part, with its number from 0 on."""


class PartsMissing(RuntimeError):
    """Parts are not there or not complete; the message names them."""


def merge_parts(settings: BuildSettings, prompts: Prompts, build: Build, store: Store) -> int:
    """Copy the replies of all parts into the build's store; return how many parts there are.

    Raises:
        PartsMissing: the build still lacks replies.
        StoreError: a store cannot be read or written.
    """
    folders = {int(match[1]): path for path in settings.out.glob("part-*") if (match := PART.fullmatch(path.name))}
    parts = max(map(_parts_of, folders.values()), default=0)
    if not parts:
        raise PartsMissing(f"{settings.out} holds no part-0 with a build of a share of the prompts (shard=0/...)")
    for folder in folders.values():
        if (place := folder / settings.store.name).is_file():
            with Store(place, read_only=True) as theirs:
                store.copy(theirs)
    lacking: Counter[int] = Counter()
    for number, prompt in enumerate(prompts):
        # As a build asks: of a benign prompt no critique behind the first with a verdict.
        wanted = (*build.answer_requests([prompt]), *build.critique_requests([prompt], every=False))
        lacking[number % parts] += sum(request.missing(store) is not None for request in wanted)
    absent = [part for part in range(parts) if part not in folders]
    cut = {part: count for part, count in sorted(lacking.items()) if count and part not in absent}
    if absent or cut:
        raise PartsMissing("; ".join(_described(absent, cut, parts, settings.out)))
    return parts


def _parts_of(folder: Path) -> int:
    """Of how many parts the folder's record says that it is one; 0 where it says nothing."""
    try:
        return json.loads((folder / "build.json").read_text())["shard"][1]
    except (OSError, ValueError, LookupError, TypeError):
        return 0


def _described(absent: Sequence[int], cut: dict[int, int], parts: int, out: Path) -> list[str]:
    found = [f"part {part} of {parts} lacks {count:,} replies" for part, count in cut.items()]
    if absent:
        found.append(f"nobody has begun part {_listed(absent)} of {parts}, counted from 0")
    again = f"build what is missing, on Slurm with --array={_listed(sorted([*absent, *cut]))}"
    whole = shell_line(override("out", out))
    without = f"`sinternal-verl verify select`, with the same words and {whole}, writes the rows of what is there"
    return [*found, f"{again}; or where a request fails each time, {without}"]


def _listed(numbers: Sequence[int]) -> str:
    """As Slurm takes them.

    >>> _listed([0, 2, 3, 4, 7])
    '0,2-4,7'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
