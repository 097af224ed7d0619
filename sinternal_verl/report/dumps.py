"""The dumps of rollouts: files named ``<step>.jsonl``, with a line for each rollout.

Ours have all that `Rollouts` has. verl's have prompt, response, ground truth, score and uid; a validation's, and all of
its older trainer (``trainer.use_v1=false``), have whatever the reward function returned besides. (verl 0.9.1)
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sinternal_verl.report.lines import GZIP, JsonLine, Skipped, json_lines, parse
from sinternal_verl.report.run import UNKNOWN, Texts
from sinternal_verl.report.values import MAX_NAME, as_flag, as_name, as_number, as_step, as_text
from sinternal_verl.scoring.response import thought_and_answer
from sinternal_verl.scoring.score import Outcome
from sinternal_verl.training.wire import DETAILS, VOTE, is_ours

KNOWN = frozenset(
    {
        *("input", "output", "gts", "score", "step", "uid", "data_source", "index", "outcome", "scored", "reason"),
        *("advantage", "set_aside", "truncated", "response_length", "cut", "safe_probability", "extra"),
        # verl's: the score once more, and a number that its server gave.
        *("reward", "request_id"),
    }
)
"""Keys of a dump that are not a scorer's own."""

NAMED = {"source": "data_source", "outcome": "outcome", "reason": "reason", "row": "index"}
NUMBERS = {"score": "score", "advantage": "advantage", "safe_probability": "safe_probability"}
FLAGS = {"scored": "scored", "truncated": "truncated", "set_aside": "set_aside", "cut": "cut"}
"""Columns of `Rollouts` and their keys in a dump."""

MAX_TEXT = 2**20
"""The most characters of each text of a rollout; the rest is cut off, and the text says so."""

MAX_OTHERS = 50
"""The most texts that a scorer returned besides."""

THOUGHT_BEGINS = "<think>"

_TRUTH = {"True": 1.0, "False": 0.0}

_NAME = re.compile(r"(\d{1,9})\.jsonl(\.gz)?")
_UID = re.compile(r"(.+)_(\d+)_(\d+)", re.DOTALL)
"""verl's key of a rollout: ``{uid}_{session}_{output}``. (verl 0.9.1)"""


@dataclass(slots=True)
class Line:
    """What a dump says of one rollout in numbers and names.

    Attributes:
        start, size: where its line is in the file, in bytes.
        uid, prompt: what tells groups apart; ``prompt`` is a digest.
        place: within its group.
        names, numbers, flags: by column of `Rollouts`.
        extra: numbers that the scorer returned besides.
    """

    start: int
    size: int
    uid: str
    prompt: bytes
    names: dict[str, str | None]
    numbers: dict[str, float]
    length: int
    flags: dict[str, int]
    extra: dict[str, float]
    group: str = field(default="")
    place: int = 0


def dump_files(folder: Path) -> dict[int, Path]:
    """The dumps in a folder by step, ascending. Where a step has a gzipped file besides, the plain one counts.

    Raises:
        OSError: the folder cannot be read.
    """
    found: dict[int, Path] = {}
    for file in folder.iterdir():
        if (name := _NAME.fullmatch(file.name)) and file.is_file():
            step = int(name[1])
            if step not in found or file.suffix != GZIP:
                found[step] = file
    return dict(sorted(found.items()))


def is_dump(folder: Path) -> bool:
    """Whether a folder holds files named by steps."""
    try:
        return bool(dump_files(folder))
    except OSError:
        return False


def read_dump(file: Path, skipped: Skipped) -> list[Line]:
    """The rollouts of a file, group by group in the order in which the groups begin."""
    return _grouped([_line(found) for found in _rollouts(file, skipped)])


def read_texts_of(file: Path) -> Iterator[Texts]:
    """The texts of a file, in the order of `read_dump`. Those of one group are in memory at a time, and whatever of
    others stands between them."""
    skipped = Skipped()
    waiting: dict[int, Texts] = {}
    order = {line.start: place for place, line in enumerate(read_dump(file, skipped))}
    following = 0
    for found in _rollouts(file, skipped):
        if found.start in order:
            waiting[order[found.start]] = texts_of(found.object)
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def as_dumped(said: dict[str, Any]) -> dict[str, Any]:
    """A rollout with the keys of our dumps. Where our reward manager runs under a trainer of verl's, its validations
    have what `to_wire` sends: the outcome's number, and the rest as one text."""
    if not is_ours(said):
        return said
    outcome = Outcome(int(said["outcome"])).name.lower()
    try:
        details = parse(as_text(said.get(DETAILS)).encode())
    except ValueError:
        details = {}
    told = details if isinstance(details, dict) else {}
    return {name: value for name, value in said.items() if name != DETAILS} | told | {"outcome": outcome}


