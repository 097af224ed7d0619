"""Which prompts of a training set stand in an evaluation set, whole or in part.

1. A text is its words: NFKC, lower case, runs of letters and digits; an instruction of ours is removed.
2. Two texts match as a whole if their words are the same.
3. They match in part if they share a run of `n` words (13 is customary). A text that is shorter matches
   only as a whole, on either side: of XSTest nearly all are, so a smaller `n` finds more of them, and
   more that only sound alike.

This errs on removing: "1 + 1" and "1 - 1" have the same words, and a run may be a common phrase ("where m
and n are relatively prime positive integers. Find m"). Of a text only hashes stay in memory.

>>> found = Evaluation("rules.csv", ("prompt",), 4)
>>> found.add(1, "May I feed the ducks?")
>>> found.match(Fingerprint("Tell me: may I FEED the ducks, please?", 4))
Match(against='rules.csv', row=1, how='words')
>>> found.match(Fingerprint("May I see the ducks?", 4)) is None
True
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sinternal_verl.data.adapter import Row, RowError, lookup, names_of, text_of
from sinternal_verl.data.math import bare
from sinternal_verl.data.readers import Source, SourceError, Unreadable, open_source
from sinternal_verl.hashing import digest

TEXT_COLUMNS = (
    *("prompt", "problem", "question", "instruction"),  # what our adapters know, and verl's own files
    *("vanilla", "adversarial"),  # WildJailbreak
    *("forbidden_prompt", "adversarial_prompt", "benign_prompt"),  # StrongREJECT, FORTRESS
    *("Behavior", "Goal", "Request", "ptq"),  # HarmBench, H-CoT, Mousetrap
)
"""Columns of evaluation files that hold what is asked; of a file, each that it has is compared."""

WORD = re.compile(r"[^\W_]+")
NGRAM = 13


@dataclass(frozen=True, slots=True)
class Match:
    """Where a prompt was found.

    Attributes:
        against: the evaluation file.
        row: the row in it, numbered as its reader does.
        how: ``whole`` or ``words``, a run of them.
    """

    against: str
    row: int
    how: str


class Fingerprint:
    """Hashes of a text: of the whole, and of every run of ``n`` words."""

    def __init__(self, text: str, n: int) -> None:
        self._words, self._n = words_of(text), n
        self.whole = _hash(self._words)

    @cached_property
    def runs(self) -> list[int]:
        """Empty for a text of fewer words."""
        n, words = self._n, self._words
        return [_hash(words[start : start + n]) for start in range(len(words) - n + 1)]


@dataclass
class Evaluation:
    """The texts of one evaluation file, as hashes with the row each came first in.

    Attributes:
        name: as the user gave it.
        columns: in which the texts stand.
        texts: how many were read.
        short: how many of them have fewer than ``n`` words.
        origin: what identifies the file's content.
    """

    name: str
    columns: tuple[str, ...]
    n: int = NGRAM
    origin: dict[str, Any] = field(default_factory=dict)
    texts: int = 0
    short: int = 0
    _whole: dict[int, int] = field(default_factory=dict, repr=False)
    _runs: dict[int, int] = field(default_factory=dict, repr=False)

    def add(self, row: int, text: str) -> None:
        fingerprint = Fingerprint(text, self.n)
        self.texts += 1
        self.short += not fingerprint.runs
        self._whole.setdefault(fingerprint.whole, row)
        for run in fingerprint.runs:
            self._runs.setdefault(run, row)

    def match(self, fingerprint: Fingerprint) -> Match | None:
        """Where it is; the fingerprint must be of the same ``n``."""
        if (row := self._whole.get(fingerprint.whole)) is not None:
            return Match(self.name, row, "whole")
        found = (self._runs[run] for run in fingerprint.runs if run in self._runs)
        return next((Match(self.name, row, "words") for row in found), None)


def read_evaluation(name: str, n: int = NGRAM) -> Evaluation:
    """The evaluation of ``FILE`` or ``FILE#column``, any source that the adapters read.

    Raises:
        SourceError: it cannot be read, has no such column, or a row has no text: what is not read is
            not found in the training set either.
    """
    source, column = _open(name)
    evaluation = None
    for number, row in source.rows():
        try:
            if isinstance(row, Unreadable):
                raise RowError(row.reason)
            if evaluation is None:
                evaluation = Evaluation(name, _columns(row, column), n, source.origin())
            texts = [text for name in evaluation.columns if (text := _text(name, lookup(row, name)))]
            if not texts:
                raise RowError(f"there is no text in {', '.join(evaluation.columns)}")
        except RowError as error:
            step = "repair the row, or name another column with FILE#column"
            raise SourceError(f"{source.where(number)}: {error}; {step}") from error
        for text in texts:
            evaluation.add(number, text)
    if evaluation is None:
        raise SourceError(f"{source.name} holds no rows; give a file with at least one")
    return evaluation


def find(text: str, evaluations: Sequence[Evaluation]) -> list[Match]:
    """Where a prompt stands, at most once for each evaluation."""
    fingerprints = {n: Fingerprint(text, n) for n in {evaluation.n for evaluation in evaluations}}
    return [match for each in evaluations if (match := each.match(fingerprints[each.n]))]


def words_of(text: str) -> list[str]:
    """A text without any is its own word, so that it is still found as a whole.

    >>> words_of("Feed the DUCKS_2!"), words_of("?!")
    (['feed', 'the', 'ducks', '2'], ['?!'])
    """
    return WORD.findall(unicodedata.normalize("NFKC", bare(text)).lower()) or [text.strip()]


def asked(messages: list[Any]) -> str:
    """What the user says in a prompt of messages.

    >>> asked([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}])
    '1+1?'
    """
    said = (lookup(message, "content") for message in messages if lookup(message, "role") == "user")
    return "\n".join(text_of("content", content) for content in said)


def _hash(words: list[str]) -> int:
    # Python's own hash differs between processes, and one run must remove what another did.
    return int.from_bytes(digest(" ".join(words), 8), "big")


def _open(name: str) -> tuple[Source, str | None]:
    try:
        return open_source(name), None
    except SourceError:
        file, mark, column = name.rpartition("#")
        if not mark:
            raise
        return open_source(file), column


def _columns(first: Row, column: str | None) -> tuple[str, ...]:
    if column is not None and lookup(first, column) is None:
        raise RowError(f"there is no {column}; the columns are {names_of(first)}")
    columns = (column,) if column else tuple(name for name in TEXT_COLUMNS if name in first)
    if not columns:
        raise RowError(f"the columns are {names_of(first)}; none is known to hold a prompt")
    return columns


def _text(name: str, value: Any) -> str:
    """The text of a value; empty for what a row need not have, as WildJailbreak's vanilla rows no attack."""
    if value is None or value == "":
        return ""
    return asked(value) if isinstance(value, list) else text_of(name, value)
