"""Finds prompts of a training set that stand in an evaluation set, whole or in part.

1. A text is compared by its words: NFKC, lower case, runs of letters and digits. The instruction that we add to
   math prompts is removed first.
2. Two texts match as a whole if their words are the same.
3. They match in part if they share a run of `n` words (13 is customary). If either has fewer words, they can match
   only as a whole. Nearly all prompts of XSTest are that short: a smaller `n` finds more of them, and also more that
   only sound alike.

The comparison removes too much rather than too little: "1 + 1" and "1 - 1" have the same words, and a run may be a
common phrase ("where m and n are relatively prime positive integers. Find m"). Memory holds only hashes of a text.

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
"""Columns of evaluation files that hold prompts. All of them that a file has are compared."""

WORD = re.compile(r"[^\W_]+")
NGRAM = 13


@dataclass(frozen=True, slots=True)
class Match:
    """Where a prompt was found.

    Attributes:
        against: the evaluation file.
        row: the row's number in it, counted as `readers` counts.
        how: ``whole``, or ``words`` for a shared run of words.
    """

    against: str
    row: int
    how: str


class Fingerprint:
    """Hashes of a whole text and of every run of ``n`` words in it."""

    def __init__(self, text: str, n: int) -> None:
        self._words, self._n = words_of(text), n
        self.whole = _hash(self._words)

    @cached_property
    def runs(self) -> list[int]:
        """Hashes of the runs; empty for a text of fewer than ``n`` words."""
        n, words = self._n, self._words
        return [_hash(words[start : start + n]) for start in range(len(words) - n + 1)]


@dataclass
class Evaluation:
    """The texts of one evaluation file: their hashes, and the row in which each came first.

    Attributes:
        name: as the user gave it.
        columns: the columns that hold the texts.
        n: words in a run.
        origin: what identifies the file's content.
        texts: how many were read.
        short: how many of them have fewer than ``n`` words.
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
        """Where a prompt stands in this file, or None. Its fingerprint must have the same ``n``."""
        if (row := self._whole.get(fingerprint.whole)) is not None:
            return Match(self.name, row, "whole")
        found = (self._runs[run] for run in fingerprint.runs if run in self._runs)
        return next((Match(self.name, row, "words") for row in found), None)


def read_evaluation(name: str, n: int = NGRAM) -> Evaluation:
    """Read an evaluation file, given as ``FILE`` or ``FILE#column``; any source that `readers` reads will do.

    Raises:
        SourceError: the file cannot be read, has no such column, or a row has no text. No row is skipped, because a
            prompt that is not read would not be found in the training set.
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
    """The words of a text. A text without any is its own single word, so that it is still found as a whole.

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
    # Not Python's own hash: it differs between processes, and every run must remove the same rows.
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
    """The text of a value. It may be empty: WildJailbreak's vanilla rows, for example, have no adversarial text."""
    if value is None or value == "":
        return ""
    return asked(value) if isinstance(value, list) else text_of(name, value)
