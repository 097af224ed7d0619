"""Reads the prompts that are to be answered: harmful and benign requests, each once.

A file either has verl's RL schema (as `sinternal-verl data safety` and `data mix` write it) or is a raw set that
`sinternal_verl.data.safety` knows. Rows of other sources in a mix, such as mathematics, are passed over and counted.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sinternal_verl.data.adapter import RowError, lookup, text_of
from sinternal_verl.data.contamination import Evaluation, find
from sinternal_verl.data.findings import Findings
from sinternal_verl.data.readers import SourceError, Unreadable, open_source
from sinternal_verl.data.safety import Harm, SafetyReader
from sinternal_verl.data.seen import SeenPrompts


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request.

    Attributes:
        text: what the user says.
        harm: harmful or benign.
        source: the set's ``data_source``.
        index: the row's index in the set; its number in the file where it has none.
    """

    text: str
    harm: Harm
    source: str
    index: str


class Prompts:
    """All prompts of a source. Each iteration reads it anew, so that only digests of the prompts stay in memory.

    Args:
        name: a file or hub id.
        label: the label of all rows, for a raw set without labels.
        evaluations: evaluation sets whose prompts are left out.
        shard: (i, n) takes every n-th prompt, from number i on (0 is the first).

    Attributes:
        counts: of the last iteration, the rows ``read``, ``passed over``, ``duplicates`` and ``contaminated``
            and the prompts ``harmful`` and ``benign``.
        bad: of the last iteration, the rows that cannot be used, also those whose label contradicts an
            earlier row's.

    Raises:
        SourceError: there is no such file. An iteration raises it where no column is known to hold requests.
    """

    def __init__(
        self,
        name: str,
        label: Harm | None = None,
        evaluations: Sequence[Evaluation] = (),
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        self.source = open_source(name)
        self._label, self._evaluations, self._shard = label, evaluations, shard
        self.counts: Counter[str] = Counter()
        self.bad = Findings()

    def __iter__(self) -> Iterator[Prompt]:
        self.counts, self.bad = Counter(), Findings()
        part, parts = self._shard
        for number, prompt in enumerate(self._fresh()):
            if number % parts == part:
                self.counts[prompt.harm] += 1
                yield prompt

    def _fresh(self) -> Iterator[Prompt]:
        """The prompts that did not come before and are in no evaluation set."""
        known = SeenPrompts()
        for number, prompt in self._read():
            first, same = known.first(prompt.text, prompt.harm, number)
            if not same:
                where = self.source.where(number)
                there = self.source.place.format(first)
                self.bad.add(f"{where}: the same request has another label in {there}; drop one of them")
            elif first != number:
                self.counts["duplicates"] += 1
            elif find(prompt.text, self._evaluations):
                self.counts["contaminated"] += 1
            else:
                yield prompt

    def _read(self) -> Iterator[tuple[int, Prompt]]:
        reader = None
        for row_number, (number, row) in enumerate(self.source.rows()):
            self.counts["read"] += 1
            try:
                if isinstance(row, Unreadable):
                    raise RowError(row.reason)
                if not _is_rl_row(row):
                    reader = reader or self._reader(row)
                    row = reader.read(row, row_number)
                if row["data_source"].startswith("safety/"):
                    yield number, _prompt_of(row, row_number)
                else:
                    self.counts["passed over"] += 1
            except RowError as error:
                self.bad.add(f"{self.source.where(number)}: {error}")

    def _reader(self, first: dict[str, Any]) -> SafetyReader:
        try:
            return SafetyReader(first, harm=self._label, rows=self.source.rows)
        except RowError as error:
            raise SourceError(f"{self.source.name}: {str(error).replace('--label', 'label=')}") from error


def _is_rl_row(row: dict[str, Any]) -> bool:
    return isinstance(row.get("reward_model"), dict) and isinstance(row.get("data_source"), str)


def _prompt_of(row: dict[str, Any], row_number: int) -> Prompt:
    messages, harm = row.get("prompt"), row["reward_model"].get("ground_truth")
    if harm not in ("harmful", "benign"):
        raise RowError(f"reward_model.ground_truth is {harm!r:.40}, not harmful or benign")
    if not isinstance(messages, list) or [lookup(message, "role") for message in messages] != ["user"]:
        raise RowError("prompt must be one message, the user's")
    text = text_of("prompt", messages[0].get("content"))
    index = lookup(row, "extra_info.index")
    return Prompt(text, harm, row["data_source"], str(row_number if index is None else index))
