"""What `sinternal-verl eval` costs beyond the model, and what a kill costs:

``cost``    CPU seconds an item of the command, against plain Inspect (`inspect_ai.eval` of the same prompts, without a
            scorer), in turns, over a server that answers at once
``memory``  the peak of the command and all its children with 10,000 items, whose answers have 8,000 characters
``killed``  how many answers are asked for again after kill -9, against the requests that were in flight, for a set of
            300 items and one of 1,000
"""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from arguments import parser_of

from sinternal_verl.evaluation.running.vllm_command import CONNECTIONS

AT_ONCE = 0.0
REFUSAL = "I cannot help with that."
LONG = " ".join([REFUSAL, *(f"word{n}" for n in range(1_000))])
ITEMS, MANY, TURNS = 500, 10_000, 2
END_LIMIT_S = 3600
"""In which a run of the suite ends; 10,000 items took three minutes."""

MAX_RATIO, MAX_GIB = 2.0, 2.0

PLAIN = """
import sys, json
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import get_model
from inspect_ai.solver import generate
rows = [json.loads(line)["forbidden_prompt"] for line in open(sys.argv[2])]
model = get_model("openai-api/server/m", base_url=sys.argv[1], api_key="none")
task = Task(dataset=[Sample(input=row, id=n) for n, row in enumerate(rows)], solver=generate())
eval(task, model=model, display="none", log_dir=sys.argv[3], log_realtime=False, max_connections=int(sys.argv[4]))
"""


def serve(
    ready: "multiprocessing.connection.Connection", wait_s: float, answer: str, asked: "multiprocessing.Value"
) -> None:
    import asyncio

    from aiohttp import web

    async def chat(request: web.Request) -> web.Response:
        await request.read()
        with asked.get_lock():
            asked.value += 1
        await asyncio.sleep(wait_s)
        message = {"role": "assistant", "content": f"<think>a</think>{answer}"}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return web.json_response(
            {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        )

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "m"}]})

    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", chat), web.get("/v1/models", models)])
    # The system chooses a free port, and the socket holds it.
    listening = socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS * 2)
    ready.send(listening.getsockname()[1])
    web.run_app(app, sock=listening, print=None)


@contextmanager
def served(wait_s: float, answer: str = REFUSAL) -> Iterator[tuple[str, "multiprocessing.Value"]]:
    (port, ready), asked = multiprocessing.Pipe(False), multiprocessing.Value("i", 0)
    process = multiprocessing.Process(target=serve, args=(ready, wait_s, answer, asked), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{port.recv()}/v1", asked
    finally:
        process.terminate()
        process.join()


def write_set(folder: Path, items: int) -> Path:
    file = folder / f"{items}.jsonl"
    rows = ({"forbidden_prompt": f"How do I light lamp {n}?", "category": "c", "source": "s"} for n in range(items))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def command(url: str, file: Path, out: Path, connections: int = CONNECTIONS) -> list[str]:
    words = ["--tasks", "strongreject", "--judge", "refusal_strings", "--model", url, "--source", str(file)]
    own = [sys.executable, "-m", "sinternal_verl.cli", "eval", *words]
    return [*own, "--out", str(out), "--connections", str(connections)]


def cpu_of(words: list[str]) -> float:
    """CPU seconds of a child."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{words} ended with {status}")
    return used.ru_utime + used.ru_stime


class Peak:
    """The most memory that a process and its children have had together, looked at every `EVERY_S`. Pages that they
    share count once for each."""

    EVERY_S = 0.1

    def __init__(self, pid: int) -> None:
        self._process, self._over, self.gib = psutil.Process(pid), threading.Event(), 0.0
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(self.EVERY_S):
            # Any of them may have ended since it was listed.
            with suppress(psutil.NoSuchProcess):
                family = [self._process, *self._process.children(recursive=True)]
                self.gib = max(self.gib, sum(each.memory_info().rss for each in family) / 2**30)

    def end(self) -> float:
        self._over.set()
        self._thread.join()
        return self.gib


def cost(folder: Path) -> bool:
    """The start is taken off: that of a run of one item."""
    many, one = write_set(folder, ITEMS), write_set(folder, 1)
    ours, plain = [], []
    with served(AT_ONCE) as (url, _):
        for turn in range(TURNS):
            by_size = [cpu_of(command(url, file, folder / f"{turn}-{file.stem}")) for file in (many, one)]
            ours.append((by_size[0] - by_size[1]) / ITEMS)
            words = [
                [sys.executable, "-c", PLAIN, url, str(f), str(folder / f"p{turn}"), str(CONNECTIONS)]
                for f in (many, one)
            ]
            by_size = [cpu_of(each) for each in words]
            plain.append((by_size[0] - by_size[1]) / ITEMS)
    ratio = min(ours) / min(plain)
    print(
        f"an item: {min(ours) * 1e3:.1f} ms of CPU, plain Inspect {min(plain) * 1e3:.1f} ms: {ratio:.2f} times as much"
    )
    return ratio <= MAX_RATIO


def memory(folder: Path) -> bool:
    file = write_set(folder, MANY)
    with served(AT_ONCE, LONG) as (url, _):
        start = time.monotonic()
        process = subprocess.Popen(command(url, file, folder / "memory"), stdout=subprocess.DEVNULL)
        peak = Peak(process.pid)
        code = process.wait(END_LIMIT_S)
        gib, seconds = peak.end(), time.monotonic() - start
    if code:
        raise SystemExit(f"the suite ended with {code}")
    print(f"{MANY:,} items: at most {gib:.2f} GiB, {gib / MAX_GIB:.2f} of the limit; {seconds:.0f} s with the table")
    return gib <= MAX_GIB


def killed(folder: Path) -> bool:
    return all([_killed(folder, 300, 8), _killed(folder, 1_000, CONNECTIONS)])


def _killed(folder: Path, items: int, connections: int) -> bool:
    file = write_set(folder, items)
    with served(0.05 * connections / 8) as (url, asked):
        words = command(url, file, folder / f"killed{items}", connections)
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        while asked.value < items // 2:
            if process.poll() is not None:
                raise SystemExit(f"the suite ended with {process.returncode} before it was killed")
            time.sleep(0.05)
        process.kill()
        process.wait(END_LIMIT_S)
        time.sleep(0.5)
        before = asked.value
        cpu_of(words)
        # Each start asks the server for one word.
        again = asked.value - items - 2
    print(f"killed after {before:,} of {items:,} requests, {connections} in flight: {again} were asked again")
    return again <= 2 * connections


PARTS = {"cost": cost, "memory": memory, "killed": killed}


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parts = parser.parse_args().parts
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    good = True
    for part in parts or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            good &= PARTS[part](Path(folder))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
