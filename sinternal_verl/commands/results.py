"""The results of `sinternal-verl score`: a line of JSON for each row, in the rows' order, appended as they come.

The file ``<file>.meta.json`` beside it says from which rows and with which settings it was made. An unfinished
file is continued where these agree. Failures at the end of the file are scored again.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from sinternal_verl import __version__
from sinternal_verl.scoring.plain import plain
from sinternal_verl.scoring.score import GUARD_TIMES, Outcome, Sample, Score

COLUMNS = ("row", "data_source", "score", "outcome", "scored", "reason")
"""What every result has."""

RETRYABLE = frozenset(outcome.name.lower() for outcome in (Outcome.FAILED, Outcome.TIMED_OUT))
"""Outcomes that another try may change."""


class ResultsError(ValueError):
    """A file of results cannot be continued; the message says why and what to do."""


class Results:
    """A file of results; use it as a context manager.

    Args:
        made_of: what identifies rows and settings, as JSON values.

    Attributes:
        done: number of rows whose results the file has already.

    Raises:
        ResultsError: the file was made from other rows or settings, or is no file of results.
    """

    def __init__(self, target: Path, made_of: dict[str, Any]) -> None:
        self._target, self._meta = target, target.with_name(f"{target.name}.meta.json")
        self._made_of = json.loads(json.dumps(made_of))
        self._file: IO[str] | None = None
        self.done = self._resume() if target.exists() else 0

    def __enter__(self) -> "Results":
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._meta.write_text(json.dumps({"version": __version__, **self._made_of}, indent=2) + "\n")
        self._file = self._target.open("a", encoding="utf-8")
        return self

    def add(self, number: int, sample: Sample, score: Score, row: Mapping[str, Any] | None = None) -> None:
        """Append the result of one row, without `GUARD_TIMES`: two runs with equal verdicts make equal files. A kill
        may leave half a line, which the next start removes.

        Args:
            number: the row's number, from 0.
            row: the row's own columns, which the result keeps but for those of its own names.
        """
        extra = score.extra if isinstance(score.extra, Mapping) else {"extra": score.extra}
        result = {
            **_strict(row or {}),
            **plain({name: value for name, value in extra.items() if name not in GUARD_TIMES}),
            "row": number,
            "data_source": sample.source,
            "score": score.value if score.scored else None,
            "outcome": score.outcome.name.lower(),
            "scored": score.scored,
            "reason": score.reason,
        }
        self._file.write(json.dumps(result, default=str) + "\n")
        self._file.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _resume(self) -> int:
        """Check the results in the file, cut off those to be made again, and count the rest."""
        step = f"give another --out, or remove {self._target}"
        try:
            known = json.loads(self._meta.read_text())
        except (OSError, ValueError) as error:
            raise ResultsError(f"{self._target} is there, but {self._meta.name} cannot be read: {step}") from error
        for key, value in self._made_of.items():
            if known.get(key) != value:
                was = json.dumps(known.get(key))[:200]
                raise ResultsError(f"{self._target} was made with {key} = {was}, now it is {value!s:.200}: {step}")
        done, whole, size = 0, 0, 0
        with self._target.open("rb") as lines:
            for number, line in enumerate(lines):
                size += len(line)
                if not line.endswith(b"\n"):
                    break
                # Failures are kept only where another result follows them.
                if _outcome_of(line) is None:
                    raise ResultsError(f"{self._target}, line {number + 1} is no result: {step}")
                if _outcome_of(line) not in RETRYABLE:
                    done, whole = number + 1, size
        with self._target.open("ab") as file:
            file.truncate(whole)
        return done


def _strict(value: Any) -> Any:
    """A row's value as strict JSON can hold it: NaN and infinities become None. Nothing is cut, unlike in `plain`."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    return [_strict(item) for item in value] if isinstance(value, list | tuple) else value


def _outcome_of(line: bytes) -> str | None:
    try:
        return json.loads(line)["outcome"]
    except (ValueError, TypeError, KeyError):
        return None
