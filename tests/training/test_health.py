"""What the watchdog takes for a dead engine: real HTTP servers that answer, refuse, or stall."""

import contextlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sinternal_verl.training import watchdog


@contextlib.contextmanager
def server(status: int):
    """An HTTP server that answers every request with ``status``; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{http.server_port}"
    finally:
        http.shutdown()
        http.server_close()


@pytest.mark.parametrize(("status", "dead"), [(200, False), (503, True), (500, False), (404, False)])
def test_only_503_is_vllms_word_for_a_dead_engine(status, dead):
    with server(status) as address:
        assert watchdog._engine_is_dead(address) is dead


def test_nobody_listening_is_dead():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"

    assert watchdog._engine_is_dead(address)


def test_a_server_that_stalls_is_busy_and_not_dead(monkeypatch):
    monkeypatch.setattr(watchdog, "PERIOD_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()

        assert not watchdog._engine_is_dead(f"127.0.0.1:{silent.getsockname()[1]}")


def test_a_proxys_503_is_not_taken_for_the_engines(monkeypatch):
    with server(503) as proxy, server(200) as engine:
        monkeypatch.setenv("http_proxy", f"http://{proxy}")

        assert not watchdog._engine_is_dead(engine)


def test_all_servers_are_asked_at_once(monkeypatch):
    """A server that stalls takes the whole time of one question, however many there are."""
    monkeypatch.setattr(watchdog, "PERIOD_S", 1.0)
    with contextlib.ExitStack() as stack:
        addresses = {"well": stack.enter_context(server(200)), "dead": stack.enter_context(server(503))}
        for number in range(16):
            silent = stack.enter_context(socket.socket())
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            addresses[f"silent{number}"] = f"127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()

        assert watchdog._with_dead_engine(addresses) == ["dead"]
        assert time.monotonic() - begun < 8.0  # one after another: 16


def test_without_servers_nobody_is_asked():
    assert watchdog._with_dead_engine({}) == []
