"""`sinternal-verl data math` and `sinternal-verl data check`: what they print and return."""

import sys
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from sinternal_verl.data.check import CheckError, check_file, load_router
from sinternal_verl.data.convert import Labels, Result, convert, rejected_path
from sinternal_verl.data.readers import Hub, SourceError, open_source
from sinternal_verl.scoring.registry import ScorerError


def convert_math(source: str, out: str, labels: Labels, hub: Hub, skip_bad: bool) -> int:
    """Convert and report; return 0 when ``out`` was written, else 2."""
    target = Path(out).expanduser()
    try:
        _check_target(source, target)
        opened = open_source(source, hub)
        target.parent.mkdir(parents=True, exist_ok=True)
        result = convert(opened, target, labels, skip_bad)
    except (SourceError, OSError) as error:
        return _fail(str(error))
    for line in result.bad.lines():
        print(line, file=sys.stderr)
    for line in _summary(result, labels):
        print(line)
    if not Path(source).expanduser().is_file() and not hub.revision:
        print("note: this is the newest revision on the hub; give --revision to read the same rows again")
    if result.bad.count:
        print(f"every bad row and its reason: {rejected_path(target)}")
    if result.saved:
        print(f"wrote {out}")
        return 0
    if result.written:
        return _fail(f"{out} was not written: correct the bad rows, or leave them out with --skip-bad")
    return _fail(f"{out} was not written: there is no good row in {source}")


def _check_target(source: str, target: Path) -> None:
    if target.suffix != ".parquet":
        raise SourceError(f"--out {target}: verl reads the kind of a file off its name; end it in .parquet")
    if target.is_dir():
        raise SourceError(f"--out {target} is a folder; give a file in it")
    if target.exists() and Path(source).expanduser().exists() and target.samefile(Path(source).expanduser()):
        raise SourceError(f"--out {target} is the source itself; give another file")


def _summary(result: Result, labels: Labels) -> list[str]:
    lines = []
    if result.reader:
        adapter = result.reader.adapter
        source = labels.data_source or adapter.name
        lines.append(f"data_source {source}, index from {result.reader.index or 'the row number'}")
        if adapter.size and not labels.data_source and result.written != adapter.size:
            lines.append(
                f"note: {adapter.name} has {adapter.size} problems, these are {result.written:,}; "
                "if it is another set, name it with --data-source"
            )
    lines.append(
        f"rows: read {result.read:,}, good {result.written:,}, duplicates {result.duplicates:,} (the first of each "
        f"is good), bad {result.bad.count:,}"
    )
    return lines


def check(file: str, overrides: list[str]) -> int:
    """Check a parquet file against what a run's scorers need; return 0 when it is fit, else 2."""
    try:
        router, keys = load_router(overrides)
        checked = check_file(file, router, *keys)
    except (HydraException, OmegaConfBaseException) as error:
        return _fail(f"the overrides do not compose.\n{error}")
    except (CheckError, ScorerError, SourceError) as error:
        return _fail(str(error))
    for line in checked.warnings.lines():
        print(f"warning: {line}", file=sys.stderr)
    for line in checked.problems.lines():
        print(line, file=sys.stderr)
    for source, rows in checked.rows.items():
        scorer = checked.scorers[source]
        print(f"{source}: {rows:,} rows, {f'scorer {scorer.key}' if scorer else 'no scorer'}")
    if checked.problems.count:
        return _fail(f"{file} is not fit for training (problems: {checked.problems.count:,})")
    print(f"sinternal_verl: {file} is fit for training")
    return 0


def _fail(message: str) -> int:
    print(f"sinternal_verl: {message}", file=sys.stderr)
    return 2
