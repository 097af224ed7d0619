"""The dumps of a run as the columns of `Rollouts`, with the texts of a sample of whole groups.

A step that runs again after a resume writes its file anew, so a file is of the last start that got there. Files of
later steps are of an earlier start then: they are no part of the run's course and are left out.
"""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sinternal_verl.report.dumps import (
    FLAGS,
    MAX_TEXT,
    NAMED,
    NUMBERS,
    Line,
    as_dumped,
    dump_files,
    read_dump,
    read_texts_of,
    texts_of,
)
from sinternal_verl.report.lines import BOM, Skipped, open_lines, parse
from sinternal_verl.report.run import UNKNOWN, Rollouts, Run, Texts, places_within
from sinternal_verl.report.sample import choose_groups

MAX_NAMES = {"source": 1_000, "outcome": 1_000, "reason": 1_000, "row": 1_000_000}
"""The most names of each column; any other is `OTHERS`. A scorer's reason may be another one for each rollout."""

OTHERS = "(others)"

MAX_EXTRA = 50
"""The most numbers of a scorer's own; the run says which others were left out."""


class _Columns:
    """Lists that grow by the lines of a file at a time."""

    def __init__(self) -> None:
        self.names: dict[str, dict[str, int]] = {column: {} for column in NAMED}
        self.whole: dict[str, list[int]] = {name: [] for name in (*NAMED, *FLAGS, "step", "group", "place", "length")}
        self.numbers: dict[str, list[float]] = {column: [] for column in NUMBERS}
        self.extra: dict[str, dict[int, float]] = {}
        self.left_out: set[str] = set()
        self.held_out: list[bool] = []
        self.spans: list[tuple[int, int, int]] = []
        self.files: list[Path] = []
        self.strata: list[tuple[bool, int, str | None]] = []
        self.marks: list[int] = []

    def __len__(self) -> int:
        return len(self.held_out)

    def add(self, file: Path, lines: list[Line], held_out: bool, step: int, seed: int) -> None:
        if lines:
            self.files.append(file)
        for line in lines:
            number = len(self)
            if line.place == 0:
                self.strata.append((held_out, step, line.names["source"]))
                mark = f"{seed} {held_out} {step} {line.group}".encode()
                self.marks.append(int.from_bytes(hashlib.blake2b(mark, digest_size=7).digest(), "big"))
            for column, name in line.names.items():
                self.whole[column].append(self._number_of(column, name))
            for column, flag in line.flags.items():
                self.whole[column].append(flag)
            for column, value in line.numbers.items():
                self.numbers[column].append(value)
            for column, value in (("step", step), ("group", len(self.marks) - 1), ("place", line.place)):
                self.whole[column].append(value)
            self.whole["length"].append(line.length)
            for name, value in line.extra.items():
                if name in self.extra or len(self.extra) < MAX_EXTRA:
                    self.extra.setdefault(name, {})[number] = value
                else:
                    self.left_out.add(name)
            self.held_out.append(held_out)
            self.spans.append((len(self.files) - 1, line.start, line.size))

    def _number_of(self, column: str, name: str | None) -> int:
        if name is None:
            return UNKNOWN
        known = self.names[column]
        if name not in known and len(known) >= MAX_NAMES[column]:
            name = OTHERS
        return known.setdefault(name, len(known))


