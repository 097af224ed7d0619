"""Finds prompts of a training set that stand in an evaluation set, whole or in part.

1. A text is compared by its words: runs of letters and digits, after NFKC, without case (ß is ss), and without
   invisible characters such as soft hyphens. In scripts that put no space between words (Chinese, Japanese, Thai, Lao,
   Khmer, Burmese and others), each letter with its marks is a word. The instructions of math sets are removed first.
2. Two texts match as a whole if their words are the same.
3. They match in part if they share a run of `n` words (13 is customary). Two letters of a script without spaces count
   as one word there. If one of the texts is shorter, all of it must stand in the other. A text of fewer than `MIN_RUN`
   words or such letters matches only as a whole, because any prompt may hold it.

The comparison removes too much rather than too little: "1 + 1" and "1 - 1" have the same words, and a run may be a
common phrase ("where m and n are relatively prime positive integers. Find m").

>>> found = Evaluation("rules.csv", ("prompt",), 4)
>>> found.add(1, "May I feed the ducks?")
>>> found.match(words_of("Tell me: may I FEED the ducks, please?"))
Match(against='rules.csv', row=1, whole=False, first=3, words=4)
>>> found.match(words_of("May I see the ducks?")) is None
True
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

from sinternal_verl.data.adapter import Row, RowError, lookup, names_of, nested, text_of
from sinternal_verl.data.readers import FROM_ZERO, Source, SourceError, Unreadable, open_source
from sinternal_verl.data.words import Words, words_of
from sinternal_verl.did_you_mean import did_you_mean

TEXT_COLUMNS = (
    *("prompt", "problem", "question", "instruction"),  # what our adapters know, and verl's own files
    *("vanilla", "adversarial"),  # WildJailbreak
    *("forbidden_prompt", "adversarial_prompt", "benign_prompt"),  # StrongREJECT, FORTRESS
    *("Behavior", "Goal", "Request", "ptq"),  # HarmBench, H-CoT, Mousetrap
)
"""Columns of evaluation files that hold prompts. All of them that a file has are compared."""

PAIRS = {"instruction": ("instruction", "input"), "Behavior": ("ContextString", "Behavior")}
"""Column -> it and the one beside it, in the order in which a model is asked them (Alpaca, HarmBench)."""

NGRAM = 13
MIN_RUN = 5
"""The fewest words, or letters of a script without spaces, that match in part."""


@dataclass(frozen=True, slots=True)
class Match:
    """Where a prompt was found.

    Attributes:
        against: the evaluation file.
        row: the row in it, from 0.
        whole: whether the two texts have the same words; otherwise they share a run.
        first: number of the prompt's word with which the run begins, from 1.
        words: how many words the run has.
    """

    against: str
    row: int
    whole: bool
    first: int
    words: int

    def __str__(self) -> str:
        run = "its words" if self.whole else f"its words {self.first} to {self.first + self.words - 1}"
        return f"{run} are {'those' if self.whole else 'also'} in {self.against}, {FROM_ZERO.format(self.row)}"


@dataclass
class Evaluation:
    """The texts of one evaluation file, by their words.

    Attributes:
        name: as the user gave it.
        columns: the columns that hold the texts.
        n: words in a run.
        origin: what identifies the file's content.
        texts: how many were read.
        short: how many of them have fewer than ``n`` words.
        shortest: how many of these match only as a whole.
    """

    name: str
    columns: tuple[str, ...]
    n: int = NGRAM
    origin: dict[str, Any] = field(default_factory=dict)
    texts: int = 0
    short: int = 0
    shortest: int = 0
    # By the hash of words: where a run of `n` stands first, how many words the shorter texts have that begin so, and
    # where a seed stands.
    _runs: dict[int, tuple[Words, int]] = field(default_factory=dict, repr=False)
    _shorter: dict[int, set[int]] = field(default_factory=dict, repr=False)
    _places: dict[int, list[tuple[Words, int]]] = field(default_factory=dict, repr=False)
    _whole: dict[tuple[str, ...], int] = field(default_factory=dict, repr=False)
    _known: dict[str, str] = field(default_factory=dict, repr=False)

    @cached_property
    def seed(self) -> int:
        """Words of the shortest run that is looked for."""
        return min(MIN_RUN, self.n)

    def add(self, row: int, text: str) -> None:
        # One copy of each word serves all texts.
        words = Words(self._known.setdefault(word, word) for word in words_of(text))
        self.texts += 1
        self.short += words.halves[-1] < 2 * self.n
        self.shortest += len(words) < self.seed
        if words in self._whole:
            return
        self._whole[words] = row
        for start, run in words.runs(2 * self.n):
            self._runs.setdefault(hash(run), (words, start))
        for start, seed in words.seeds(self.seed):
            self._places.setdefault(seed, []).append((words, start))
            if start == 0 and words.halves[-1] < 2 * self.n:
                self._shorter.setdefault(seed, set()).add(len(words))

    def match(self, words: Words) -> Match | None:
        """Where a prompt of these words stands in this file, or None."""
        if (row := self._whole.get(words)) is not None:
            return Match(self.name, row, True, 1, len(words))
        found = next(chain(self._shared(words), self._holds(words), self._held(words)), None)
        if found is None:
            return None
        theirs, start, length = found
        return Match(self.name, self._whole[theirs], False, start + 1, length)

    def _shared(self, words: Words) -> Iterator[tuple[Words, int, int]]:
        """Texts that share a run of `n` words with these; each with the run's start here, and its length."""
        for start, run in words.runs(2 * self.n):
            theirs, place = self._runs.get(hash(run), ((), 0))
            if theirs[place : place + len(run)] == run:
                yield theirs, start, len(run)

    def _holds(self, words: Words) -> Iterator[tuple[tuple[str, ...], int, int]]:
        """Shorter texts that stand in these words. Few lengths are tried at a place, however many texts begin so."""
        for start, seed in words.seeds(self.seed) if self._shorter else ():
            for length in sorted(self._shorter.get(seed, ())):
                theirs = words[start : start + length]
                if theirs in self._whole:
                    yield theirs, start, len(theirs)

    def _held(self, words: Words) -> Iterator[tuple[Words, int, int]]:
        """Texts in which these words stand, where these are fewer than `n`."""
        if words.halves[-1] < 2 * self.n and len(words) >= self.seed:
            places = ((self._places.get(seed, ()), start) for start, seed in words.seeds(self.seed))
            # The rarest of the seeds, because the first may begin thousands of texts.
            rarest, before = min(places, key=lambda found: len(found[0]))
            for theirs, place in rarest:
                if place >= before and theirs[place - before : place - before + len(words)] == words:
                    yield theirs, 0, len(words)


