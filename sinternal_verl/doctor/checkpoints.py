"""Does the checkpoint folder belong to this configuration? verl resumes whatever checkpoint it finds there."""

from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sinternal_verl.doctor.problem import Problem
from sinternal_verl.runs.record import RECORD, TRACKER, checkpoint_folder, identity, read_record, record_start


def check_checkpoints(config: DictConfig) -> Iterator[Problem]:
    """Refuse a folder that holds another experiment's checkpoints, also with ``resume_mode=disable``: until the
    new run has saved its first checkpoint, the next start would resume the old run."""
    folder = checkpoint_folder(config)
    if folder is None or not (folder / TRACKER).is_file():
        return
    step = "set trainer.experiment_name or trainer.default_local_dir to a new one, or delete the folder"
    before, now = read_record(folder).get("identity"), identity(config)
    if before is None:
        origin = f"of unknown origin (no {RECORD} that says it)"
        reason = f"it holds checkpoints {origin}, and verl would mix them up with this run's"
        yield Problem("trainer.default_local_dir", folder, reason, step)
        return
    if "processes" not in now:
        before.pop("processes", None)  # outside torchrun doctor cannot know their number
    changed = [f"{key}: {before.get(key)} -> {now.get(key)}" for key in now | before if before.get(key) != now.get(key)]
    if changed:
        reason = "it holds checkpoints of another configuration, which verl would resume or mix up: " + "; ".join(
            changed
        )
        yield Problem("trainer.default_local_dir", folder, reason, step)


def write_record(config: DictConfig, metrics: Path | None = None, configuration: Path | None = None) -> list[Problem]:
    """Call `record_start`, and return a problem where the record cannot be written."""
    try:
        record_start(config, metrics, configuration)
    except (OSError, ValueError) as error:
        step = f"give a folder this process may write to, or remove a broken {RECORD} from it"
        folder = checkpoint_folder(config)
        return [Problem("trainer.default_local_dir", folder, f"its {RECORD} cannot be written: {error}", step)]
    except OmegaConfBaseException as error:
        reason = f"it cannot be resolved, and verl resolves every value: {error}"
        return [Problem(error.full_key or "the configuration", None, reason, "give it a value, or what it refers to")]
    return []
