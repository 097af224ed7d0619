"""The numbers of rollouts that a page holds: of all of them, or of a sample of whole groups where all are too many."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sinternal_verl.report.payload import WITH_MANY_NAMES, pack_json, pack_rollouts
from sinternal_verl.report.run import UNKNOWN, Rollouts
from sinternal_verl.report.sample import choose_groups

MARGIN = 0.97
"""How much of what should fit is tried: the size of a sample is not known before it is packed."""


@dataclass(frozen=True)
class Numbers:
    """The numbers of a run as the page has them.

    Attributes:
        rollouts: those that the page holds, with the texts that the run's sample has of them.
        head, packed: what `sinternal_verl.report.payload.pack_rollouts` makes of them.
        bytes: of both.
        failed_groups, all_failed_groups: groups with a failure that the page holds, and that the run has.
    """

    rollouts: Rollouts
    head: dict[str, Any]
    packed: str
    bytes: int
    failed_groups: int
    all_failed_groups: int


def numbers_that_fit(rollouts: Rollouts, limit: int) -> Numbers:
    """The numbers of all rollouts where ``limit`` bytes hold them, else of a sample (`sample_of`) that they hold."""
    kept = rollouts
    while True:
        head, packed = pack_rollouts(kept)
        size = len(packed) + len(pack_json(head))
        if size <= limit or not len(kept):
            head |= {"total": len(rollouts)}
            return Numbers(kept, head, packed, size, _failed(kept).size, _failed(rollouts).size)
        kept = sample_of(rollouts, int(len(kept) * MARGIN * max(limit, 0) / size))


def sample_of(rollouts: Rollouts, most: int) -> Rollouts:
    """At most so many rollouts in whole groups, spread over steps and sources: groups with a failure come first, those
    with texts come before others, and the rest is drawn by a seed."""
    groups, first, member, size = np.unique(rollouts.group, return_index=True, return_inverse=True, return_counts=True)
    columns = np.stack([rollouts.held_out[first], rollouts.step[first], rollouts.source[first]])
    with_texts = np.isin(groups, rollouts.group[list(rollouts.texts)])
    chosen = choose_groups(
        failed=np.isin(groups, _failed(rollouts)),
        size=size,
        stratum=np.unique(columns, axis=1, return_inverse=True)[1].reshape(-1),
        mark=np.random.default_rng(1).random(len(groups)) - with_texts,
        budget=most,
    )
    return _take(rollouts, np.flatnonzero(chosen[member]))


def _failed(rollouts: Rollouts) -> np.ndarray:
    """The groups with a response that has no score."""
    return np.unique(rollouts.group[rollouts.scored == 0])


def _take(rollouts: Rollouts, numbers: np.ndarray) -> Rollouts:
    """Some of the rollouts. Names that none of them has are left out where a run may have very many."""
    columns = {name: values[numbers] for name, values in vars(rollouts).items() if isinstance(values, np.ndarray)}
    names = dict(rollouts.names)
    for name in WITH_MANY_NAMES:
        used, columns[name] = np.unique(columns[name], return_inverse=True)
        known = used != UNKNOWN
        names[name] = [rollouts.names[name][place] for place in used[known]]
        columns[name] = np.where(known, np.cumsum(known) - 1, UNKNOWN)[columns[name]].astype(np.int32)
    places = {int(number): place for place, number in enumerate(numbers)}
    return replace(
        rollouts,
        **columns,
        extra={name: values[numbers] for name, values in rollouts.extra.items()},
        names=names,
        texts={places[number]: texts for number, texts in rollouts.texts.items() if number in places},
    )