def read_evaluation(name: str, n: int = NGRAM) -> Evaluation:
    """Read an evaluation file, given as ``FILE`` or ``FILE#column``; any source that `readers` reads will do.

    Raises:
        SourceError: the file cannot be read, has no such column, or a row has no text. No row is skipped, because a
            prompt that is not read would not be found in the training set.
    """
    source, column = _open(name)
    evaluation, frames = None, _Frames()
    for row_number, (number, row) in enumerate(source.rows()):
        try:
            if isinstance(row, Unreadable):
                raise RowError(row.reason)
            if evaluation is None:
                columns = _columns(row, column)
                pairs = {} if column else {name: PAIRS[name] for name in columns if name in PAIRS}
                shown = (part for name in columns for part in pairs.get(name, (name,)) if part in (name, *row))
                evaluation = Evaluation(name, tuple(shown), n, source.origin())
            texts = [text for name in columns for text in frames.texts(row_number, name, row, pairs.get(name, ()))]
            if not texts:
                raise RowError(f"there is no text in {', '.join(evaluation.columns)}")
        except RowError as error:
            step = "repair the row, or name another column with FILE#column"
            raise SourceError(f"{source.where(number)}: {error}; {step}") from error
        for text in texts:
            evaluation.add(row_number, text)
    if evaluation is None:
        raise SourceError(f"{source.name} holds no rows; give a file with at least one")
    for row_number, text in frames.asked_once():
        evaluation.add(row_number, text)
    return evaluation


class _Frames:
    """The texts of a row where one column goes with another: both joined, and each. A text that stands beside several
    others ("Translate the sentence.") is only a frame: alone it is no item of the evaluation, and many a prompt has it.
    """

    def __init__(self) -> None:
        self._beside: dict[str, tuple[int, str | None]] = {}

    def texts(self, row_number: int, column: str, row: Row, pair: Sequence[str]) -> list[str]:
        """The texts of a row's column that are known at once, and of the column with which it is a ``pair``, too."""
        text = _text(column, lookup(row, column))
        other = next((_text(name, row.get(name)) for name in pair if name != column), "")
        if not text or not other:
            return [text or other] if text or other else []
        first, known = self._beside.setdefault(text, (row_number, other))
        if known != other:
            self._beside[text] = first, None
        return ["\n\n".join(text if name == column else other for name in pair), other]

    def asked_once(self) -> Iterator[tuple[int, str]]:
        """Row and text of those that stand beside one other text only."""
        return ((row, text) for text, (row, other) in self._beside.items() if other is not None)


def find(text: str, evaluations: Sequence[Evaluation]) -> list[Match]:
    """Where a prompt stands, at most once for each evaluation."""
    words = words_of(text) if evaluations else Words(())
    return [match for each in evaluations if (match := each.match(words))]


def asked(messages: list[Any]) -> str:
    """What the user says in a prompt of messages.

    >>> asked([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}])
    '1+1?'
    """
    said = (lookup(message, "content") for message in messages if lookup(message, "role") == "user")
    return "\n".join(text_of("content", content) for content in said)


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
        raise RowError(f"there is no {column}; the columns are {names_of(first)}{did_you_mean(column, first)}")
    columns = (column,) if column else tuple(name for name in TEXT_COLUMNS if name in first)
    if not columns:
        raise RowError(f"the columns are {names_of(first)}; {nested(first) or 'none is known to hold a prompt'}")
    return columns


def _text(name: str, value: Any) -> str:
    """The text of a value. It may be empty: WildJailbreak's vanilla rows, for example, have no adversarial text."""
    if value is None or value == "":
        return ""
    return asked(value) if isinstance(value, list) else text_of(name, value)
