"""Digests of texts and values, the same in every process."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

GROUP_BYTES = 8
"""Size of the beginning that the keys of one group share."""


def key_of(*parts: str | int | Mapping[str, Any], size: int = 16) -> bytes:
    """A digest of the parts, ``size`` bytes.

    >>> key_of("a", 1) == key_of("a", 1), key_of("a", 1) == key_of("a", "1")
    (True, False)
    """
    return digest(json.dumps(parts, sort_keys=True, ensure_ascii=True), size)


def key_in(group: bytes, *parts: str | int | Mapping[str, Any]) -> bytes:
    """A key that begins with its group.

    >>> key_in(b"group", 1) == key_in(b"group", 1), key_in(b"group", 1)[:5]
    (True, b'group')
    """
    return group + key_of(group.hex(), *parts)


def canonical(value: Any) -> Any:
    """The value as JSON, with equal numbers written alike.

    >>> canonical({"temperature": 0.0, "stop": ("a",), "logit_bias": {50256: -100.0}})
    {'temperature': 0, 'stop': ['a'], 'logit_bias': {'50256': -100}}
    """
    if isinstance(value, Mapping):
        return {str(key): canonical(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(entry) for entry in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def digest(text: str, size: int) -> bytes:
    """A digest of a text, ``size`` bytes."""
    return blake2b(text.encode(), digest_size=size).digest()
