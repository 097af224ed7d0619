"""What a check returns. A check never raises for a bad configuration: it yields problems, so that all of them can
be shown at once. A doubt that does not stop the run is a note."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sinternal_verl.runs.secrets import masked


@dataclass(frozen=True)
class Finding:
    """One thing that a check has found.

    Attributes:
        key: the Hydra key, environment variable or file it is about.
        value: the offending value, shown as it is but for secrets; None shows nothing.
        reason: what is wrong, a sentence without a full stop.
        next_step: what the user can type or change.
    """

    key: str
    value: Any
    reason: str
    next_step: str

    def __str__(self) -> str:
        head = self.key if self.value is None else f"{self.key} = {masked(self.key, self.value)}"
        return f"{head}\n     {self.reason}\n     -> {self.next_step}"


class Problem(Finding):
    """A finding that would make the run fail or give wrong results, so the run does not start."""


class Note(Finding):
    """A warning: the run still starts."""


def problems_of(findings: Iterable[Finding]) -> list[Problem]:
    """The findings that keep a run from starting."""
    return [finding for finding in findings if isinstance(finding, Problem)]


def report(findings: Sequence[Finding]) -> str:
    """The numbered problems, or a line that all checks passed; then the notes."""
    problems = problems_of(findings)
    notes = [finding for finding in findings if not isinstance(finding, Problem)]
    lines = ["sinternal_verl: all checks passed"]
    if problems:
        lines = [f"sinternal_verl: {_count(problems, 'problem')} in the configuration; no model was loaded."]
        lines += [f"{number:3}. {problem}" for number, problem in enumerate(problems, 1)]
    if notes:
        stop = "which would not stop the run" if problems else "the run still starts"
        lines += [f"sinternal_verl: {_count(notes, 'warning')}, {stop}.", *(f"  *  {note}" for note in notes)]
    return "\n".join(lines)


def _count(findings: Sequence[Finding], word: str) -> str:
    return f"1 {word}" if len(findings) == 1 else f"{len(findings)} {word}s"
