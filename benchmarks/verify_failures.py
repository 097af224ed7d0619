"""A build of 10,000 prompts against a server that fails in twelve ways at once, and is killed half way.

The server, in a process of its own, plays policy and expert. It counts each request that it answered, by content and
seed. It drops connections, stalls, drips, cuts its JSON, answers 429, 500 and 503 and answers that are none; and
some prompts its filter refuses, or they are too long. A build by the command line is ended with `kill -9` at half of
its answers and begun anew. In the same run a server that never fails, and refuses the same prompts, is asked for the
same build.

The limits: no reply is lost, and the two builds' files have the same bytes; no request is answered twice, but for at
most those under way at the kill; at most 4 times the seconds against the server that never fails.
"""

import asyncio
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from hashlib import blake2b
from pathlib import Path

from aiohttp import web
from arguments import parser_of
from endpoint import serve as serve_app

PROMPTS, SAMPLES, AT_ONCE, AT_MOST = 10_000, 2, 64, 4.0
DELAY_S, TIMEOUT_S = 0.05, 3.0
START_S, LIMIT_S = 120.0, 1800.0
"""The longest wait for half of the answers to begin, and for one build."""

OPEN_S, SHUT_S = 5.0, 0.4
"""For so long the server takes requests, and then answers 429 for so long."""

PERMANENT = {"filter": 10, "too long": 10}
"""What a prompt meets each time: thousandths of all."""

FIRST = {"500": 15, "503": 15, "dropped": 15, "cut off": 15, "stalled": 2, "error": 15, "empty": 15, "truncated": 15}
"""What the first try of a request meets: thousandths of all."""

DRIPS = 10
"""Thousandths of all answers that come byte by byte."""


