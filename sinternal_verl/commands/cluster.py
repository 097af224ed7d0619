"""`sinternal-verl cluster wait`: wait until every node of an allocation has joined a Ray cluster."""

import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

LABEL = "sinternal/node"
"""The label by which nodes are known. Each raylet is started with ``--labels sinternal/node=NAME``, because Ray's own
names of nodes are their addresses, which a job does not know beforehand."""

POLL_S = 1.0


class NodesMissing(RuntimeError):
    """Nodes have not joined before the deadline, and the message names them; or there is no cluster to join."""


def wait(address: str, names: Sequence[str], limit_s: float) -> int:
    """Wait and report; return 0, or 1 where nodes are missing."""
    try:
        wait_for_nodes(address, names, limit_s, partial(print, flush=True))
    except NodesMissing as error:
        print(f"sinternal_verl: {error}", file=sys.stderr)
        return 1
    return 0


def wait_for_nodes(
    address: str, names: Sequence[str], limit_s: float, say: Callable[[str], None] = lambda text: None
) -> None:
    """Wait until all nodes have joined a cluster.

    Args:
        address: host:port of the cluster's head.
        names: the nodes' names in their labels.
        limit_s: seconds for all nodes together, the head included.
        say: called with a line for each node that has joined.

    Raises:
        NodesMissing: nodes have not joined in time, or the head does not answer.
    """
    deadline = time.monotonic() + limit_s
    _wait_for_head(address, deadline, limit_s)
    import ray

    try:
        ray.init(address=address, logging_level="ERROR", log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise NodesMissing(f"the head of Ray at {address} does not let this process in: {error}") from error
    try:
        missing = list(names)
        while True:
            joined = {node["Labels"].get(LABEL) for node in ray.nodes() if node["Alive"]}
            for name in [name for name in missing if name in joined]:
                missing.remove(name)
                say(f"{name} has joined; {len(names) - len(missing)} of {len(names)}")
            if not missing:
                return
            if time.monotonic() > deadline:
                step = "see its lines above, or give it more time"
                raise NodesMissing(f"{', '.join(missing)} did not join {address} within {limit_s:g} s; {step}")
            time.sleep(POLL_S)
    finally:
        ray.shutdown()


def _wait_for_head(address: str, deadline: float, limit_s: float) -> None:
    """Wait until the head's port is open: Ray itself would wait for minutes where nobody listens."""
    host, _, port = address.rpartition(":")
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=POLL_S).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise NodesMissing(f"no head of Ray at {address} within {limit_s:g} s: {error}") from error
            time.sleep(POLL_S)
