"""What the guard service costs beside its engine, and beside one HTTP request a sample, in one run.

1. 512 conversations of mixed length from 8 worker processes, a guard of 100 M random weights: the
   service's throughput against raw `LLM.generate` with the same prompts and engine settings. The limit:
   at least 0.95 of it. (8 tokens each: random weights never end.)
2. The same with a small guard against vLLM's own OpenAI server, a new HTTP session for each sample and a
   verdict of 20 tokens decoded, as peers ask their guards. The service as it is used (first_token, which
   asks half of them for the refusal, too), and decoding. The limit: at least 2 times its throughput.
   Reported beside: `requests.post` in the threads in which verl runs reward functions that are not async.

Usage: python benchmarks/guard_throughput.py [large] [small]
"""

import asyncio
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import ray
import requests
from transformers import AutoTokenizer

from sinternal_verl.guard.client import ReplicaClient
from sinternal_verl.guard.engine import EngineSettings
from sinternal_verl.guard.judge import DECODE_TOKENS
from sinternal_verl.guard.replica import GuardSettings, end_guard, start_guard
from sinternal_verl.guard.template import GuardTemplate
from sinternal_verl.world import lighthouse
from sinternal_verl.world.guard import make_guard

REQUESTS, WORKERS = 512, 8
OF_RAW, OF_HTTP = 0.95, 2.0
VERDICT = 20
"""Tokens."""

ENGINE = {"max_model_len": 1024, "gpu_memory_utilization": 0.2, "enforce_eager": True, "dtype": "float32"}
OURS = {"block_size": 32}
"""What our CPU recipe sets beside; vLLM's own server is left as it comes."""
PORT, START_S = 8123, 300

Prompts = list[list[int]]


@ray.remote(num_cpus=0)
class Worker:
    """One process that asks, as a reward worker does."""

    async def ask_the_service(self, prompts: Prompts, tokens: int) -> None:
        client = ReplicaClient.look_up(1, 3000.0)

        async def ask(number: int, ids: list[int]) -> None:
            await client.generate(ids, tokens)
            # first_token asks about the refusal of the benign half, too.
            if tokens == 1 and number % 2:
                await client.generate(ids + ids[-6:], 1)

        await asyncio.gather(*(ask(*each) for each in enumerate(prompts)))

    async def posts_in_threads(self, url: str, model: str, prompts: Prompts, tokens: int) -> None:
        def post(ids: list[int]) -> str:
            body = {"model": model, "prompt": ids, "max_tokens": tokens, "temperature": 0}
            return requests.post(url, json=body, timeout=3000).json()["choices"][0]["text"]

        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(None, post, ids) for ids in prompts))

    async def one_session_each(self, url: str, model: str, prompts: Prompts, tokens: int) -> None:
        async def post(ids: list[int]) -> str:
            body = {"model": model, "prompt": ids, "max_tokens": tokens, "temperature": 0}
            limit = aiohttp.ClientTimeout(total=3000)
            async with aiohttp.ClientSession(timeout=limit) as session, session.post(url, json=body) as response:
                return (await response.json())["choices"][0]["text"]

        await asyncio.gather(*map(post, prompts))


@ray.remote(num_cpus=1)
def raw(folder: str, prompts: Prompts, tokens: int) -> float:
    """Seconds through `LLM.generate`, in a process of its own as the service's engine is."""
    from vllm import LLM, SamplingParams

    llm = LLM(model=folder, **ENGINE, **OURS, enable_prefix_caching=True, max_num_seqs=256, seed=0)
    params = SamplingParams(temperature=0.0, max_tokens=tokens)
    llm.generate([{"prompt_token_ids": ids} for ids in prompts[:2]], params, use_tqdm=False)
    started = time.perf_counter()
    llm.generate([{"prompt_token_ids": ids} for ids in prompts], params, use_tqdm=False)
    return time.perf_counter() - started


def timed(workers: list, method: str, *where: str, prompts: Prompts, tokens: int) -> float:
    """Seconds until all workers have all answers, after a short warm-up."""
    ray.get([getattr(worker, method).remote(*where, prompts[:2], 1) for worker in workers])
    started = time.perf_counter()
    shares = (prompts[number::WORKERS] for number in range(WORKERS))
    ray.get([getattr(worker, method).remote(*where, own, tokens) for worker, own in zip(workers, shares, strict=True)])
    return time.perf_counter() - started


