"""A hub on this machine: the few paths of the Hugging Face Hub's HTTP interface by which `datasets` fetches a set."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Commits = Mapping[str, Mapping[str, bytes]]
"""Commit (40 hex digits) -> path -> content. The last one is the branch ``main``."""


class LocalHub:
    """Serves datasets while it is entered.

    Args:
        gated: names of those whose files it gives to nobody.

    Attributes:
        url: for ``HF_ENDPOINT``.
        fetched: the files that were asked for with GET, in order, each as ``owner/name/path``.
    """

    def __init__(self, sets: Mapping[str, Commits], gated: Sequence[str] = ()) -> None:
        self.fetched: list[str] = []
        hub = self

        class Handler(_Handler):
            def find(self) -> None:
                self.answer(sets, hub.fetched, gated)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "LocalHub":
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, sets: Mapping[str, Commits], fetched: list[str], gated: Sequence[str]) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        api = parts[:1] == ["api"]
        kind, *parts = parts[api:] or [""]
        name, rest = "/".join(parts[:2]), parts[2:]
        if api and not rest:
            rest = ["revision", "main"]
        if kind != "datasets" or name not in sets or len(rest) < 2:
            return self.reply(404, {}, {"X-Error-Code": "RepoNotFound" if kind == "datasets" else "EntryNotFound"})
        what, revision, *path = rest
        if name in gated and what == "resolve":
            return self.reply(403, {}, {"X-Error-Code": "GatedRepo", "X-Error-Message": f"Access to {name} is gated."})
        commits = sets[name]
        commit = list(commits)[-1] if revision == "main" else next((c for c in commits if c.startswith(revision)), None)
        if commit is None:
            return self.reply(404, {}, {"X-Error-Code": "RevisionNotFound"})
        files, path = commits[commit], "/".join(path)
        if what == "revision":
            siblings = [{"rfilename": file} for file in files]
            return self.reply(200, {"id": name, "sha": commit, "siblings": siblings, "private": False})
        if what == "tree":
            return self.reply(200, _tree(files, f"{path}/" if path else "", "recursive=true" in self.path.lower()))
        if what == "paths-info":
            wanted = parse_qs(body.decode())["paths"]
            return self.reply(200, [_entry(file, files[file]) for file in wanted if file in files])
        if path not in files:
            return self.reply(404, {}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        if self.command == "GET":
            fetched.append(f"{name}/{path}")
        etag = f'"{_oid(files[path])}"'
        return self.reply(200, files[path], {"X-Repo-Commit": commit, "ETag": etag, "Accept-Ranges": "bytes"})

    def reply(self, status: int, content: Any, headers: Mapping[str, str] = {}) -> None:
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for header, value in headers.items():
            self.send_header(header, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_GET(self) -> None:
        self.find()

    do_HEAD = do_POST = do_GET


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def _tree(files: Mapping[str, bytes], folder: str, recursive: bool) -> list[dict[str, Any]]:
    below = [file for file in files if file.startswith(folder)]
    if recursive:
        return [_entry(file, files[file]) for file in below]
    names = {folder + file.removeprefix(folder).partition("/")[0] for file in below}
    return [
        _entry(name, files[name]) if name in files else {"type": "directory", "path": name, "oid": _oid(name.encode())}
        for name in sorted(names)
    ]


def _entry(path: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(content), "oid": _oid(content)}
