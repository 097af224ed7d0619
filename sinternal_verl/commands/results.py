"""The results of `sinternal-verl score`: one line of JSON a row, in the rows' order, appended as they come.

Beside the file stands ``<file>.meta.json``, which says of what rows and by what settings it was made. A
file that is not finished is continued when that agrees; results at its end that are failures are made again.
"""

import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from sinternal_verl import __version__
from sinternal_verl.scoring.score import Outcome, Sample, Score

RETRYABLE = frozenset(outcome.name.lower() for outcome in (Outcome.FAILED, Outcome.TIMED_OUT))
"""Outcomes that another try may mend."""


class ResultsError(ValueError):
    """A file of results that cannot be continued; the message says why and what to do."""


class Results:
    """Use as a context manager; `done` rows are in the file already.

    Args:
        made_of: what identifies rows and settings, as JSON values.

    Raises:
        ResultsError: the file is of other rows, of other settings, or none of ours.
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

    def add(self, number: int, sample: Sample, score: Score) -> None:
        """Append the result of one row; the line is whole or, after a kill, cut off and made again."""
        result = {
            **score.extra,
            "row": number,
            "data_source": sample.source,
            "score": score.value if score.scored else None,
            "outcome": score.outcome.name.lower(),
            "scored": score.scored,
            "reason": score.reason,
        }
        self._file.write(json.dumps(result) + "\n")
        self._file.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _resume(self) -> int:
        """Check what is there, cut off what is to be made again, and count the rest."""
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
                # Failures count only when something stands behind them.
                if _outcome_of(line) is None:
                    raise ResultsError(f"{self._target}, line {number + 1} is no result: {step}")
                if _outcome_of(line) not in RETRYABLE:
                    done, whole = number + 1, size
        with self._target.open("ab") as file:
            file.truncate(whole)
        return done


def _outcome_of(line: bytes) -> str | None:
    try:
        return json.loads(line)["outcome"]
    except (ValueError, TypeError, KeyError):
        return None
