"""`sinternal-verl export`: what it prints and returns."""

import sys
from pathlib import Path

from sinternal_verl.commands.messages import fail
from sinternal_verl.did_you_mean import did_you_mean_file
from sinternal_verl.export.checkpoint import Checkpoint, ExportError
from sinternal_verl.export.fuse import write_model


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
        base = base or checkpoint.base
        if target.exists() and any(target.iterdir()):
            raise ExportError(f"--out {target} is not empty: give another folder")
        dtype = write_model(checkpoint, target, base, adapter)
    except (ExportError, OSError) as error:
        return fail(str(error))
    if steps := checkpoint.steps_of_an_unfinished_run:
        print(
            f"sinternal_verl: warning: {checkpoint.step} is of a run that has not ended: its last checkpoint is of "
            f"step {steps[0]}, and it is to end at step {steps[1]}. The command that started it goes on from there.",
            file=sys.stderr,
        )
    if not base:
        print(
            "note: the base model is not known (the run left no record, and there is no --base), so the result was "
            "not compared with it"
        )
    print(f"sinternal_verl: wrote {target} ({'adapter, ' if adapter else ''}{str(dtype).removeprefix('torch.')})")
    return 0