def read_rollouts(
    training: Path | None,
    validation: Path | None,
    skipped: Skipped,
    *,
    last: int | None,
    text_bytes: int,
    seed: int,
) -> Rollouts | None:
    """Read all dumps; None where there are none.

    Args:
        training, validation: folders of dumps.
        last: the last step that was logged; files of later ones do not count. None counts all.
        text_bytes: about how many bytes of texts the sample may have, as they are in the files.
        seed: of the sample.
    """
    columns = _Columns()
    for held_out, folder in ((False, training), (True, validation)):
        for step, file in _files(folder, skipped).items():
            if last is not None and step > last:
                skipped.add(str(file), f"the last logged step is {last}: an earlier start's, or not logged yet")
                continue
            columns.add(file, read_dump(file, skipped), held_out, step, seed)
    if not len(columns):
        return None
    for name in sorted(columns.left_out):
        skipped.add("the dumps", f"they have more than {MAX_EXTRA} numbers of a scorer's own: {name!r} is left out")
    rollouts = _as_arrays(columns)
    group = rollouts.group
    chosen = choose_groups(
        failed=np.bincount(group, weights=rollouts.scored == 0) > 0,
        # Prompt and response are cut at a length.
        size=np.bincount(group, weights=[min(size, 2 * MAX_TEXT) for _, _, size in columns.spans]).astype(np.int64),
        stratum=np.unique([repr(stratum) for stratum in columns.strata], return_inverse=True)[1],
        mark=np.array(columns.marks),
        budget=text_bytes,
    )
    rollouts.texts.update(_texts_at(columns, np.flatnonzero(chosen[group]), skipped))
    return rollouts


def read_texts(run: Run, *, held_out: bool, step: int) -> Iterator[tuple[int, Texts]]:
    """The texts of one step, each with its rollout's number; the file is read anew and is not held in memory.

    A step that runs again writes its file anew. Rollouts of the run that was read and of the file as it is now are the
    same where their scores agree; the others are left out.
    """
    rollouts = run.rollouts
    numbers = np.flatnonzero((rollouts.step == step) & (rollouts.held_out == held_out))
    if not len(numbers):
        return
    order = np.stack([rollouts.held_out, rollouts.step], axis=1)
    file = rollouts.files[int((np.diff(order[: numbers[0] + 1], axis=0) != 0).any(axis=1).sum())]
    lines = read_dump(file, Skipped())
    for number, line, texts in zip(numbers, lines, read_texts_of(file), strict=False):
        if np.array_equal(np.float32(line.numbers["score"]), rollouts.score[number], equal_nan=True):
            yield int(number), texts


def _files(folder: Path | None, skipped: Skipped) -> dict[int, Path]:
    if folder is None:
        return {}
    try:
        return dump_files(folder)
    except OSError as error:
        skipped.add(str(folder), f"the folder cannot be read: {error}")
        return {}


def _as_arrays(columns: _Columns) -> Rollouts:
    count = len(columns)
    extra = {}
    for name, values in columns.extra.items():
        extra[name] = np.full(count, math.nan, dtype=np.float32)
        extra[name][list(values)] = list(values.values())
    whole = {
        name: np.array(np.minimum(values, 1) if name == "cut" else values, dtype=np.int8 if name in FLAGS else np.int32)
        for name, values in columns.whole.items()
    }
    held_out = np.array(columns.held_out)
    return Rollouts(
        held_out=held_out,
        within=places_within(held_out, whole["step"]),
        **whole,
        **{name: np.array(values, dtype=np.float32) for name, values in columns.numbers.items()},
        extra=extra,
        names={column: list(known) for column, known in columns.names.items()},
        texts={},
        files=tuple(columns.files),
    )


def _texts_at(columns: _Columns, numbers: np.ndarray, skipped: Skipped) -> Iterator[tuple[int, Texts]]:
    """The texts of some rollouts, read from where their lines were."""
    stream, opened = None, None
    try:
        for number in numbers:
            place, start, size = columns.spans[number]
            if place != opened:
                if stream:
                    stream.close()
                stream, opened = open_lines(columns.files[place]), place
            stream.seek(start)
            try:
                said = parse(stream.read(size).removeprefix(BOM))
            except ValueError:
                said = None
            if isinstance(said, dict):
                yield int(number), texts_of(as_dumped(said))
            else:
                skipped.add(str(columns.files[place]), "it was written anew while it was read")
    finally:
        if stream:
            stream.close()
