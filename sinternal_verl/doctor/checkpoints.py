"""Does the checkpoint folder belong to this configuration? verl resumes whatever checkpoint it finds there."""

from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, ListConfig
from omegaconf.errors import OmegaConfBaseException

from sinternal_verl.config import get, is_ppo
from sinternal_verl.doctor.machine import hardware_here
from sinternal_verl.doctor.problem import Finding, Note, Problem
from sinternal_verl.runs.command import typed_command
from sinternal_verl.runs.identity import (
    Change,
    Identity,
    accepted_by,
    compare,
    identity_of,
    may_be_accepted,
    recorded_identity,
)
from sinternal_verl.runs.record import (
    RECORD,
    STACK,
    TRACKER,
    checkpoint_folder,
    read_record,
    record_start,
    version_of,
)
from sinternal_verl.runs.tracking import step_to_resume

FOLDER, START = "trainer.default_local_dir", "trainer.resume_from_path"
ACCEPT = "sinternal.accept_changes"
AFRESH = "set trainer.experiment_name or trainer.default_local_dir to a new one"
MAX_SHOWN = 20
"""How many changes are shown each on its own line."""


def check_checkpoints(config: DictConfig) -> Iterator[Finding]:
    """Refuse a folder that holds another experiment's checkpoints, also with ``resume_mode=disable``: until the
    new run has saved its first checkpoint, the next start would resume the old run. The same holds of a checkpoint in
    another folder from which the run is to go on."""
    folder, start = checkpoint_folder(config), get(config, START)
    if folder is not None and (folder / TRACKER).is_file():
        yield from _belongs(config, FOLDER, folder)
    mode = get(config, "trainer.resume_mode", "auto")
    # verl's SFT main takes the path under auto, too. (verl 0.9.1)
    if start and (mode == "resume_path" or (mode == "auto" and not is_ppo(config))):
        other = Path(start).expanduser().absolute().parent
        if folder is None or other != folder.absolute():
            yield from _belongs(config, START, other)


def _belongs(config: DictConfig, key: str, folder: Path) -> Iterator[Finding]:
    before = recorded_identity(read_record(folder))
    if before is None:
        origin = f"of unknown origin (no {RECORD} that says it)"
        if key == START:
            yield Note(key, folder, f"it holds checkpoints {origin}", "nothing, where they fit this configuration")
            return
        reason = f"it holds checkpoints {origin}, and verl would mix them up with this run's"
        yield Problem(key, folder, reason, f"{AFRESH}, or delete the folder")
        return
    now = identity_of(config, {name: version_of(name) for name in STACK})
    changed, unknown = compare(before, now, config)
    yield from _refused(config, key, folder, changed)
    yield from _not_compared(key, folder, before, unknown)


def _refused(config: DictConfig, key: str, folder: Path, changed: list[Change]) -> Iterator[Finding]:
    accepted = get(config, ACCEPT, [])
    accepted = [str(one) for one in (accepted if isinstance(accepted, list | ListConfig) else [accepted])]
    for change in changed:
        if not may_be_accepted(change, config):
            reason = (
                f"the number of training processes was {change.old} and is {change.new}: FSDP names its files by it, "
                "and verl cannot load them"
            )
            how = "trainer.n_gpus_per_node times trainer.nnodes" if is_ppo(config) else "torchrun's processes"
            yield Problem(key, folder, reason, f"let {how} be {change.old}, or {AFRESH}")
    others = [change for change in changed if may_be_accepted(change, config)]
    left = [change for change in others if not accepted_by(change, accepted)]
    if left:
        lines = [f"\n       {change}" for change in left[:MAX_SHOWN]]
        lines += [f"\n       and {len(left) - MAX_SHOWN} more"] if len(left) > MAX_SHOWN else []
        reason = "it holds checkpoints of another configuration, which verl would resume or mix up:" + "".join(lines)
        keys = ",".join(dict.fromkeys([*accepted, *(change.key for change in left)]))
        yield Problem(key, folder, reason, f"{AFRESH}; or go on with all of this: '{ACCEPT}=[{keys}]'")
    elif others:
        lines = "".join(f"\n       {change}" for change in others)
        yield Note(key, folder, f"the run goes on with what was accepted:{lines}", "nothing")
    unused = [one for one in accepted if not any(accepted_by(change, [one]) for change in others)]
    if unused:
        yield Note(ACCEPT, ", ".join(unused), "nothing has changed there", "leave it out, so that no change is missed")


def _not_compared(key: str, folder: Path, before: Identity, unknown: list[Change]) -> Iterator[Note]:
    if not before.whole:
        reason = f"an earlier version of sinternal_verl kept {len(before.values)} values of its run, and no others"
        yield Note(key, folder, f"{reason} can be compared", "nothing; this start keeps all of them")
    if unknown:
        shown = "; ".join(map(str, unknown[:MAX_SHOWN]))
        more = f" and {len(unknown) - MAX_SHOWN} more" if len(unknown) > MAX_SHOWN else ""
        reason = f"keys that only one of two versions of verl or sinternal_verl has are not compared: {shown}{more}"
        yield Note(key, folder, reason, "nothing, where they are not yours")


def write_record(config: DictConfig, metrics: Path | None = None, configuration: Path | None = None) -> list[Problem]:
    """Call `record_start`, and return a problem where the record cannot be written."""
    folder = checkpoint_folder(config)
    try:
        start = {"from_step": step_to_resume(config, folder), "command": typed_command()} if folder else {}
        record_start(config, metrics, configuration, **start, hardware=hardware_here(config))
    except (OSError, ValueError) as error:
        step = f"give a folder this process may write to, or remove a broken {RECORD} from it"
        return [Problem(FOLDER, folder, f"its {RECORD} cannot be written: {error}", step)]
    except OmegaConfBaseException as error:
        reason = f"it cannot be resolved, and verl resolves every value: {error}"
        return [Problem(error.full_key or "the configuration", None, reason, "give it a value, or what it refers to")]
    return []
