"""Keeps secrets out of what a run writes about itself.

>>> masked("sinternal.scorers.mine.api_key", "sk-1"), masked("data.max_tokens", 3), masked("a", "http://me:pw@host/v1")
('***', 3, 'http://***@host/v1')
"""

import os
import re
from typing import Any

MASK = "***"

SECRET = re.compile(
    r"(?:^|[._-])(?:(?:api|access|private|secret)_?key|token|secret|pass(?:word|wd)|credentials?|authorization)$",
    re.IGNORECASE,
)
"""Ends of the names of keys and environment variables whose values are secrets. The name of a variable that holds a
key, such as ``api_key_env``, is none."""

_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")

MIN_LENGTH = 8
"""A shorter value of an environment variable may stand in a configuration by chance."""


def masked(key: str, value: Any) -> Any:
    """``value`` with each secret in it replaced: all of it where ``key`` or an environment variable is a secret's.

    Args:
        key: the value's dotted key.
    """
    if isinstance(value, dict):
        return {name: masked(f"{key}.{name}", below) for name, below in value.items()}
    if isinstance(value, list):
        return [masked(key, each) for each in value]
    if not isinstance(value, str) or not value:
        return value
    if SECRET.search(key) or value in _secrets_of_the_environment():
        return MASK
    return _LOGIN.sub(f"{MASK}@", value)


def _secrets_of_the_environment() -> set[str]:
    return {value for name, value in os.environ.items() if SECRET.search(name) and len(value) >= MIN_LENGTH}
