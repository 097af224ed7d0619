"""What the guard service costs beside its engine, and beside one HTTP request a sample, in one run.

1. 512 conversations of mixed length from 8 worker processes, a guard of 100 M random weights: the
   service's throughput against raw `LLM.generate` with the same prompts and engine settings. The limit:
   at least 0.95 of it. (8 tokens each: random weights never end.)
2. 512 conversations of the lighthouse from 8 workers, the demo's taught guard, against vLLM's own OpenAI
   server, asked as peers ask their guards: a chat completion and a new HTTP session for each sample. The
   service as it is used (first_token, the refusal asked of every second one), and decoding. The limit: at
   least 2 times the throughput of an async session each. Reported beside: `requests.post` in the threads in
   which verl runs reward functions that are not async. The median of five rounds of other conversations.
   `make demo` leaves a guard to try it with.
"""

import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import ray
import requests
from arguments import parser_of
from transformers import AutoTokenizer

from sinternal_verl.guard.client import ReplicaClient
from sinternal_verl.guard.engine import EngineSettings
from sinternal_verl.guard.judge import DECODE_TOKENS, Mode
from sinternal_verl.guard.replica import GuardSettings, end_guard, start_guard
from sinternal_verl.guard.template import GuardTemplate
from sinternal_verl.world import lighthouse
from sinternal_verl.world.guard_model import make_guard

REQUESTS, WARM_UP, WORKERS = 512, 128, 8
ROUNDS = 5
"""Of the small guard, whose rounds take a second each: the median counts."""
OF_RAW, OF_HTTP = 0.95, 2.0
ENGINE = {"max_model_len": 1024, "gpu_memory_utilization": 0.2, "enforce_eager": True, "dtype": "float32"}
OURS = {"block_size": 32}
"""What our CPU recipe sets beside; vLLM's own server is left as it comes."""
PORT, START_S = 8123, 300
URL = f"http://127.0.0.1:{PORT}/v1/chat/completions"

Prompts = list[list[int]]
Talks = list[tuple[str, str, bool]]
"""User, assistant, whether the refusal is asked."""


@ray.remote(num_cpus=0)
class Worker:
    """One process that asks, as a reward worker does."""

    async def generates(self, prompts: Prompts, tokens: int) -> None:
        client = ReplicaClient.look_up(1, 3000.0)
        await asyncio.gather(*(client.generate(ids, tokens) for ids in prompts))

    async def judges(self, talks: Talks) -> None:
        client = ReplicaClient.look_up(1, 3000.0)
        await asyncio.gather(*(client.judge(*talk) for talk in talks))

    async def posts_in_threads(self, talks: Talks, model: str) -> None:
        def post(talk: tuple[str, str, bool]) -> str:
            answer = requests.post(URL, json=body(model, talk), timeout=3000)
            return answer.json()["choices"][0]["message"]["content"]

        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(None, post, talk) for talk in talks))

    async def one_session_each(self, talks: Talks, model: str) -> None:
        async def post(talk: tuple[str, str, bool]) -> str:
            limit = aiohttp.ClientTimeout(total=3000)
            async with aiohttp.ClientSession(timeout=limit) as session, session.post(URL, json=body(model, talk)) as it:
                return (await it.json())["choices"][0]["message"]["content"]

        await asyncio.gather(*map(post, talks))


def body(model: str, talk: tuple[str, str, bool]) -> dict:
    messages = [{"role": "user", "content": talk[0]}, {"role": "assistant", "content": talk[1]}]
    return {"model": model, "messages": messages, "max_tokens": DECODE_TOKENS, "temperature": 0}


@ray.remote(num_cpus=1)
def raw(folder: str, prompts: Prompts, tokens: int) -> float:
    """Seconds through `LLM.generate`, in a process of its own as the service's engine is."""
    from vllm import LLM, SamplingParams

    llm = LLM(model=folder, **ENGINE, **OURS, enable_prefix_caching=True, max_num_seqs=256, seed=0)
    params = SamplingParams(temperature=0.0, max_tokens=tokens)
    for part in (prompts[:WARM_UP], prompts[WARM_UP:]):
        started = time.perf_counter()
        llm.generate([{"prompt_token_ids": ids} for ids in part], params, use_tqdm=False)
    return time.perf_counter() - started