def texts_of(said: dict[str, Any]) -> Texts:
    """The texts of one rollout."""
    prompt, response = _cut(as_text(said.get("input"))), _cut(as_text(said.get("output")))
    if parts := thought_and_answer(response):
        thought, answer = parts
    elif _thinks(prompt, response, said):
        thought, answer = response, None
    else:
        thought, answer = "", response
    reason = as_text(said.get("reason"))
    others = {"reason": reason} if len(reason) > MAX_NAME else {}
    for name, value in _others(said).items():
        if len(others) < MAX_OTHERS and not isinstance(value, bool | int | float | None):
            others[as_name(name) or ""] = _cut(as_text(value))
    truth = said.get("gts")
    return Texts(prompt, thought, answer, None if truth is None else _cut(as_text(truth)), others)


def _rollouts(file: Path, skipped: Skipped) -> Iterator[JsonLine]:
    for found in json_lines(file, skipped):
        if "output" in found.object or "input" in found.object:
            yield found._replace(object=as_dumped(found.object))
        else:
            skipped.add(f"{file}, line {found.number}", "it is no rollout: it has neither input nor output")


def _line(found: JsonLine) -> Line:
    said = found.object
    length = as_step(said.get("response_length"))
    return Line(
        start=found.start,
        size=found.size,
        uid=as_text(said.get("uid")),
        prompt=hashlib.blake2b(as_text(said.get("input")).encode(), digest_size=8).digest(),
        names={column: as_name(said.get(key)) for column, key in NAMED.items()},
        numbers={column: as_number(said.get(key)) for column, key in NUMBERS.items()},
        length=UNKNOWN if length is None else length,
        flags={column: as_flag(said.get(key), UNKNOWN) for column, key in FLAGS.items()},
        extra=_numbers(said),
    )


def _numbers(said: dict[str, Any]) -> dict[str, float]:
    """Numbers that a scorer returned besides. Ours stand in ``extra`` as such; verl's older trainer writes numpy's as
    texts, such as ``0.5`` and ``False``."""
    texts = "extra" not in said
    found = {
        as_name(name) or "": _TRUTH.get(value, as_number(value)) if isinstance(value, str) else as_number(value)
        for name, value in _others(said).items()
        if not isinstance(value, str) or (texts and name != VOTE)
    }
    return {name: number for name, number in found.items() if math.isfinite(number)}


def _others(said: dict[str, Any]) -> dict[str, Any]:
    """What a scorer returned besides its score."""
    extra = said.get("extra")
    told = extra if isinstance(extra, dict) else {} if extra is None else {"extra": extra}
    return {name: value for name, value in said.items() if name not in KNOWN} | told


def _grouped(lines: list[Line]) -> list[Line]:
    """The lines with those of a group together.

    verl's key of a rollout begins with its prompt's uid. Another uid names a group where several lines share it.
    Without either, the lines of one prompt are a group.
    """
    shared = Counter(line.uid for line in lines)
    groups: dict[str, list[Line]] = {}
    for line in lines:
        if key := _UID.fullmatch(line.uid):
            line.group = key[1]
        else:
            line.group = line.uid if line.uid and shared[line.uid] > 1 else line.prompt.hex()
        group = groups.setdefault(line.group, [])
        line.place = len(group)
        group.append(line)
    return [line for group in groups.values() for line in group]


def _thinks(prompt: str, response: str, said: dict[str, Any]) -> bool:
    """Whether a response without ``</think>`` is a thought: the prompt or the response opens one."""
    opened = prompt.rstrip().endswith(THOUGHT_BEGINS) or response.lstrip().startswith(THOUGHT_BEGINS)
    return opened or said.get("outcome") == "thought_unclosed"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text) - MAX_TEXT:,} more characters)"
