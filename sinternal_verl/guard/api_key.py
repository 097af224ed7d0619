"""The key of a guard's server, and where it may go."""

from collections.abc import Mapping
from typing import Any

from sinternal_verl.credentials import KeyFault, key_to, read_key
from sinternal_verl.guard.errors import EndpointFault
from sinternal_verl.runs.secrets import masked

URL, KEY = "sinternal.guard.url", "sinternal.guard.api_key_env"
CLUSTER = "on a Ray cluster that runs already, before `ray start` on every node"
"""Ray hands the driver's environment to a cluster that it starts itself, and to no other. What a runtime
environment hands over is written to Ray's logs. (Ray 2.60)"""


def key_of(guard: Mapping[str, Any]) -> str | None:
    """The key that goes to the server of a ``sinternal.guard`` node; None where it names no variable.

    Raises:
        EndpointFault: the variable is not set, what it holds is no key, or it would go over plain http to another
            machine.
    """
    url, name = guard["url"], guard.get("api_key_env")
    try:
        read_key(name)
    except KeyFault as fault:
        step = f"{fault.next_step}; {CLUSTER}" if fault.shown == name else fault.next_step
        raise EndpointFault(KEY, fault.shown, fault.reason, step) from fault
    try:
        return key_to(url, name, guard.get("api_key_over_http") is True)
    except KeyFault as fault:
        raise EndpointFault(KEY, fault.shown, fault.reason, fault.next_step) from fault
    except ValueError as error:
        raise EndpointFault(
            URL, masked("url", url), str(error), "give a server's address up to and with /v1"
        ) from error