def timed(workers: list, method: str, samples: list, *how: object) -> float:
    """Seconds until all workers have all answers of a round, the median of the rounds after the warm-up."""
    rounds = [samples[start : start + REQUESTS] for start in range(WARM_UP, len(samples), REQUESTS)]
    taken = []
    for part in (samples[:WARM_UP], *rounds):
        started = time.perf_counter()
        shares = (part[number::WORKERS] for number in range(WORKERS))
        ray.get([getattr(worker, method).remote(own, *how) for worker, own in zip(workers, shares, strict=True)])
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def service(workers: list, folder: Path, mode: Mode, method: str, samples: list, *how: object) -> float:
    engine = EngineSettings(str(folder), **ENGINE, **OURS)
    settings = GuardSettings(engine, mode, num_gpus=0, start_timeout_s=START_S, require_verdict=False)
    (replica,) = start_guard(settings)
    seconds = timed(workers, method, samples, *how)
    end_guard([replica])
    return seconds


def over_http(workers: list, folder: Path, talks: Talks) -> list[float]:
    """Seconds of `posts_in_threads` and of `one_session_each`, a cold server each."""
    return [_over_http(workers, folder, talks, method) for method in ("posts_in_threads", "one_session_each")]


def _over_http(workers: list, folder: Path, talks: Talks, method: str) -> float:
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--port", str(PORT)]
    for name, value in {**ENGINE, "max_num_seqs": EngineSettings.max_num_seqs}.items():
        command += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    with tempfile.NamedTemporaryFile("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            asyncio.run(until_healthy(server, Path(log.name)))
            return timed(workers, method, talks, str(folder))
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
    lengths = [rng.randint(1, 12) for _ in range(WARM_UP + REQUESTS)]
    return [template.render(rng.choice(talks), " ".join(rng.choices(talks, k=length))).ids for length in lengths]


def large(workers: list, folder: Path) -> bool:
    guard = make_guard(folder / "large", lighthouse.corpus(), seed=0, hidden=768, layers=17)
    prompts = prompts_of(guard)
    engine = ray.get(raw.remote(str(guard), prompts, 8))
    ours = service(workers, guard, "decode", "generates", prompts, 8)
    print(f"100 M weights, 8 tokens: LLM.generate {engine:.1f} s, the service {ours:.1f} s: ", end="")
    print(f"{engine / ours:.2f} of its throughput, at least {OF_RAW}", flush=True)
    return engine / ours >= OF_RAW


def small(workers: list, guard: Path) -> bool:
    # As often as it takes, each time with its number behind: what was seen is cached.
    said = [(user, answer) for user, answer, _ in lighthouse.conversations()]
    drawn = random.Random(0).choices(said, k=WARM_UP + ROUNDS * REQUESTS)
    talks = [(user, f"{answer} {number}.", number % 2 == 1) for number, (user, answer) in enumerate(drawn)]
    threads, sessions = over_http(workers, guard, talks)
    decoded, first = (service(workers, guard, mode, "judges", talks) for mode in ("decode", "first_token"))
    print(f"the demo's guard: requests.post in threads {threads:.2f} s, an async session each {sessions:.2f} s")
    print(f"the service: decoding {decoded:.2f} s, first token {first:.2f} s")
    for name, http in (("requests.post", threads), ("an async session each", sessions)):
        print(f"of {name}'s throughput: decoding {http / decoded:.2f} times, first token {http / first:.2f} times")
    print(f"at least {OF_HTTP} times that of an async session each")
    return sessions / first >= OF_HTTP


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("guards", nargs="*", metavar="GUARD", help="folders of taught guards, for the second part")
    guards = parser.parse_args().guards
    ray.init(address="local", num_cpus=16, include_dashboard=False, log_to_driver=False)
    try:
        workers = [Worker.remote() for _ in range(WORKERS)]
        with tempfile.TemporaryDirectory() as made:
            held = [large(workers, Path(made)), *(small(workers, Path(guard)) for guard in guards)]
    finally:
        ray.shutdown()
    raise SystemExit(0 if all(held) else 1)


if __name__ == "__main__":
    main()
