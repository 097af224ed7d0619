"""Bytes that stand for what they are made of, the same in every process."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any


def key_of(*parts: str | int | Mapping[str, Any]) -> bytes:
    """Sixteen bytes that stand for the parts.

    >>> key_of("a", 1) == key_of("a", 1), key_of("a", 1) == key_of("a", "1")
    (True, False)
    """
    return digest(json.dumps(parts, sort_keys=True, ensure_ascii=True), 16)


def digest(text: str, size: int) -> bytes:
    """So many bytes that stand for a text."""
    return blake2b(text.encode(), digest_size=size).digest()
