"""Does the expert's client keep 64 requests in flight? Against a bare asyncio loop on the same server.

The server, in a process of its own, answers each request after half a second. Both sides make 1,280
requests, 64 at a time; ours also writes each reply to the store. The limit: at least 0.9 of the bare loop's
requests per second.
"""

import asyncio
import multiprocessing
import tempfile
import time
from pathlib import Path

import aiohttp
from aiohttp import web
from arguments import parser_of
from endpoint import serve as serve_app

from sinternal_verl.hashing import key_of
from sinternal_verl.verify.endpoint_writer import open_writer
from sinternal_verl.verify.fill import Request, fill
from sinternal_verl.verify.store import Store
from sinternal_verl.verify.writer import WriterSettings

REQUESTS, AT_ONCE, DELAY_S, AT_LEAST = 1_280, 64, 0.5, 0.9
CRITIQUE = "The request asks for the lamp, and the answer gives it away. " * 20 + "\n\nVerdict: unsafe"
MESSAGES = [{"role": "user", "content": "rules, a request and an answer " * 100}]


def serve(port: multiprocessing.Queue) -> None:
    async def answer(request: web.Request) -> web.Response:
        await request.json()
        await asyncio.sleep(DELAY_S)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": CRITIQUE}}
        usage = {"prompt_tokens": 500, "completion_tokens": 300, "total_tokens": 800}
        body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
        return web.json_response(body)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    serve_app(app, port)


async def bare(url: str) -> None:
    numbers = iter(range(REQUESTS))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work() -> None:
            for _ in numbers:
                async with session.post(f"{url}/chat/completions", json={"messages": MESSAGES}) as response:
                    await response.json()

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def ours(url: str, folder: Path) -> None:
    settings = WriterSettings("m", url, None, {"max_tokens": 500}, AT_ONCE, 60, 0, None, None, {})
    requests = (Request(key_of(number), MESSAGES) for number in range(REQUESTS))
    with Store(folder / "store.sqlite") as store:
        filled = fill(requests, REQUESTS, store, settings.limits, lambda: open_writer(settings), "critiques")
    if not filled.complete:
        raise SystemExit(f"not complete: {filled}")


def main() -> None:
    parser_of(__doc__).parse_args()
    port = multiprocessing.get_context("spawn").Queue()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(port,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{port.get(timeout=60)}/v1"
    try:
        with tempfile.TemporaryDirectory() as folder:
            rates = {}
            for name, run in (("bare loop", lambda: asyncio.run(bare(url))), ("ours", lambda: ours(url, Path(folder)))):
                started = time.perf_counter()
                run()
                rates[name] = REQUESTS / (time.perf_counter() - started)
    finally:
        server.terminate()
    print(f"{AT_ONCE} at a time, {DELAY_S} s each: at most {AT_ONCE / DELAY_S:.0f} requests/s")
    for name, rate in rates.items():
        print(f"{name:10} {rate:6.1f} requests/s")
    ratio = rates["ours"] / rates["bare loop"]
    print(f"{ratio:.2f} of the bare loop, at least {AT_LEAST}")
    raise SystemExit(0 if ratio >= AT_LEAST else 1)


if __name__ == "__main__":
    main()
