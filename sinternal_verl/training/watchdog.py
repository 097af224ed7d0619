"""Ends a run whose worker or rollout engine died, and names the cause on the last screen.

verl waits without a bound when one of its actors is gone (verl 0.9.1: a dead vLLM engine leaves the
weight sync waiting, a dead actor leaves the replay buffer waiting). The watchdog is a thread in the driver,
the process the user started. It uses two public signals:

1. Every named actor of the run holds one outstanding ``__ray_ready__`` call. A busy actor answers
   late, a dead one fails at once with Ray's own account of its death.
2. Every vLLM server serves ``/health``, which answers 503 when its engine core has died.

Actors die at every normal end, so the run has `GRACE_S` after a death to end by itself. If it does not, the
driver prints the cause and exits, and Ray ends the rest of the run.
"""

import os
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayError

from sinternal_verl.runs.ending import cause_of, close_run, describe

PERIOD_S = 5.0
FIRST_LOOK_S = 60.0
"""Time to the first look. To get an actor's handle the driver imports the actor's class, and all cores are busy
while a run starts. An actor that dies during the start fails whoever waits for it: verl waits for its own actors, our
trainer for the guard and the reward workers."""

GRACE_S = 30.0
LAST_LOOK_S = 5.0
"""How long to look for a death after a run has failed: Ray learns of a death a moment later."""

EXIT_CODE = 1

MAX_ASKED = 256
"""The most servers that are asked for their health at a time."""

SERVER_PREFIX = "vllm_server_"
"""verl's name for its rollout servers; each has ``get_server_address()``. (verl 0.9.1)"""

QUEUE_NAMESPACE = "transfer_queue"
"""TransferQueue keeps its controller in a namespace of its own. (TransferQueue 0.1.11)"""

KILLED_ON_PURPOSE = "`ray.kill`"
"""Ray's account of a death contains this where the run itself ended the actor, as TransferQueue does. (Ray 2.60)"""


class Watchdog(threading.Thread):
    """Watches the actors of this driver's job until `finish` is called."""

    def __init__(self) -> None:
        super().__init__(name="sinternal-watchdog", daemon=True)
        self._finished = threading.Event()
        self._calls: dict[str, ray.ObjectRef] = {}
        self._handles: dict[str, ray.actor.ActorHandle] = {}
        self._address_calls: dict[str, ray.ObjectRef] = {}
        self._addresses: dict[str, str] = {}
        self.deaths: dict[str, str] = {}

    def run(self) -> None:
        first_death, unanswered = None, 0
        wait_s = FIRST_LOOK_S
        while not self._finished.wait(wait_s):
            wait_s = PERIOD_S
            try:
                self._look()
                unanswered = 0
            # No error of a look may end the watch. Ray may be busy for a moment, so only a silence longer than
            # GRACE_S counts as a death.
            except Exception as error:
                unanswered += 1
                if unanswered * PERIOD_S > GRACE_S:
                    self.deaths.setdefault("ray", cause_of(error))
            if self.deaths:
                first_death = first_death or time.monotonic()
                if time.monotonic() - first_death > GRACE_S:
                    self._end_the_run()

    def finish(self, error: BaseException | None) -> dict[str, str]:
        """Stop the watch and return who died, by name. After an error it looks once more, because verl's own
        error often names only a consequence of the death."""
        self._finished.set()
        if error is None:
            return {}
        self.join(2 * PERIOD_S)
        deadline = time.monotonic() + LAST_LOOK_S
        with suppress(RayError, OSError):
            while not self.deaths and time.monotonic() < deadline:
                self._look()
                time.sleep(0.5)
        return self.deaths

    def _look(self) -> None:
        if not ray.is_initialized():
            return
        self._meet_new_actors()
        for name in _answered(self._calls):
            call = self._calls.pop(name)
            try:
                ray.get(call)
            except RayError as error:
                # After anything but a death, such as an actor that is unavailable for a moment, ask again.
                if isinstance(error, RayActorError) and not isinstance(error, ActorUnavailableError):
                    if KILLED_ON_PURPOSE not in str(error):
                        self.deaths[name] = cause_of(error)
                    continue
            self._calls[name] = self._handles[name].__ray_ready__.remote()
        for name in _answered(self._address_calls):
            # A server has no address while it starts, or where it serves no HTTP (a later node of a replica).
            with suppress(RayError):
                host, port = ray.get(self._address_calls.pop(name))
                self._addresses[name] = f"{host}:{port}"
        alive = {name: address for name, address in self._addresses.items() if name not in self.deaths}
        for name in _with_dead_engine(alive):
            address = alive[name]
            self.deaths[name] = f"its vLLM engine has died (http://{address}/health answers 503 or not at all)"

    def _meet_new_actors(self) -> None:
        mine = {ray.get_runtime_context().namespace, QUEUE_NAMESPACE}
        for actor in ray.util.list_named_actors(all_namespaces=True):
            name = actor["name"]
            if name in self._handles or name in self.deaths or actor["namespace"] not in mine:
                continue
            try:
                handle = ray.get_actor(name, namespace=actor["namespace"])
            except ValueError:
                continue  # gone since it was listed: it never was part of the running job
            self._handles[name], self._calls[name] = handle, handle.__ray_ready__.remote()
        for name, handle in self._handles.items():
            known = self._addresses.keys() | self._address_calls.keys() | self.deaths.keys()
            if name.startswith(SERVER_PREFIX) and name not in known:
                self._address_calls[name] = handle.get_server_address.remote()

    def _end_the_run(self) -> None:
        close_run(describe("failed", "verl did not end by itself", self.deaths))
        os._exit(EXIT_CODE)


def _answered(calls: dict[str, ray.ObjectRef]) -> list[str]:
    """The names whose call has come back, with a value or an error."""
    if not calls:
        return []
    ready, _ = ray.wait(list(calls.values()), num_returns=len(calls), timeout=0)
    return [name for name, call in calls.items() if call in ready]


# Never through a proxy: a proxy's own 503 would end a healthy run.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _with_dead_engine(addresses: dict[str, str]) -> list[str]:
    """The names of the servers whose engine is dead. All are asked at once, because each may take `PERIOD_S`."""
    if not addresses:
        return []
    with ThreadPoolExecutor(min(len(addresses), MAX_ASKED), "sinternal-health") as pool:
        dead = list(pool.map(_engine_is_dead, addresses.values()))
    return [name for name, is_dead in zip(addresses, dead, strict=True) if is_dead]


def _engine_is_dead(address: str) -> bool:
    try:
        with _direct.open(f"http://{address}/health", timeout=PERIOD_S):
            return False
    except urllib.error.HTTPError as error:
        return error.code == 503
    except (TimeoutError, ConnectionResetError):
        return False  # busy or just ending; the next look will tell
    except urllib.error.URLError as error:
        return isinstance(error.reason, ConnectionRefusedError)


_watchdog: Watchdog | None = None


def watch_this_run() -> None:
    """Start the watchdog of this driver."""
    global _watchdog
    _watchdog = Watchdog()
    _watchdog.start()


def who_died(error: BaseException | None) -> dict[str, str]:
    """Stop the watchdog and return why each dead process died, by name. See `Watchdog.finish`."""
    return {} if _watchdog is None else _watchdog.finish(error)
