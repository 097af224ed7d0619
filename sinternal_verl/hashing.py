"""Digests of texts and values, the same in every process."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any


def key_of(*parts: str | int | Mapping[str, Any]) -> bytes:
    """A digest of the parts, 16 bytes.

    >>> key_of("a", 1) == key_of("a", 1), key_of("a", 1) == key_of("a", "1")
    (True, False)
    """
    return digest(json.dumps(parts, sort_keys=True, ensure_ascii=True), 16)


def digest(text: str, size: int) -> bytes:
    """A digest of a text, ``size`` bytes."""
    return blake2b(text.encode(), digest_size=size).digest()
