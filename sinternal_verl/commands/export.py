"""`sinternal-verl export`: what it prints and returns."""

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa

from sinternal_verl.commands.messages import fail
from sinternal_verl.data.schema import read_provenance
from sinternal_verl.did_you_mean import did_you_mean_file
from sinternal_verl.export.base import Base
from sinternal_verl.export.checkpoint import Checkpoint
from sinternal_verl.export.errors import ExportError
from sinternal_verl.export.folder import dtype_name
from sinternal_verl.export.write import write_model
from sinternal_verl.runs.digests import COMMIT, digest_of

DATA_KEY = "data.train_files"


def export(source: str, out: str, base: str | None, adapter: bool) -> int:
    """Export and report; return 0, or 2 with a message.

    Args:
        source: folder of a run, of a step, or of an actor.
        base: the model that the run was started from; None takes it from the run's record.
        adapter: write only the LoRA adapter.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    target = Path(out).expanduser()
    try:
        if not Path(source).expanduser().exists():
            raise ExportError(f"--checkpoint {source} does not exist{did_you_mean_file(source)}")
        checkpoint = Checkpoint.find(Path(source).expanduser())
        if adapter and not checkpoint.lora:
            raise ExportError(f"{checkpoint.folder} has no adapter: leave out --adapter")
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ExportError(f"--out {target} is not an empty folder: give another one")
        model = Base(base) if base else _recorded_base(checkpoint)
        written = write_model(checkpoint, target, model, adapter, _data(checkpoint), _say)
    except (ExportError, OSError) as error:
        return fail(str(error))
    if steps := checkpoint.steps_of_an_unfinished_run:
        _warn(
            f"{checkpoint.step} is of a run that has not ended: its last checkpoint is of "
            f"step {steps[0]}, and it is to end at step {steps[1]}. The command that started it goes on from there."
        )
    if base and _changed(checkpoint, base):
        _warn(f"{base} is not what the run was started from: its files differ from those of the run's start")
    if not model:
        _say("note: the base model is not known, so the result was not compared with it; --base names one")
    for note in written.notes:
        _say(f"note: {note}")
    _say(f"wrote {target} ({'adapter, ' if adapter else ''}{dtype_name(written.dtype)})")
    return 0


def _recorded_base(checkpoint: Checkpoint) -> Base | None:
    """The base that the run's record names; None where it names none, or one that is gone or has changed."""
    name = checkpoint.base
    if name is None:
        return None
    was = checkpoint.base_digest
    if was and not was.startswith(COMMIT) and not Path(name).expanduser().is_dir():
        # It was a folder, so the hub is not asked for it.
        _warn(f"the run's base model: {name} is not here any more")
        return None
    try:
        base = Base(name)
    except ExportError as error:
        _warn(f"the run's base model: {error}")
        return None
    if _changed(checkpoint, name):
        _warn(f"{name} has changed since the run was started from it, so it is not used; --base uses it all the same")
        return None
    return base


def _changed(checkpoint: Checkpoint, base: str) -> bool:
    """Whether the base is another one than at the run's start, as far as this is known: a folder and a commit of the
    hub cannot be compared."""
    before, now = checkpoint.base_digest, digest_of(base)
    if before is None or now is None or before.startswith(COMMIT) != now.startswith(COMMIT):
        return False
    return before != now


def _data(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """What the run was trained on, an entry a file: its name, its digest, and how it was made where the file is still
    the same and says so."""
    files = checkpoint.recorded([DATA_KEY]) or []
    files = [files] if isinstance(files, str) else files
    digests = checkpoint.record.get("digests", {}).get(DATA_KEY) or [None] * len(files)
    return [_made(Path(file), digest) for file, digest in zip(files, digests, strict=False)]


def _made(file: Path, digest: str | None) -> dict[str, Any]:
    entry = {"file": file.name, "digest": digest}
    if file.suffix != ".parquet" or not file.is_file() or (digest and digest_of(str(file)) != digest):
        return entry
    try:
        made = read_provenance(file)
    except (OSError, ValueError, pa.ArrowException):  # a file that cannot be read any more says nothing
        return entry
    return entry | ({"made": made} if made else {})


def _say(line: str) -> None:
    print(f"sinternal_verl: {line}", flush=True)


def _warn(line: str) -> None:
    print(f"sinternal_verl: warning: {line}", file=sys.stderr)
