"""Which of several logs of one run is read: the run may have had several tries, and a log may have copies that were
scored or edited afterwards."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, TypeVar

from inspect_ai.log import EvalLog


class Tried(Protocol):
    """A log; see `sinternal_verl.evaluation.results.logs.Log`."""

    name: str
    header: EvalLog
    path: str

    @property
    def finished(self) -> bool: ...


T = TypeVar("T", bound=Tried)


def furthest(logs: Iterable[T]) -> tuple[list[T], list[str]]:
    """The log of each run that went furthest, and what is left out."""
    found: dict[str, T] = {}
    earlier, notes = 0, []
    for log in sorted(logs, key=_progress):
        task = log.header.eval.task_id or log.name
        if other := found.get(task):
            if _progress(other)[:2] == _progress(log)[:2]:
                notes.append(f"{other.name} and {log.name} are of one run: {log.name} is read")
            else:
                earlier += 1
        found[task] = log
    if earlier:
        tries = "try of the same task is" if earlier == 1 else "tries of the same tasks are"
        notes.append(f"{earlier} earlier {tries} left out")
    return list(found.values()), notes


def _progress(log: Tried) -> tuple[bool, str, int, float, str]:
    """How far a log went. Of copies of one try the one with more scores went furthest, and then the one that was
    written last."""
    ended = str(log.header.stats.completed_at or log.header.eval.created)
    scores = len(log.header.results.scores) if log.header.results else 0
    written = Path(log.path).stat().st_mtime if log.path else 0.0
    return log.finished, ended, scores, written, log.name
