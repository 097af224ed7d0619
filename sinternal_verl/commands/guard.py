"""`sinternal-verl guard serve`: serves replicas by `sinternal_verl.guard.http` until the process is told to end."""

import socket
import sys
from collections.abc import Sequence

from aiohttp import web
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sinternal_verl.commands.messages import fail, not_composed
from sinternal_verl.commands.running_guard import compose_guard, find_guard_problems, running_guard
from sinternal_verl.credentials import KeyFault, is_loopback, read_key
from sinternal_verl.doctor.problem import report
from sinternal_verl.guard.client import ReplicaClient
from sinternal_verl.guard.errors import GuardUnavailable
from sinternal_verl.guard.http import make_app


def compose_served(overrides: Sequence[str]) -> DictConfig:
    """The configuration of a guard that is served.

    Raises:
        hydra.errors.HydraException, ValueError: see `compose_guard`.
    """
    config = compose_guard(overrides, "ray_actor")
    if config.sinternal.guard.get("backend") == "ray_actor":
        # A client of the server gets the guard's three lines; first_token would leave the categories out.
        config.sinternal.guard.mode = "decode"
    return config


def serve(
    overrides: Sequence[str], host: str, port: int, api_key_env: str | None = None, open_to_all: bool = False
) -> int:
    """Serve until the process is told to end; return the exit code.

    Args:
        overrides: as for verl's main; ``guard=ray_actor`` is the default.
        api_key_env: the environment variable with the key that requests must bring.
        open_to_all: whether other machines may ask without a key.
    """
    from transformers import AutoTokenizer

    try:
        api_key = _key(api_key_env)
        if api_key is None and not open_to_all and not is_loopback(host):
            raise ValueError(
                f"--host {host} serves other machines, and anyone there could ask this guard: give --api-key-env NAME, "
                "the environment variable with the key that requests must bring, or --open to serve without a key"
            )
    except OSError as error:
        print(f"sinternal_verl: --host {host}: {error}", file=sys.stderr)
        return 2
    except ValueError as error:
        return fail(str(error))
    try:
        config = compose_served(overrides)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        return fail(not_composed(error, overrides, compose_served))
    guard = config.sinternal.guard
    if guard.get("backend") != "ray_actor":
        return fail(f"guard={guard.get('backend')} has no replicas to serve; take ray_actor")
    if problems := find_guard_problems(config, scores=False):
        return fail(report(problems))
    try:
        # The port is taken before the model loads, because another program may have it.
        listener = socket.create_server((host, port))
        with running_guard(config):
            client = ReplicaClient.look_up(guard.replicas, guard.request_timeout_s, max_calls=1)
            model = guard.engine.model
            app = make_app(client, model, AutoTokenizer.from_pretrained(model), api_key)
            at = f"http://{host}:{listener.getsockname()[1]}/v1"
            ready = f"sinternal_verl: {model} at {at}, replicas: {guard.replicas}"
            say = lambda _: print(ready, flush=True)  # noqa: E731
            web.run_app(app, sock=listener, print=say, handler_cancellation=True)
    except (GuardUnavailable, OSError) as error:
        print(f"sinternal_verl: {error}", file=sys.stderr)
        return 1
    return 0


def _key(name: str | None) -> str | None:
    """
    Raises:
        ValueError: the environment variable holds no key.
    """
    try:
        return read_key(name)
    except KeyFault as fault:
        raise ValueError(f"--api-key-env {fault.shown}: {fault.reason}; export it before this command") from fault