def chance(text: str) -> int:
    """A number below 1,000 that belongs to the text."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") % 1000


def drawn(shares: dict[str, int], text: str) -> str:
    number = chance(text)
    for name, share in shares.items():
        if number < share:
            return name
        number -= share
    return ""


class Server:
    """Counts what it answered and how it failed."""

    def __init__(self, fails: bool) -> None:
        self.fails, self.started = fails, time.monotonic()
        self.tries, self.answered, self.ways = Counter(), Counter(), Counter()

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        content, seed = body["messages"][-1]["content"], body.get("seed")
        key = f"{seed} {content}"
        asked = content.partition("<request>")[2].partition("</request>")[0].strip() or content
        if way := drawn(PERMANENT, f"permanent {asked}"):
            self.ways[way] += 1
            return error(400, **PERMANENTLY[way])
        if self.fails:
            since = (time.monotonic() - self.started) % (2 * (OPEN_S + SHUT_S))
            if since % (OPEN_S + SHUT_S) > OPEN_S:
                says = since > OPEN_S + SHUT_S
                self.ways["429 with Retry-After" if says else "429"] += 1
                return error(429, {"Retry-After": "0.4"} if says else {}, message="slow down")
            self.tries[key] += 1
            if self.tries[key] == 1 and (way := drawn(FIRST, f"first {key}")):
                self.ways[way] += 1
                return await self.fail(way, request)
        await asyncio.sleep(DELAY_S)
        made = answer(content, seed)
        if self.fails and chance(f"drips {key}") < DRIPS:
            self.ways["dripped"] += 1
            return await self.drip(request, made, key)
        self.answered[key] += 1
        return web.json_response(made)

    async def fail(self, way: str, request: web.Request) -> web.StreamResponse:
        made = answer("half", 0)
        if way in ("500", "503"):
            return error(int(way), {"Retry-After": "1"} if way == "503" else {}, message="down")
        if way == "dropped":
            request.transport.abort()
        elif way == "stalled":
            await asyncio.sleep(10 * TIMEOUT_S)
        elif way == "error":
            made["choices"][0]["finish_reason"] = "error"
        elif way == "empty":
            made["choices"] = []
        elif way == "truncated":
            return web.Response(text=json.dumps(made)[:-30], content_type="application/json")
        elif way == "cut off":
            response = web.StreamResponse(headers={"Content-Length": "4096"})
            await response.prepare(request)
            await response.write(b'{"choices": [')
            request.transport.abort()
            return response
        return web.json_response(made)

    async def drip(self, request: web.Request, made: dict, key: str) -> web.StreamResponse:
        response, text = web.StreamResponse(), json.dumps(made).encode()
        await response.prepare(request)
        try:
            for start in range(0, len(text), 40):
                await response.write(text[start : start + 40])
                await asyncio.sleep(0.02)
            await response.write_eof()
        except ConnectionResetError:  # the build was killed meanwhile
            return response
        self.answered[key] += 1
        return response

    async def counts(self, request: web.Request) -> web.Response:
        answered, twice = self.answered.total(), self.answered.total() - len(self.answered)
        return web.json_response({"answered": answered, "twice": twice, "ways": dict(self.ways)})


def error(status: int, headers: dict[str, str] | None = None, **said: str) -> web.Response:
    return web.json_response({"error": said}, status=status, headers=headers)


PERMANENTLY = {
    "filter": {"code": "content_filter", "message": "The response was filtered by the content management policy."},
    "too long": {"code": "context_length_exceeded", "message": "This model's maximum context length is 8 tokens."},
}


def answer(content: str, seed: int | None) -> dict:
    if seed is None:
        text = f"It goes on about the tide.\n\nVerdict: {'safe' if chance(content) % 2 else 'unsafe'}"
    else:
        text = f"Asked about the lamp.\n</think>\n\nIt depends on the tide, says keeper {seed}."
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 100, "completion_tokens": 30, "total_tokens": 130}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}


def serve(fails: bool, port: multiprocessing.Queue) -> None:
    server, app = Server(fails), web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_get("/counts", server.counts)
    serve_app(app, port)


def counts(port: int) -> dict:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts", timeout=30) as response:
        return json.load(response)


def begin(port: int, folder: Path, samples: int) -> subprocess.Popen:
    url, log = f"http://127.0.0.1:{port}/v1", (folder / "log").open("a")
    words = [f"prompts={folder.parent / 'prompts.jsonl'}", f"out={folder}", f"samples={samples}"]
    for name in ("policy", "expert"):
        words += [f"{name}.model={name}", f"{name}.url={url}", f"{name}.concurrency={AT_ONCE}"]
        words += [f"{name}.timeout_s={TIMEOUT_S}"]
    command = [sys.executable, "-m", "sinternal_verl.cli", "verify", "build", *words]
    return subprocess.Popen(command, stdout=log, stderr=log)


def finish(build: subprocess.Popen, folder: Path) -> None:
    if build.wait(LIMIT_S):
        raise SystemExit(f"the build ended with {build.returncode}:\n{(folder / 'log').read_text()[-2000:]}")


def kill_at_half(build: subprocess.Popen, port: int, whole: int, folder: Path) -> int:
    """End the build with `kill -9`; return how many of its answers are not in the store."""
    deadline = time.monotonic() + LIMIT_S
    while counts(port)["answered"] < whole // 2:
        if build.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the build did not come half way:\n{(folder / 'log').read_text()[-2000:]}")
        time.sleep(0.05)
    os.kill(build.pid, signal.SIGKILL)
    build.wait(30)
    time.sleep(2)  # what was under way is answered by now
    with sqlite3.connect(folder / "store.sqlite") as store:
        (stored,) = store.execute("SELECT count(*) FROM replies WHERE finish = 'stop'").fetchone()
    return counts(port)["answered"] - stored


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--prompts", type=int, default=PROMPTS)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    arguments = parser.parse_args()
    spawn, servers, ports = multiprocessing.get_context("spawn"), [], {}
    for name in ("never fails", "fails"):
        port = spawn.Queue()
        servers.append(spawn.Process(target=serve, args=(name == "fails", port), daemon=True))
        servers[-1].start()
        ports[name] = port.get(timeout=60)
    try:
        with tempfile.TemporaryDirectory() as folder:
            ok = compare(Path(folder), ports, arguments.prompts, arguments.samples)
    finally:
        for server in servers:
            server.terminate()
    raise SystemExit(0 if ok else 1)


def compare(folder: Path, ports: dict[str, int], prompts: int, samples: int) -> bool:
    with (folder / "prompts.jsonl").open("w") as file:
        for number in range(prompts):
            row = {"prompt": f"May I lend lamp {number}?", "label": "harmful" if number % 2 else "benign"}
            file.write(json.dumps(row) + "\n")
    seconds, lost_at_kill = {}, 0
    for name, port in ports.items():
        out = folder / name.replace(" ", "-")
        out.mkdir()
        started, whole = time.perf_counter(), prompts * samples
        build = begin(port, out, samples)
        if name == "fails":
            lost_at_kill = kill_at_half(build, port, whole, out)
            build = begin(port, out, samples)
        finish(build, out)
        seconds[name] = time.perf_counter() - started
        found = counts(port)
        print(f"{name}: {seconds[name]:.1f} s, {found['answered']:,} requests answered", flush=True)
    print("ways: " + ", ".join(f"{way} {count:,}" for way, count in sorted(found["ways"].items())))
    print("\n".join(line for line in (out / "log").read_text().splitlines() if "asked to wait" in line))
    files = [(folder / name.replace(" ", "-") / "train.parquet").read_bytes() for name in ports]
    beyond = found["twice"] - lost_at_kill
    ratio = seconds["fails"] / seconds["never fails"]
    print(f"lost: {0 if files[0] == files[1] else 'the two files differ'}")
    print(f"paid twice: {found['twice']}, of which under way at the kill: {lost_at_kill}, at most {AT_ONCE}")
    print(f"seconds, with the kill and the second start, over those without a failure: {ratio:.2f}, at most {AT_MOST}")
    return files[0] == files[1] and beyond == 0 and lost_at_kill <= AT_ONCE and ratio <= AT_MOST


if __name__ == "__main__":
    main()
