"""How many calls of the expert does a build save that asks about the answers to a benign prompt one after another?

One real build over HTTP for each way: 400 prompts of which 9 in 10 are benign, 8 answers each, and an expert that
gives no verdict on one critique in ten. The old way asks for every critique, as an evaluation still does. Both must
select the same rows.

The limit: at most 0.3 of the calls, and no slower.
"""

import asyncio
import hashlib
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
from aiohttp import web
from arguments import parser_of
from endpoint import serve as serve_app

AT_MOST, DELAY_S = 0.3, 0.02
ANSWER = "It depends on the tide, says the keeper, and goes on about it for a while. " * 6


def serve(port: multiprocessing.Queue) -> None:
    """Policy and expert behind one port; a model's name says which is asked."""

    def reply(body: dict) -> str:
        text = body["messages"][-1]["content"]
        if body["model"] == "policy":
            return f"About the lamp.\n</think>\n\n{ANSWER}{body['seed']}"
        drawn = hashlib.blake2b(text.encode(), digest_size=2).digest()
        if drawn[0] % 10 == 0:
            return "It depends on how one reads it."
        return f"The answer goes on and on.\n\nVerdict: {'safe' if drawn[1] % 2 else 'unsafe'}"

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        await asyncio.sleep(DELAY_S)
        said = reply(body)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        usage = {"prompt_tokens": len(body["messages"][-1]["content"]) // 4, "completion_tokens": len(said) // 4}
        return web.json_response({"choices": [choice], "usage": usage})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    serve_app(app, port)


def write_prompts(path: Path, prompts: int, benign: float) -> None:
    with path.open("w") as file:
        for number in range(prompts):
            label = "benign" if number < benign * prompts else "harmful"
            file.write(json.dumps({"prompt": f"May I lend lamp {number}?", "label": label}) + "\n")


def critiques(overrides: list[str], every: bool) -> tuple[dict[str, float], list[dict]]:
    """Critiques and selection of answers that are in the store: what was spent, and the rows."""
    from sinternal_verl.verify.build import Build
    from sinternal_verl.verify.endpoint_writer import open_writer
    from sinternal_verl.verify.fill import fill
    from sinternal_verl.verify.reading import Reading
    from sinternal_verl.verify.requests import Prompts
    from sinternal_verl.verify.select import Selection, row_of
    from sinternal_verl.verify.settings import build_settings, compose_build
    from sinternal_verl.verify.store import Store

    settings = build_settings(compose_build(overrides))
    prompts = Prompts(settings.prompts)
    with Store(settings.store) as store:
        build, who = Build(settings, store), settings.expert
        requests = build.critique_requests(prompts, every)
        started = time.perf_counter()
        filled = fill(requests, 0, store, who.limits, lambda: open_writer(who), "critiques", reading=Reading())
        seconds = time.perf_counter() - started
        if not filled.complete:
            raise SystemExit(f"not complete: {filled}")
        rows = [row_of(example, build, settings) for example in Selection(build, prompts, settings.seed)]
    return {"calls": filled.sent, "tokens": filled.tokens, "seconds": seconds}, rows


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--benign", type=float, default=0.9, help="share of the prompts that are benign")
    arguments = parser.parse_args()
    from sinternal_verl.commands.verify import verify

    port = multiprocessing.get_context("spawn").Queue()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(port,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{port.get(timeout=60)}/v1"
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_prompts(folder / "prompts.jsonl", arguments.prompts, arguments.benign)
            models = [f"{who}.{key}" for who in ("policy", "expert") for key in (f"model={who}", f"url={url}")]
            given = [f"prompts={folder / 'prompts.jsonl'}", *models]

            # A store of its own for each way, with the same answers.
            found = {}
            for way, every in (("all critiques", True), ("until a verdict", False)):
                overrides = [*given, f"out={folder / way.replace(' ', '_')}"]
                if verify("sample", overrides):
                    raise SystemExit("no answers")
                found[way] = critiques(overrides, every)
            built = folder / "built"
            # The command that users give, on the store of the second way.
            if verify("build", [*given, f"out={built}", f"store={folder / 'until_a_verdict' / 'store.sqlite'}"]):
                raise SystemExit("the build failed")
            rows = pq.read_table(built / "train.parquet").to_pylist()
    finally:
        server.terminate()
    print(f"{arguments.prompts} prompts, {arguments.benign:.0%} benign, 8 answers each, no verdict on one in ten")
    for way, (spent, _) in found.items():
        print(f"{way:16} {spent['calls']:6,} calls {spent['tokens']:10,} tokens {spent['seconds']:6.1f} s")
    (old, old_rows), (new, new_rows) = found.values()
    same = old_rows == new_rows == rows
    ratios = {key: new[key] / old[key] for key in old}
    print(", ".join(f"{key} {ratio:.3f}" for key, ratio in ratios.items()) + f" of the old; at most {AT_MOST}")
    print(f"{len(rows):,} rows, the same from both: {same}")
    raise SystemExit(0 if same and ratios["calls"] <= AT_MOST and ratios["seconds"] <= 1 else 1)


if __name__ == "__main__":
    main()
