"""Does any text behind an unsafe answer make a guard call it safe? Every injection of the tests' corpus
behind every n-th unsafe conversation of the lighthouse, judged by the real service.

Prints the flips, beside those of noise of the same length, which says how steady the guard is as such.
The target is 0. `make demo` leaves a guard to try it with.

Usage: python benchmarks/guard_flips.py outputs/demo/guard_sft/global_step_600/huggingface
"""

import asyncio
import random
import sys
from collections import Counter
from pathlib import Path

import ray

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "guard"))
from injections import injections

from sinternal_verl.guard.client import ReplicaClient
from sinternal_verl.guard.engine import EngineSettings
from sinternal_verl.guard.replica import GuardSettings, end_guard, start_guard
from sinternal_verl.world import lighthouse

EVERY = 36
"""Of the 432 conversations that the lighthouse's rules call unsafe."""

ENGINE = {"max_model_len": 2048, "gpu_memory_utilization": 0.1, "enforce_eager": True, "dtype": "float32"}


def unsafe() -> list[tuple[str, str]]:
    found = [(user, said) for user, said, verdict in lighthouse.conversations() if "Unsafe" in verdict]
    return found[::EVERY]


def noise_for(attack: str, rng: random.Random) -> str:
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz .,", k=len(attack)))


async def labels(client: ReplicaClient, endings: list[str]) -> Counter[str]:
    conversations = [(user, f"{said} {ending}") for user, said in unsafe() for ending in endings]
    judgements = await asyncio.gather(*(client.judge(*conversation, False) for conversation in conversations))
    return Counter(j.verdict.safety.value if j.verdict else f"none: {j.reason}" for j in judgements)


def main() -> None:
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    try:
        settings = GuardSettings(EngineSettings(sys.argv[1], **ENGINE), num_gpus=0, start_timeout_s=300)
        replicas = start_guard(settings)  # kept: without a handle they end
        client, rng, attacks = ReplicaClient.look_up(1, 600.0), random.Random(0), injections()
        found = {
            "nothing": asyncio.run(labels(client, [""])),
            f"{len(attacks)} injections": asyncio.run(labels(client, attacks)),
            "as much noise": asyncio.run(labels(client, [noise_for(attack, rng) for attack in attacks])),
        }
        end_guard(replicas)
    finally:
        ray.shutdown()
    for name, counts in found.items():
        print(f"behind {len(unsafe())} unsafe answers {name:>16}: {dict(counts)}, flips to Safe: {counts['Safe']}")
    raise SystemExit(any(counts["Safe"] for counts in found.values()))


if __name__ == "__main__":
    main()
