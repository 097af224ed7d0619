"""`sinternal-verl data eval` and `data trotter`: files made of evaluation sets, and what is printed of them."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sinternal_verl.commands.messages import fail
from sinternal_verl.data.readers import SourceError, open_source
from sinternal_verl.evaluation.sets.catalog import SetError
from sinternal_verl.evaluation.sets.loading import Loaded
from sinternal_verl.evaluation.sets.trotter import make_attacks, write_attacks
from sinternal_verl.evaluation.sets.validation import Slice, write_validation


def validation(slices: Sequence[str], out: str, folder: str | None, seed: int) -> int:
    """Write a validation file and report; return 0 when it was written, else 2."""
    target = Path(out).expanduser()
    try:
        parsed = [Slice.parse(text) for text in slices]
        if target.suffix != ".parquet":
            raise SetError(f"--out {out}: verl reads the kind of a file off its name; end it in .parquet")
        _check_target(target, [one.source for one in parsed if one.source])
        target.parent.mkdir(parents=True, exist_ok=True)
        written = write_validation(parsed, target, seed, folder)
    except (SetError, OSError) as error:
        return fail(f"{error}\n{out} was not written")
    for loaded in written.loaded:
        print(described(loaded))
    for source, rows in written.sources.items():
        print(f"{source}: {rows:,} rows")
    print(f"wrote {out}: {sum(written.sources.values()):,} rows, seed {seed}, for data.val_files")
    return 0


def trotter(source: str, out: str, seed: int) -> int:
    """Write attacks made of bare goals and report; return 0 when they were written, else 2."""
    target = Path(out).expanduser()
    try:
        _check_target(target, [source])
        attacks = make_attacks(open_source(source), seed)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_attacks(target, attacks)
    except (SetError, SourceError, OSError) as error:
        return fail(f"{error}\n{out} was not written")
    print(f"wrote {out}: {len(attacks):,} attacks, seed {seed}; read it as the set trotter")
    return 0


def described(loaded: Loaded) -> str:
    """One line about a set that was read; a warning where it is not the paper's."""
    origin: dict[str, Any] = loaded.origin
    place = origin.get("file") or origin.get("url") or origin["hub"]
    if "hub" in origin:
        place = f"{origin['hub']} at {origin['commit'][:12]}"
    line = f"{origin['set']}: {origin['n']:,} items of {place}"
    if origin.get("differs"):
        print(f"warning: {origin['set']} differs from the paper's set: {origin['differs']}", file=sys.stderr)
    if origin.get("pin"):
        line += f"; {origin['pin']}"
    return line


def _check_target(target: Path, sources: Sequence[str]) -> None:
    """Refuse a target that is a folder, or one of the files that are read."""
    if target.is_dir():
        raise SetError(f"--out {target} is a folder; give a file in it")
    for source in map(Path, sources):
        if target.exists() and source.expanduser().exists() and target.samefile(source.expanduser()):
            raise SetError(f"--out {target} is the source itself; give another file")
