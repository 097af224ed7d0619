"""The key of a guard's server. Settings name the environment variable that holds it, so that no configuration, log
or message shows the key itself."""

import os
import re

from sinternal_verl.guard.errors import EndpointFault

KEY = "sinternal.guard.api_key_env"
CLUSTER = "on a Ray cluster that runs already, before `ray start` on every node"
"""Ray hands the driver's environment to a cluster that it starts itself, and to no other. What a runtime
environment hands over is written to Ray's logs. (Ray 2.60)"""

HIDDEN = "(the key)"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VALUE = re.compile(r"[!-~]+")


def read_key(name: str | None) -> str | None:
    """The key in the environment variable ``name``; None where no variable is named.

    Raises:
        EndpointFault: the variable is not set, or what it holds is no key.
    """
    if name is None:
        return None
    if not _NAME.fullmatch(str(name)):
        # It may be the key itself.
        raise EndpointFault(KEY, HIDDEN, "it is no name of an environment variable", "give the name, not the key")
    value = os.environ.get(name, "").strip()
    if not value:
        raise EndpointFault(KEY, name, "this environment variable is not set", f"export it before the run; {CLUSTER}")
    if not _VALUE.fullmatch(value):
        reason = "this environment variable holds blanks or characters that no HTTP header may have"
        raise EndpointFault(KEY, name, reason, "export the key alone")
    return value


def headers_of(key: str | None) -> dict[str, str]:
    """The HTTP headers that carry the key."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def hide(text: str, key: str | None) -> str:
    """The text without the key: a server may repeat it in its error.

    >>> hide("no such key: abc", "abc")
    'no such key: (the key)'
    """
    return text.replace(key, HIDDEN) if key else text
