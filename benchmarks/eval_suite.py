"""What `sinternal-verl eval` costs beyond the model, and what a kill costs:

``cost``    CPU seconds an item of the command, against plain Inspect (`inspect_ai.eval` of the same prompts, without a
            scorer), in turns, over a server that answers at once
``memory``  the peak of 10,000 items, in GiB
``killed``  how many answers are asked for again after kill -9, against the requests that were in flight
"""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from arguments import parser_of

AT_ONCE = 0.0
ITEMS, MANY, TURNS, CONNECTIONS = 500, 10_000, 2, 64
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


def serve(port: int, wait_s: float, asked: "multiprocessing.Value") -> None:
    import asyncio

    from aiohttp import web

    async def chat(request: web.Request) -> web.Response:
        await request.read()
        with asked.get_lock():
            asked.value += 1
        await asyncio.sleep(wait_s)
        message = {"role": "assistant", "content": "<think>a</think>I cannot help with that."}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return web.json_response(
            {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        )

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "m"}]})

    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", chat), web.get("/v1/models", models)])
    web.run_app(app, host="127.0.0.1", port=port, print=None)


@contextmanager
def served(wait_s: float) -> Iterator[tuple[str, "multiprocessing.Value"]]:
    from sinternal_verl.evaluation.running.serving import _free_port

    port, asked = _free_port(), multiprocessing.Value("i", 0)
    process = multiprocessing.Process(target=serve, args=(port, wait_s, asked), daemon=True)
    process.start()
    time.sleep(2)
    try:
        yield f"http://127.0.0.1:{port}/v1", asked
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


def cpu_of(words: list[str]) -> tuple[float, float]:
    """CPU seconds and peak GiB of a child."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{words} ended with {status}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20


def cost(folder: Path) -> bool:
    """The start is taken off: that of a run of one item."""
    many, one = write_set(folder, ITEMS), write_set(folder, 1)
    ours, plain = [], []
    with served(AT_ONCE) as (url, _):
        for turn in range(TURNS):
            by_size = [cpu_of(command(url, file, folder / f"{turn}-{file.stem}"))[0] for file in (many, one)]
            ours.append((by_size[0] - by_size[1]) / ITEMS)
            words = [
                [sys.executable, "-c", PLAIN, url, str(f), str(folder / f"p{turn}"), str(CONNECTIONS)]
                for f in (many, one)
            ]
            by_size = [cpu_of(each)[0] for each in words]
            plain.append((by_size[0] - by_size[1]) / ITEMS)
    ratio = min(ours) / min(plain)
    print(
        f"an item: {min(ours) * 1e3:.1f} ms of CPU, plain Inspect {min(plain) * 1e3:.1f} ms: {ratio:.2f} times as much"
    )
    return ratio <= MAX_RATIO


def memory(folder: Path) -> bool:
    file = write_set(folder, MANY)
    with served(AT_ONCE) as (url, _):
        seconds, peak = cpu_of(command(url, file, folder / "memory"))
    print(f"{MANY:,} items: at most {peak:.2f} GiB, {seconds:.0f} s of CPU")
    return peak <= MAX_GIB


def killed(folder: Path) -> bool:
    file, connections = write_set(folder, 300), 8
    with served(0.05) as (url, asked):
        words = command(url, file, folder / "killed", connections)
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        while asked.value < 150:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.5)
        before = asked.value
        cpu_of(words)
        again = asked.value - 300
    print(f"killed after {before} of 300 requests, {connections} in flight: {again} were asked again")
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
