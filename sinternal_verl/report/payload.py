"""Numbers and texts of a run as the page carries them: compressed, in base64, read by the browser's own decompressor.

``web/payload.js`` reads what is packed here.
"""

import base64
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sinternal_verl.report.run import Rollouts, Texts

BLOCK_CHARACTERS = 200_000
"""Texts are packed in blocks of about so many characters: opening one rollout unpacks one block."""

NAMED = ("source", "outcome", "reason", "row")
WITH_MANY_NAMES = ("reason", "row")
"""Of these, those that a run may have very many names of."""

WHOLE = ("step", "within", "group", "place", "length", "scored", "truncated", "set_aside", "cut")
REAL = ("score", "advantage", "safe_probability")


def pack(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()


def pack_json(value: Any) -> str:
    """A value as JSON, packed. A half surrogate becomes JSON's own escape, which UTF-8 cannot hold otherwise."""
    return pack(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace"))


class Columns:
    """Arrays that are packed together. ``add`` returns what the page's script needs to find one: its type, where it
    begins in bytes, and its length.

    >>> columns = Columns()
    >>> columns.add(np.array([1, 2, -1])), columns.add(np.array([0.5], np.float32))
    (['int8', 0, 3], ['float32', 3, 1])
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, values: np.ndarray) -> list:
        values = np.ascontiguousarray(_narrowest(values))
        # The first bytes of all values, then the second ones: like bytes stand together and compress to half as much.
        part = values.view(np.uint8).reshape(len(values), values.itemsize).T.tobytes()
        place = [values.dtype.name, self._size, len(values)]
        self._parts.append(part)
        self._size += len(part)
        return place

    def packed(self) -> str:
        return pack(b"".join(self._parts))


def _narrowest(values: np.ndarray) -> np.ndarray:
    """Whole numbers in the smallest type that holds them all; what JavaScript has no array for becomes a float."""
    if values.dtype == bool:
        return values.astype(np.int8)
    if values.dtype.kind in "iu":
        low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
        fitting = [
            kind for kind in (np.int8, np.int16, np.int32) if np.iinfo(kind).min <= low <= high <= np.iinfo(kind).max
        ]
        return values.astype(fitting[0] if fitting else np.float64)
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)


def pack_rollouts(rollouts: Rollouts) -> tuple[dict[str, Any], str]:
    """The columns of rollouts: where each is, with the names that some stand for, and the packed block."""
    columns = Columns()
    places = {name: columns.add(getattr(rollouts, name)) for name in ("held_out", *WHOLE, *NAMED, *REAL)}
    extra = {name: columns.add(values) for name, values in rollouts.extra.items()}
    names = {name: rollouts.names.get(name, []) for name in NAMED}
    head = {"count": len(rollouts), "columns": places, "extra": extra, "names": names}
    return head, columns.packed()


@dataclass(frozen=True)
class TextBlock:
    """Texts of some whole groups, packed; ``rollouts`` are the numbers of theirs."""

    rollouts: tuple[int, ...]
    groups: int
    packed: str


def pack_texts(rollouts: Rollouts, limit: int) -> Iterator[TextBlock]:
    """The texts of a sample in blocks of whole groups, as far as ``limit`` bytes of base64 hold them: groups with a
    failure come first, and the order is drawn. A block that is too long is left out, and those after it are tried."""
    groups: dict[int, list[int]] = {}
    for number in rollouts.texts:
        groups.setdefault(int(rollouts.group[number]), []).append(number)
    drawn = [list(groups.values())[place] for place in np.random.default_rng(1).permutation(len(groups))]
    drawn.sort(key=lambda numbers: not (rollouts.scored[numbers] == 0).any())
    for block, count in _blocks(drawn, rollouts.texts):
        fields = {str(number): _fields(rollouts.texts[number]) for number in block}
        made = TextBlock(tuple(block), count, pack_json(fields))
        if len(made.packed) <= limit:
            limit -= len(made.packed)
            yield made


def _blocks(groups: list[list[int]], texts: dict[int, Texts]) -> Iterator[tuple[list[int], int]]:
    block: list[int] = []
    characters = count = 0
    for numbers in groups:
        size = sum(_length(texts[number]) for number in numbers)
        if block and characters + size > BLOCK_CHARACTERS:
            yield block, count
            block, characters, count = [], 0, 0
        block, characters, count = [*block, *numbers], characters + size, count + 1
    if block:
        yield block, count


def _length(texts: Texts) -> int:
    return len(texts.prompt) + len(texts.thought) + len(texts.answer or "") + sum(map(len, texts.extra.values()))


def _fields(texts: Texts) -> list:
    return [texts.prompt, texts.thought, texts.answer, texts.truth, texts.extra]
