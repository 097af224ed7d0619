"""The setting that names the key of a guard's server."""

from sinternal_verl.credentials import KeyFault
from sinternal_verl.credentials import read_key as read_variable
from sinternal_verl.guard.errors import EndpointFault

KEY = "sinternal.guard.api_key_env"
CLUSTER = "on a Ray cluster that runs already, before `ray start` on every node"
"""Ray hands the driver's environment to a cluster that it starts itself, and to no other. What a runtime
environment hands over is written to Ray's logs. (Ray 2.60)"""


def read_key(name: str | None) -> str | None:
    """The key in the environment variable ``name``; None where no variable is named.

    Raises:
        EndpointFault: the variable is not set, or what it holds is no key.
    """
    try:
        return read_variable(name)
    except KeyFault as fault:
        step = f"{fault.next_step}; {CLUSTER}" if fault.shown == name else fault.next_step
        raise EndpointFault(KEY, fault.shown, fault.reason, step) from fault