def service(workers: list, folder: Path, prompts: Prompts, tokens: int) -> float:
    (replica,) = start_guard(
        GuardSettings(EngineSettings(str(folder), **ENGINE, **OURS), num_gpus=0, start_timeout_s=START_S)
    )
    seconds = timed(workers, "ask_the_service", prompts=prompts, tokens=tokens)
    end_guard([replica])
    return seconds


def over_http(workers: list, folder: Path, prompts: Prompts, tokens: int) -> list[float]:
    """Seconds of `posts_in_threads` and of `one_session_each`."""
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--port", str(PORT)]
    for name, value in {**ENGINE, "max_num_seqs": EngineSettings.max_num_seqs}.items():
        command += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    with tempfile.NamedTemporaryFile("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            asyncio.run(until_healthy(server, Path(log.name)))
            url = f"http://127.0.0.1:{PORT}/v1/completions"
            # Each sees texts that the other has not left in the cache.
            texts = (prompts, [[ids[1], *ids[1:]] for ids in prompts])
            return [
                timed(workers, method, url, str(folder), prompts=each, tokens=tokens)
                for method, each in zip(("posts_in_threads", "one_session_each"), texts, strict=True)
            ]
        finally:
            server.terminate()
            server.wait(60)


async def until_healthy(server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_S
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{PORT}/health") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"vLLM's server did not start:\n{log.read_text()[-2000:]}") from None
            await asyncio.sleep(1)


def prompts_of(folder: Path) -> Prompts:
    """Conversations with up to some 250 tokens of content, rendered for the guard."""
    rng, talks = random.Random(0), [f"{user} {said}" for user, said, _ in lighthouse.conversations()]
    template = GuardTemplate(AutoTokenizer.from_pretrained(folder), ENGINE["max_model_len"] - DECODE_TOKENS)
    lengths = [rng.randint(1, 12) for _ in range(REQUESTS)]
    return [template.render(rng.choice(talks), " ".join(rng.choices(talks, k=length))).ids for length in lengths]


def large(workers: list, folder: Path) -> bool:
    guard = make_guard(folder / "large", lighthouse.corpus(), seed=0, hidden=768, layers=17)
    prompts = prompts_of(guard)
    engine = ray.get(raw.remote(str(guard), prompts, 8))
    ours = service(workers, guard, prompts, 8)
    print(f"100 M weights, 8 tokens: LLM.generate {engine:.1f} s, the service {ours:.1f} s: ", end="")
    print(f"{engine / ours:.2f} of its throughput, at least {OF_RAW}", flush=True)
    return engine / ours >= OF_RAW


def small(workers: list, folder: Path) -> bool:
    guard = make_guard(folder / "small", lighthouse.corpus(), seed=0)
    prompts = prompts_of(guard)
    threads, sessions = over_http(workers, guard, prompts, VERDICT)
    decoded, first = (service(workers, guard, prompts, tokens) for tokens in (VERDICT, 1))
    print(f"small guard, decoding: requests.post in threads {threads:.2f} s, an async session each {sessions:.2f} s")
    print(f"the service: decoding {decoded:.2f} s, first token {first:.2f} s")
    for name, http in (("requests.post", threads), ("an async session each", sessions)):
        print(f"of {name}'s throughput: decoding {http / decoded:.2f} times, first token {http / first:.2f} times")
    print(f"at least {OF_HTTP} times that of an async session each")
    return sessions / first >= OF_HTTP


def main() -> None:
    parts = [{"large": large, "small": small}[name] for name in sys.argv[1:]] or [large, small]
    ray.init(address="local", num_cpus=16, include_dashboard=False, log_to_driver=False)
    try:
        workers = [Worker.remote() for _ in range(WORKERS)]
        with tempfile.TemporaryDirectory() as made:
            held = [part(workers, Path(made)) for part in parts]
    finally:
        ray.shutdown()
    raise SystemExit(0 if all(held) else 1)


if __name__ == "__main__":
    main()
