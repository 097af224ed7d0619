"""Serves models to this process by ``vllm serve``, for as long as a block runs.

1. The server listens on this machine alone, on a free port, and wants a random key. The key is handed over in the
   environment, because every user of a machine can read command lines.
2. A `keeper` runs it, so that it ends with this process, also where that is killed.
3. Its output goes to a log. If it does not answer within its limit, or ends, the message has the log's last lines.
4. One request of one token is made before the server counts as ready: a model that cannot render a message, or does
   not answer, is found before a thousand requests are.
"""

import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from sinternal_verl.credentials import headers_of
from sinternal_verl.evaluation.running.vllm_command import (
    CPU_ENVIRONMENT,
    Wanted,
    command_of,
    runs_on_cpu,
    shared_out,
    visible_gpus,
)
from sinternal_verl.runs.launch import ProgressLine, tail

START_LIMIT_S = 1800.0
"""[ours] Seconds until a server must answer. Loading 14B from a slow disk and compiling take minutes."""

END_LIMIT_S = 60.0
PROBE_LIMIT_S = 300.0
"""[ours] The first request may compile kernels."""

POLL_S = 0.5
KEY = "VLLM_API_KEY"
"""The environment variable from which ``vllm serve`` takes its key. (vLLM 0.24.0 and 0.27.1)"""


class ServerFailed(RuntimeError):
    """A server did not start, or ended while it was needed. The message has the last lines of its log."""


@dataclass
class Server:
    """A running server.

    Attributes:
        name: of the model in requests.
        url: up to and with ``/v1``.
        key: what a request must bring.
        log: everything that it prints.
    """

    name: str
    url: str
    key: str = field(repr=False)
    log: Path
    process: subprocess.Popen = field(repr=False)

    def check(self) -> None:
        """
        Raises:
            ServerFailed: it has ended.
        """
        code = self.process.poll()
        if code is not None:
            raise ServerFailed(f"the server of {self.name} ended with code {code}; log: {self.log}\n{tail(self.log)}")


@contextmanager
def serving(
    wanted: Sequence[Wanted], logs: Path, limit_s: float = START_LIMIT_S, beside: int = 0
) -> Iterator[list[Server]]:
    """Serve the models while the block runs. They start at the same time.

    Args:
        logs: folder for their logs.
        limit_s: seconds until all must answer.
        beside: see `shared_out`.

    Raises:
        ServerFailed: one does not start.
    """
    cpu = runs_on_cpu()
    wanted = list(wanted) if cpu else shared_out(wanted, visible_gpus(), beside)
    with ExitStack() as stack:
        servers = [stack.enter_context(_started(each, logs, cpu)) for each in wanted]
        for server in servers:
            print(f"vllm serve {server.name} starts; log: {server.log}", flush=True)
        _wait(servers, limit_s)
        yield servers


@contextmanager
def _started(wanted: Wanted, logs: Path, cpu: bool) -> Iterator[Server]:
    logs.mkdir(parents=True, exist_ok=True)
    port, key = _free_port(), secrets.token_urlsafe(32)
    log = logs / f"{wanted.served_as.replace('/', '--')}.log"
    environment = os.environ | (CPU_ENVIRONMENT | os.environ if cpu else {}) | wanted.environment | {KEY: key}
    keeper = [sys.executable, "-m", "sinternal_verl.evaluation.running.keeper"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*keeper, *command_of(wanted, port, cpu)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    try:
        yield Server(wanted.served_as, f"http://127.0.0.1:{port}/v1", key, log, process)
    finally:
        process.stdin.close()
        try:
            process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _wait(servers: Sequence[Server], limit_s: float) -> None:
    begun, line = time.monotonic(), ProgressLine("vllm")
    waiting = list(servers)
    try:
        while waiting:
            for server in list(waiting):
                server.check()
                if _answers(server):
                    _probe(server)
                    waiting.remove(server)
            elapsed = time.monotonic() - begun
            names = ", ".join(server.name for server in waiting)
            line.show(f"starting {names}  {elapsed:.0f} s" if waiting else f"up after {elapsed:.0f} s")
            if waiting and elapsed > limit_s:
                late = waiting[0]
                late_by = f"did not answer within {limit_s:.0f} s"
                raise ServerFailed(f"the server of {late.name} {late_by}; log: {late.log}\n{tail(late.log)}")
            if waiting:
                time.sleep(POLL_S)
    finally:
        line.close()


def _answers(server: Server) -> bool:
    """Whether the server lists its model."""
    try:
        found = httpx.get(f"{server.url}/models", headers=headers_of(server.key), timeout=5)
    except httpx.HTTPError:
        return False
    return found.is_success and server.name in {model["id"] for model in found.json()["data"]}


def _probe(server: Server) -> None:
    body = {"model": server.name, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    try:
        found = httpx.post(
            f"{server.url}/chat/completions",
            json=body,
            headers=headers_of(server.key),
            timeout=PROBE_LIMIT_S,
        )
    except httpx.HTTPError as error:
        server.check()
        raise ServerFailed(f"the server of {server.name} does not answer a request: {type(error).__name__}") from error
    if found.is_error:
        said = found.text[:500]
        raise ServerFailed(
            f"the server of {server.name} refuses a message of one word: HTTP {found.status_code}: {said}\n"
            f"log: {server.log}"
        )


@contextmanager
def watched(servers: Sequence[Server], interrupt: Callable[[], None]) -> Iterator[None]:
    """Call ``interrupt`` once if a server ends while the block runs: requests to it would be tried again for hours.

    Raises:
        ServerFailed: after the block, if one has ended.
    """
    over, failed = threading.Event(), []

    def watch() -> None:
        while not over.wait(POLL_S):
            for server in servers:
                try:
                    server.check()
                except ServerFailed as error:
                    failed.append(error)
                    interrupt()
                    return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    except KeyboardInterrupt:
        if failed:
            raise failed[0] from None
        raise
    finally:
        over.set()
        thread.join()
    if failed:
        raise failed[0]
