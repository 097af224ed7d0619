"""Keeps secrets out of what a run writes and prints about itself.

>>> masked("sinternal.scorers.mine.api_key", "sk-1"), masked("data.max_tokens", 3), masked("a", "http://me:pw@host/v1")
('***', 3, 'http://***@host/v1')
>>> masked("env_vars", {"GUARD_KEY": "sk-1", "LANG": "C"}), masked("url", "http://host/v1?api_key=sk-1&n=1")
({'GUARD_KEY': '***', 'LANG': 'C'}, 'http://host/v1?api_key=***&n=1')
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

MASK = "***"

_WORDS = (
    r"api[_-]?key|(?:^|[._-])(?:(?:access|private|secret)[_-]?key|secret|pass(?:word|wd|phrase)|credentials?"
    # A tokenizer's special tokens are no secrets.
    r"|authorization|cookie|(?<!pad_)(?<!bos_)(?<!eos_)(?<!unk_)(?<!sep_)(?<!cls_)(?<!mask_)token)"
)

SECRET = re.compile(rf"(?:{_WORDS})$", re.IGNORECASE)
"""Ends of the names of keys whose values are secrets. The name of a variable that holds a key, such as
``api_key_env``, is none, and neither is the key of a column, such as ``reward_fn_key``."""

SECRET_VARIABLE = re.compile(rf"(?:{_WORDS}|(?:^|_)key)$", re.IGNORECASE)
"""The same of environment variables, where ``_KEY`` alone says it, too."""

_VARIABLE = re.compile(r"(?:^|\.)env_vars\.(.+)$")
"""A key that sets an environment variable, as ``ray_kwargs.ray_init.runtime_env.env_vars.GUARD_KEY``."""

NAMES_VARIABLE = re.compile(r"(?:^|[._])api_key_env$")
"""Ends of the keys whose values are the names of environment variables that hold a key."""

_REFERENCE = re.compile(r"\$\{oc\.env:\w+\}")
"""Stands for a secret and shows none."""

_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY = re.compile(r"([?&][^=&\s]*(?:key|token|secret|password)=)[^&#\s]+", re.IGNORECASE)

MIN_LENGTH = 8
"""A shorter value of an environment variable may stand in a configuration, or within a value of it, by chance."""


def masked(key: str, value: Any, secrets: Collection[str] | None = None) -> Any:
    """``value`` with each secret in it replaced: all of it where ``key`` is a secret's.

    Args:
        key: the value's dotted key.
        secrets: values that are secrets wherever they stand, from `secrets_of`; None takes those of the environment.
    """
    secrets = secrets_of({}) if secrets is None else secrets
    if isinstance(value, Mapping):
        return {name: masked(f"{key}.{name}", below, secrets) for name, below in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [masked(key, each, secrets) for each in value]
    if value is None or value == "" or isinstance(value, bool) or _REFERENCE.fullmatch(str(value)):
        return value
    variable = _VARIABLE.search(key)
    if SECRET.search(key) or (variable and SECRET_VARIABLE.search(variable[1])):
        return MASK
    if not isinstance(value, str):
        return value
    if value in secrets:
        return MASK
    # As `Bearer <key>` holds one.
    for secret in secrets:
        value = value.replace(secret, MASK) if len(secret) >= MIN_LENGTH else value
    return _QUERY.sub(rf"\g<1>{MASK}", _LOGIN.sub(f"{MASK}@", value))


def secrets_of(config: Mapping[str, Any]) -> set[str]:
    """The values of the environment variables whose names say that they are secrets, and of those that some
    ``api_key_env`` of the configuration names.

    Args:
        config: plain, with all interpolations resolved.
    """
    named = set(_named_variables(config))
    return {
        value
        for name, value in os.environ.items()
        if (name in named and value) or (SECRET_VARIABLE.search(name) and len(value) >= MIN_LENGTH)
    }


def _named_variables(node: Any, key: str = "") -> Iterator[str]:
    if isinstance(node, Mapping):
        for name, below in node.items():
            yield from _named_variables(below, f"{key}.{name}")
    elif isinstance(node, str) and NAMES_VARIABLE.search(key):
        yield node
