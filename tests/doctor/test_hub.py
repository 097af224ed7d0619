"""A hub id that does not exist is found at the start; a hub that cannot be asked is no problem."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sinternal_verl.doctor import hub
from sinternal_verl.doctor.guard import check_guard
from sinternal_verl.doctor.hub import check_hub_id

KEY = "sinternal.guard.engine.model"


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does: one model exists, one is broken, no other is there."""

    def do_GET(self) -> None:
        there = self.path.startswith("/api/models/owner/there")
        self.send_response(200 if there else 500 if "broken" in self.path else 404)
        if "no-such" in self.path:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        self.wfile.write(b'{"id": "owner/there", "sha": "abc"}' if there else b"")

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


@pytest.fixture
def served(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", f"http://127.0.0.1:{server.server_port}")
    hub._missing.cache_clear()
    yield
    hub._missing.cache_clear()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("model", "reason"),
    [("owner/there", None), ("owner/broken", None), ("owner/no-such", "no such model"), ("no id", "neither a folder")],
)
def test_only_a_model_that_the_hub_does_not_have_is_a_problem(served, model, reason):
    found = [problem.reason for problem in check_hub_id(KEY, model)]

    assert [reason in text for text in found] == ([True] if reason else [])


def test_a_hub_that_cannot_be_reached_is_no_problem(monkeypatch):
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", "http://127.0.0.1:9")
    hub._missing.cache_clear()

    assert list(check_hub_id(KEY, "owner/elsewhere")) == []


def test_a_guard_that_does_not_exist_is_found_at_the_start(served, grpo_config):
    words = ["sinternal.guard.backend=ray_actor", f"{KEY}=owner/no-such", "sinternal.guard.replicas=1"]
    found = {problem.key: problem.reason for problem in check_guard(grpo_config(*words))}

    assert "no such model" in found[KEY]
