"""A validation file for verl's RL main: slices of evaluation sets, whose curves show during training what the
evaluation measures after it.

A row's ``data_source`` names its set, so that each set has curves of its own: ``safety/harmful/NAME`` and
``safety/benign/NAME``, which the guard scores, and NAME of a math set, which the box scores. Math prompts ask for a
box, as those of training do.

>>> Slice.parse("strongreject=50")
Slice(name='strongreject', count=50, source=None)
>>> Slice.parse("xstest=xstest_prompts.csv:all")
Slice(name='xstest', count=None, source='xstest_prompts.csv')
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sinternal_verl import __version__
from sinternal_verl.data.adapter import Row
from sinternal_verl.data.schema import RowWriter, rl_row
from sinternal_verl.evaluation.item import Item
from sinternal_verl.evaluation.sets.catalog import SetError, SetInfo, find_set
from sinternal_verl.evaluation.sets.loading import Loaded, load

FORM = "NAME=COUNT or NAME=FILE:COUNT, with a positive number or all"


@dataclass(frozen=True)
class Slice:
    """Some rows of a set.

    Attributes:
        count: how many; None for all.
        source: see `sinternal_verl.evaluation.sets.loading.load`.
    """

    name: str
    count: int | None
    source: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Slice":
        """The slice of ``NAME=COUNT`` or ``NAME=FILE:COUNT``. The count stands after the last ``:``.

        Raises:
            SetError: it is neither, or there is no such set.
        """
        name, equals, rest = text.partition("=")
        source, _, count = rest.rpartition(":")
        if not equals or not (count == "all" or (count.isdecimal() and int(count) > 0)):
            raise SetError(f"{text}: write {FORM}")
        return cls(find_set(name).name, None if count == "all" else int(count), source or None)


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        loaded: the sets, each whole, in the order of the slices.
        sources: number of rows for each ``data_source``.
    """

    loaded: tuple[Loaded, ...]
    sources: dict[str, int]


def write_validation(slices: Sequence[Slice], out: Path, seed: int, folder: str | None = None) -> Written:
    """Write ``out``. All sets are read before anything is written.

    Args:
        seed: draws the rows of each set; a smaller slice is a part of a larger one.
        folder: where the files of sets without a source of their own are; None reads each where it is published.

    Raises:
        SetError: sets cannot be read, or have fewer rows than were asked for; all of them are named.
        OSError: the file cannot be written.
    """
    found: list[Loaded] = []
    problems = [f"{name} is given twice" for name, times in Counter(one.name for one in slices).items() if times > 1]
    for one in slices:
        try:
            found.append(_load(one, folder))
        except SetError as error:
            problems.append(str(error))
    if problems:
        raise SetError("\n".join(problems))
    sources: Counter[str] = Counter()
    with RowWriter(out) as writer:
        for one, loaded in zip(slices, found, strict=True):
            info = find_set(one.name)
            for item in drawn(loaded.items, one.count, f"{seed}/{one.name}"):
                row = row_of(info, item)
                sources[row["data_source"]] += 1
                writer.add(row)
        writer.finish(_provenance(slices, found, seed))
    return Written(tuple(found), dict(sources))


def drawn(items: Sequence[Item], count: int | None, seed: str) -> list[Item]:
    """So many of the items, in their order. Only `random()` is the same in all versions of Python."""
    rng = random.Random(seed)
    chosen = sorted(range(len(items)), key=lambda _: rng.random())[:count]
    return [items[place] for place in sorted(chosen)]


def row_of(info: SetInfo, item: Item) -> Row:
    """The row of `sinternal_verl.data.schema.RL_SCHEMA` of an item."""
    if info.is_math:
        return rl_row(data_source=info.name, content=item.prompt, ground_truth=item.target, index=item.id, split="test")
    return rl_row(
        data_source=f"safety/{item.label}/{info.name}",
        content=item.prompt,
        ground_truth=item.label,
        index=item.id,
        split="test",
        ability="safety",
        style="guard",
    )


def _load(one: Slice, folder: str | None) -> Loaded:
    info = find_set(one.name)
    options = {"instruction": "boxed"} if info.is_math else {}
    loaded = load(one.name, one.source or folder, **options)
    if one.count is not None and one.count > len(loaded.items):
        raise SetError(
            f"{one.name} has {len(loaded.items):,} rows, {one.count:,} are wanted; ask for fewer, or for all"
        )
    return loaded


def _provenance(slices: Sequence[Slice], found: Sequence[Loaded], seed: int) -> dict[str, Any]:
    sets = [loaded.origin | {"wanted": one.count or "all"} for one, loaded in zip(slices, found, strict=True)]
    return {"validation": sets, "seed": seed, "version": __version__}
