"""The run's own metrics file: one JSON line for each step, and each step once over all starts of the run.

verl's file logger empties its file at every start; this file is appended to. A resumed run repeats the
steps after its checkpoint. Their earlier records move to ``<name>.superseded.jsonl``, so that the file has
each step once and no record is lost. (verl logs a step after it has saved the checkpoint: a run that is
killed in between has no record of that step.)
"""

import os
from pathlib import Path
from typing import Any

import orjson

from sinternal_verl.scoring.plain import as_float, plain

METRICS_FILE = "metrics.jsonl"
"""In the checkpoint folder."""


class MetricsFile:
    """A backend of verl's ``Tracking``: ``log(data, step)`` and ``finish()``.

    Args:
        path: JSON lines ``{"step": int, "data": {name: value}}``, as verl's own file logger writes.
        done: the step of the checkpoint that this start resumes from; 0 for a run from scratch.
    """

    def __init__(self, path: Path, done: int) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._last = self._set_aside_after(done) if path.exists() else -1
        self._file = path.open("ab", buffering=0)

    def log(self, data: dict[str, Any], step: int) -> None:
        """Append one step, unless it is there already: a resumed run validates its last step again."""
        if step > self._last:
            self._last = step
            numbers = {str(name): _metric(value) for name, value in data.items()}
            self._file.write(orjson.dumps({"step": step, "data": numbers}) + b"\n")

    def finish(self) -> None:
        self._file.close()

    def _set_aside_after(self, done: int) -> int:
        """Move the records of steps that will run again; return the last step that stays, or -1."""
        kept, superseded, last = [], [], -1
        *lines, _torn = self.path.read_bytes().split(b"\n")
        for line in lines:
            step = orjson.loads(line)["step"]
            if step <= done and done > 0:
                kept.append(line + b"\n")
                last = step
            else:
                superseded.append(line + b"\n")
        if superseded:
            with self.path.with_suffix(".superseded.jsonl").open("ab") as other:
                other.writelines(superseded)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_bytes(b"".join(kept))
        os.replace(temporary, self.path)
        return last


def _metric(value: Any) -> Any:
    """A number as such, and any other value as JSON can hold it: a metric that is none must not end the run.

    >>> _metric(True), _metric(3), _metric([1, {2.5}])
    (True, 3, [1, [2.5]])
    """
    if isinstance(value, bool | int):
        return plain(value)
    found = as_float(value)
    return plain(value) if found is None else found
