"""One row an item, epoch and scorer of a log: what was scored and why not, and never a text.

A row keeps no prompt, answer, target or explanation. Names that could be sentences become digests, and a reason of
someone else's scorer that is no plain word is called ``other``.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from inspect_ai.log import EvalSample
from inspect_ai.model import ChatMessage
from inspect_ai.scorer import CORRECT, INCORRECT, NOANSWER, PARTIAL, Score

from sinternal_verl.evaluation.item import plain
from sinternal_verl.evaluation.results.logs import Log, label

WORDS = {CORRECT: 1.0, INCORRECT: 0.0, PARTIAL: 0.5, NOANSWER: 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
"""Values in words, as Inspect's ``value_to_float`` takes them."""

CUT = ("max_tokens", "model_length")
"""Stop reasons of an answer that was cut."""

DETAILS = ("expert", "verdict", "verdict_reason", "safe", "safety_judge", "safety_judge_model")
"""Metadata of our scores from which further figures are made, see `sinternal_verl.evaluation.results.summary`."""

MAX_PHRASE = 80
NOT_RUN, NOT_THERE = "not run", "not in the log"
"""Of an item without a sample: the run did not come to it, or had come to its end and the log is a header alone."""
FAILED, NO_SCORE, INVALIDATED = "sample failed", "no score", "invalidated"
OWN_LETTERS = "letters of its own"
"""Why no value of a scorer is known whose letters are not all Inspect's: of A, B and C, which C may be the worst."""
NOT_NUMBER, NOT_FINITE, NO_ANSWER, OTHER, NO_REASON = (
    "not a number",
    "not finite",
    "no answer",
    "other",
    "no reason given",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One score.

    Attributes:
        set, task, model: what ran.
        id, epoch: which item, and its try from 1.
        scorer: who scored; for a score of several values ``scorer.key``.
        value: a number; None where there is none, and then ``reason`` says why.
        reason: a fixed phrase; beside a value it says how that came about (an answer that is absent and counts as 0).
        outcome: our scorers' word for what became of it.
        truncated, empty: of the answer; None where it cannot be known.
        thought_closed: whether the thought ended; None for logs that do not say.
        judge, judge_model, judged: who judged, and which text.
        prompt: a digest of what the model was sent; empty where the sample is not there.
        details: of `DETAILS` what the score has.
    """

    set: str
    task: str
    model: str
    id: str
    epoch: int
    scorer: str
    value: float | None
    reason: str = ""
    outcome: str = ""
    truncated: bool | None = None
    empty: bool | None = None
    thought_closed: bool | None = None
    judge: str = ""
    judge_model: str = ""
    judged: str = ""
    prompt: str = ""
    details: Mapping[str, float | str] = field(default_factory=dict)


def rows_of(log: Log) -> Iterator[Row]:
    """Every item and epoch once for each scorer of the log, also where it was not run or not scored.

    Items without a score come last: only then it is known which scorers there are.

    Raises:
        LogError: the log cannot be read.
    """
    names: dict[str, None] = {}
    seen: set[tuple[str, int]] = set()
    lacking: list[tuple[Facts, frozenset[str]]] = []
    waiting: list[tuple[Facts, str, Score, object]] = []
    single: set[str] = set()
    named: dict[frozenset[str], frozenset[str]] = {}
    for sample in log.samples():
        facts = _facts(log, sample)
        seen.add((facts.id, facts.epoch))
        scores = {name: (score, value) for name, score, value in _values(sample)}
        names.update(dict.fromkeys(scores))
        having = frozenset(scores)
        lacking.append((facts, named.setdefault(having, having)))
        for name, (score, value) in scores.items():
            if number(value) == (None, ""):
                waiting.append((facts, name, score, value))
                continue
            single.add(name)
            if _is_letter(value):
                waiting.append((facts, name, score, value))
            else:
                yield _row(log, facts, name, score, *number(value))
    # A score that is unscored as a whole stands for the parts that its scorer gives elsewhere.
    parts = {
        name: [part for part in names if part.startswith(f"{name}.")] if name not in single else [] for name in names
    }
    yield from _waited(log, waiting, parts)
    names = {name: None for name in names if not parts[name]} or dict.fromkeys(log.scorers or ("",))
    for facts, having in lacking:
        for name in names.keys() - having - {part for one in having for part in parts[one]}:
            yield _unscored(log, facts, name)
    absent = NOT_THERE if log.finished else NOT_RUN
    for id, epoch in log.expected():
        if (label(id), epoch) not in seen:
            for name in names:
                yield _unscored(log, Facts(label(id), epoch, absent), name)


def _waited(
    log: Log, waiting: Iterable[tuple["Facts", str, Score, object]], parts: Mapping[str, list[str]]
) -> Iterator[Row]:
    """The rows that all of a log must be read for.

    1. Which letters a scorer gives: ``C`` is right where they are Inspect's, and may be anything else where not.
    2. Which parts its scores have: one that is unscored as a whole has none of its own.
    """
    waiting = list(waiting)
    own = {name for _, name, _, value in waiting if isinstance(value, str) and value not in WORDS}
    for facts, name, score, value in waiting:
        if isinstance(value, str):
            yield _row(log, facts, name, score, *((None, OWN_LETTERS) if name in own else number(value)))
        else:
            for part in parts[name] or [name]:
                yield _row(log, facts, part, score, None, "")


def _is_letter(value: object) -> bool:
    return isinstance(value, str) and len(value) == 1 and value.isalpha()


def prompt_digest(sample: EvalSample) -> str:
    """Tells whether two samples asked the same, without a word of it. Files of one set differ in their white space."""
    if isinstance(sample.input, str):
        seen = [("user", plain(sample.input))]
    else:
        seen = [(turn.role, plain(turn.text), *_pictures(turn)) for turn in sample.input]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:16]


def _pictures(turn: ChatMessage) -> Iterator[str]:
    """What a message holds beside text."""
    if not isinstance(turn.content, str):
        yield from (part.model_dump_json() for part in turn.content if part.type not in ("text", "reasoning"))


def in_order(rows: Iterable[Row]) -> list[Row]:
    """By scorer, item and epoch; numbered items stand in the order of their numbers. A log has its samples in the
    order in which they were done, and two runs must give the same file and the same bootstrap."""
    return sorted(rows, key=lambda row: (row.scorer, len(row.id) if row.id.isdigit() else 0, row.id, row.epoch))


def as_line(row: Row) -> str:
    """The row as a line of JSON."""
    return json.dumps(asdict(row)) + "\n"


def number(value: object) -> tuple[float | None, str]:
    """A score's value as a number, and why there is none, or how it came about.

    >>> number("C"), number(True), number("N"), number(float("nan")), number("a lamp")
    ((1.0, ''), (1.0, ''), (0.0, 'no answer'), (None, ''), (None, 'not a number'))
    """
    if isinstance(value, str):
        word = WORDS.get(value, WORDS.get(value.lower()) if len(value) > 1 else None)
        if word is not None:
            return word, NO_ANSWER if value == NOANSWER else ""
        try:
            value = float(value)
        except ValueError:
            return None, NOT_NUMBER
        return (value, "") if math.isfinite(value) else (None, NOT_NUMBER)
    if isinstance(value, bool | int | float):
        # NaN is how Inspect says that there is no score; the score has the reason.
        return (float(value), "") if math.isfinite(value) else (None, "" if math.isnan(value) else NOT_FINITE)
    return (None, "") if value is None else (None, NOT_NUMBER)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is kept of a sample that has no score."""

    id: str
    epoch: int
    reason: str
    truncated: bool | None = None
    empty: bool | None = None
    prompt: str = ""


def _facts(log: Log, sample: EvalSample) -> Facts:
    reason = INVALIDATED if sample.invalidation else FAILED if sample.error else NO_SCORE
    said = bool(sample.output.choices) and not sample.error
    return Facts(
        label(sample.id),
        sample.epoch,
        reason,
        sample.output.stop_reason in CUT if said else None,
        not sample.output.completion.strip() if said else None,
        prompt_digest(sample),
    )


def _values(sample: EvalSample) -> Iterator[tuple[str, Score, object]]:
    """Name, score and single value of each scorer; a score of several values is several."""
    scores = sample.scores or {}
    # Whoever adds scores to a log by hand names them as they like, such as "human/grade" beside "grade".
    short = Counter(scorer.rpartition("/")[2] for scorer in scores)
    for scorer, score in scores.items():
        name = scorer.rpartition("/")[2]
        name = label(name if short[name] == 1 else scorer)
        if isinstance(score.value, Mapping):
            yield from ((f"{name}.{label(key)}", score, value) for key, value in score.value.items())
        elif isinstance(score.value, list):
            yield from ((f"{name}.{place}", score, value) for place, value in enumerate(score.value))
        else:
            yield name, score, score.value


def _row(log: Log, facts: Facts, scorer: str, score: Score, found: float | None, why: str) -> Row:
    """
    Args:
        found, why: as `number` gives them.
    """
    told = score.metadata or {} if log.told else {}
    if facts.reason == INVALIDATED:
        found, why = None, INVALIDATED
    elif score.reason and not why:
        why = phrase(score.reason, bool(log.told))
    if found is None and facts.reason == FAILED:
        why = FAILED
    elif found is None and not why:
        why = NO_REASON
    flags = {flag: told[flag] for flag in ("truncated", "empty") if isinstance(told.get(flag), bool)}
    closed = told.get("thought_closed")
    return Row(
        *(log.set, log.task, log.model, facts.id, facts.epoch, scorer, found, why),
        outcome=phrase(told.get("outcome"), True),
        truncated=flags.get("truncated", facts.truncated),
        empty=flags.get("empty", facts.empty),
        thought_closed=closed if isinstance(closed, bool) else None,
        judge=phrase(told.get("judge"), True),
        judge_model=str(told.get("judge_model") or log.grader),
        judged=phrase(told.get("judged"), True),
        prompt=facts.prompt,
        details={name: _detail(told[name]) for name in DETAILS if told.get(name) not in (None, "")},
    )


def _unscored(log: Log, facts: Facts, scorer: str) -> Row:
    return Row(
        *(log.set, log.task, log.model, facts.id, facts.epoch, scorer, None, facts.reason),
        truncated=facts.truncated,
        empty=facts.empty,
        judge_model=log.grader,
        prompt=facts.prompt,
    )


def phrase(value: Any, ours: bool) -> str:
    """A word or, of our own tasks, a short phrase; anything else could be a text and becomes `OTHER`."""
    if value is None or value == "":
        return ""
    text = str(value)
    plain = re.fullmatch(r"[\w.:-]+( [\w.:,()-]+)*" if ours else r"[\w.:-]+", text)
    return text if plain and len(text) <= MAX_PHRASE else OTHER


def _detail(value: object) -> float | str:
    return float(value) if isinstance(value, bool | int | float) else label(value)
