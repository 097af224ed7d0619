"""A fraction of a set. Only the seed and the texts decide it, so neither order nor shards change it."""

import math
from collections.abc import Iterable

from sinternal_verl.hashing import key_of


def rank_of(text: str, seed: int) -> bytes:
    """The text's place among all texts in a random order; the order depends only on the seed."""
    return key_of("fraction", seed, text)


def highest_rank(ranks: Iterable[bytes], fraction: float) -> bytes | None:
    """The highest rank that the fraction keeps, so that texts up to it are kept: at least one; None without ranks."""
    ordered = sorted(ranks)
    return ordered[max(math.floor(fraction * len(ordered)), 1) - 1] if ordered else None
