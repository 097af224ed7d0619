"""What the commands say when they cannot begin, and the exit code that goes with it."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sinternal_verl.did_you_mean import did_you_mean
from sinternal_verl.doctor.settings import known_keys
from sinternal_verl.overrides import is_single, override, shell_line

PREFIX = "sinternal_verl: "
BAD_INPUT = 2
MAX_UNKNOWN = 8
"""How many unknown keys are named."""

UNKNOWN_KEY = re.compile(r"Could not override '([^']+)'")


def fail(message: str) -> int:
    """Print what is wrong with the input; return the exit code."""
    print(message if message.startswith(PREFIX) else PREFIX + message, file=sys.stderr)
    return BAD_INPUT


def not_composed(error: Exception, words: Sequence[str], compose: Callable[[Sequence[str]], DictConfig]) -> str:
    """Why overrides do not compose. Hydra names only the first fault, and for a misspelt key only how to add it.

    Args:
        error: what ``compose`` raised for the words.
    """
    found = list(_unreadable(words)) or list(_unknown(words, compose)) or [str(error)]
    return "\n".join(["the overrides do not compose.", *found])


def _unreadable(words: Sequence[str]) -> Iterator[str]:
    """The words that Hydra cannot read as one value, each as it reads when the value is a text."""
    for word in words:
        key, equals, value = word.partition("=")
        if is_single(word):
            continue
        if not equals or not re.fullmatch(r"\+{0,2}[\w.@/]+", key):
            yield f"{word}: this is no override; write key=value"
        else:
            yield f"{word}: Hydra cannot read this value; if it is a text, quote it: {shell_line(override(key, value))}"


def _unknown(words: Sequence[str], compose: Callable[[Sequence[str]], DictConfig]) -> Iterator[str]:
    """The keys that do not exist, each with the nearest that does."""
    left, unknown = list(words), []
    while len(unknown) < MAX_UNKNOWN:
        try:
            # Those of other guards, too.
            keys = [*_keys(compose(left)), *known_keys()]
            break
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            if (key := UNKNOWN_KEY.search(str(error))) is None:
                return
            unknown.append(key[1])
            left = [word for word in left if word.partition("=")[0] != key[1]]
    else:
        return
    for key in unknown:
        if key in keys:
            # One that is taken over from another place, as a verifier's is from the policy.
            yield f"{key}: the recipe's file does not hold it; write it with a plus, +{key}=..."
        else:
            yield f"{key}: there is no such key{_near(key, keys)}; +{key}=... would add it"


def _near(key: str, keys: Sequence[str]) -> str:
    same_name = [known for known in keys if known.endswith(f".{key.rpartition('.')[2]}")]
    return did_you_mean(key, same_name) or did_you_mean(key, keys)


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for name in node:
        yield f"{prefix}{name}"
        if isinstance(below := node._get_node(name), DictConfig) and not below._is_none():
            yield from _keys(below, f"{prefix}{name}.")
