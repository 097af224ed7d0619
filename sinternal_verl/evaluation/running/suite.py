"""Runs the tasks of a plan by Inspect's `eval_set`, with its logs in one folder, so that the same call goes on.

1. Items that have ended well are never asked again; what was in flight when a call was killed, and what failed, is.
2. A failed item does not end a task: it is counted, and its task counts as unfinished until a later call brings it.
3. Inspect's own display is off; a line of ours shows how far it is (`progress`).
4. Where as many items in a row as there are requests at a time have no answer or verdict after their last try, a
   server is gone, and the suite ends, instead of trying the others for minutes each.
5. Where no item can be asked for, because a judge cannot be reached, say, the first one ends the suite.
6. Finished items stand in Inspect's database of this machine at once, and in the log some at a time.
"""

import logging
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inspect_ai import eval_set, task_with
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.log import (
    EvalLog,
    list_eval_logs,
    read_eval_log_sample_summaries,
    recover_eval_log,
    recoverable_eval_logs,
)
from inspect_ai.model import Model

from sinternal_verl.evaluation.running.cast import UNDER_TEST
from sinternal_verl.evaluation.running.models import plain
from sinternal_verl.evaluation.running.plan import Planned
from sinternal_verl.evaluation.running.progress import Progress, error_name, is_unscored, quiet_inspect, shown
from sinternal_verl.evaluation.running.serving import Server, watched
from sinternal_verl.evaluation.running.vllm_command import CONNECTIONS

logger = logging.getLogger(__name__)

LOGS = "logs"
MAX_TASKS = 4
"""[ours] Tasks at a time, so that the last long answers of one do not leave the server idle."""

MIN_PATIENCE = 8
"""[ours] Items in a row without an answer or verdict that do not end a suite with few connections."""


class SuiteFailed(RuntimeError):
    """Inspect refuses to run the tasks, or a server that is not ours no longer serves."""


@dataclass(frozen=True)
class Ran:
    """How a call ended.

    Attributes:
        logs: headers of the tasks' logs.
        progress: what it did.
    """

    logs: Sequence[EvalLog]
    progress: Progress

    @property
    def unfinished(self) -> list[str]:
        """Tasks that are not done."""
        return [_task_of(log) for log in self.logs if log.status != "success"]

    @property
    def broken(self) -> dict[str, str]:
        """Tasks that something else than an item ended, such as a log that cannot be written, and what it was."""
        return {_task_of(log): error_name(log.error.traceback) for log in self.logs if log.error is not None}

    @property
    def without_value(self) -> list[str]:
        """Tasks that are done and have a scorer without a value for any item."""
        done = [log for log in self.logs if log.status == "success" and log.results]
        return [_task_of(log) for log in done if any(score.scored_samples == 0 for score in log.results.scores)]


def run_suite(
    plan: Sequence[Planned],
    models: Mapping[str, Model],
    out: Path,
    limit: int | None = None,
    seed: int | None = None,
    connections: int = CONNECTIONS,
    servers: Sequence[Server] = (),
) -> Ran:
    """Run the tasks to their end.

    Args:
        models: by `UNDER_TEST` and the judges' names.
        out: folder; the logs go into its folder ``logs``.
        limit: items of each set, the first ones; None takes all.
        seed: of the sampling; each item and epoch gets one of its own. None sends none.
        connections: requests to a model at a time.
        servers: that the run stands on.

    Raises:
        SuiteFailed: Inspect refuses, and the message is Inspect's; or a server no longer serves.
        ServerFailed: a server has ended.
        KeyboardInterrupt: the user ends it; what is done is kept.
    """
    logs = out / LOGS
    logs.mkdir(parents=True, exist_ok=True)
    tasks = [
        task_with(each.task, model_roles={role: models[judge] for role, judge in each.roles.items()}) for each in plan
    ]
    total = sum(each.items(limit) for each in plan)
    patience = max(connections, MIN_PATIENCE)
    recover(logs)
    earlier, unscored = finished(logs)
    progress = Progress(total, earlier, unscored=unscored, patience=patience, end=_interrupt)

    try:
        with quiet_inspect(), shown(progress), watched(servers, _interrupt), _terminated_like_interrupted():
            _, found = eval_set(
                tasks,
                log_dir=str(logs),
                # Without waits between attempts: the same command is the next attempt.
                retry_attempts=0,
                retry_immediate=False,
                model=models[UNDER_TEST],
                limit=limit,
                seed=seed,
                display="none",
                score_display=False,
                # Finished items stand in a database of this machine at once, and the next start takes them from there.
                # Inspect writes a log as a whole: a write for each item would take 10,000 items half an hour. (0.3.285)
                log_realtime=True,
                log_buffer=connections,
                log_level="warning",
                ctl_server=False,
                # A failed item fails its task at the end, and not the items after it.
                fail_on_error=True,
                continue_on_fail=True,
                max_tasks=MAX_TASKS,
                max_samples=connections,
                max_connections=connections,
            )
            # Inspect takes an interrupt for itself, and returns no logs. (0.3.285)
            if len(found) < len(tasks):
                raise KeyboardInterrupt
    except PrerequisiteError as error:
        raise SuiteFailed(plain(str(error))) from error
    except KeyboardInterrupt:
        if progress.refused:
            raise SuiteFailed(plain(progress.refused)) from None
        if progress.in_a_row < patience:
            raise
        what = ", ".join([*progress.errors, *(["judge not reached"] if progress.unjudged else [])])
        raise SuiteFailed(f"a server no longer serves: {patience} items in a row failed ({what})") from None
    return Ran(found, progress)


def _task_of(log: EvalLog) -> str:
    return log.eval.task.rpartition("/")[2]


def recover(logs: Path) -> None:
    """Put into the logs what a killed call had finished and not written, where it ran on this machine."""
    for each in recoverable_eval_logs(str(logs)):
        try:
            recover_eval_log(each.log.name, overwrite=True)
        except (OSError, ValueError, sqlite3.Error) as error:
            logger.warning("%s: what was not written of it is asked again: %s", each.log.name, error)


def finished(logs: Path) -> tuple[int, int]:
    """Items that earlier calls have finished, by the latest log of each task, and how many of them are unscored."""
    latest = {}
    for info in sorted(list_eval_logs(str(logs)), key=lambda info: info.mtime or 0):
        latest[info.task] = info
    items = unscored = 0
    for info in latest.values():
        summaries = read_eval_log_sample_summaries(info)
        # By its id and epoch: a log that goes on lists an item twice.
        done = {(each.id, each.epoch): each for each in summaries if each.completed and each.error is None}
        items += len(done)
        unscored += sum(
            any(is_unscored(score.value) for score in (each.scores or {}).values()) for each in done.values()
        )
    return items, unscored


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Have SIGTERM end the block as Ctrl-C does, by way of Inspect, which then writes its logs; then exit with 143."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told = []

    def tell(number: int, _: object) -> None:
        told.append(number)
        _interrupt()

    before = signal.signal(signal.SIGTERM, tell)
    try:
        yield
    except KeyboardInterrupt:
        if told:
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
