"""A fraction of a set, chosen by a seed and each text alone: neither order nor shards change it."""

import math
from collections.abc import Iterable

from sinternal_verl.hashing import key_of


def rank_of(text: str, seed: int) -> bytes:
    """A place among all texts that hangs on the seed alone."""
    return key_of("fraction", seed, text)


def highest_rank(ranks: Iterable[bytes], fraction: float) -> bytes | None:
    """Of the fraction that comes first, at least one of them; None where there is none."""
    ordered = sorted(ranks)
    return ordered[max(math.floor(fraction * len(ordered)), 1) - 1] if ordered else None
