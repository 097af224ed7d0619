"""What outstanding requests cost: from 64 to 4,096 at once at one replica, from one reward worker.

Prints for each load the time to the last answer, per request, the median latency, and the memory of the
replica's actor, its engine and this process. The limits: the most load takes at most 1.25 of the time per
request that the least takes, and 1.25 of its memory.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import psutil
import ray
from arguments import parser_of

from sinternal_verl.guard.client import ReplicaClient
from sinternal_verl.guard.engine import EngineSettings
from sinternal_verl.guard.replica import GuardSettings, start_guard
from sinternal_verl.world import lighthouse
from sinternal_verl.world.guard_model import make_guard

LOADS = (64, 256, 1024, 4096)
ENGINE = {"max_model_len": 1024, "gpu_memory_utilization": 0.2, "enforce_eager": True, "dtype": "float32"}
MIB = 2**20
AT_MOST = 1.25


async def at_once(client: ReplicaClient, load: int) -> tuple[float, float]:
    """Seconds to the last answer, and the median latency."""
    talks = list(lighthouse.conversations())

    async def one(number: int) -> float:
        user, said, _ = talks[number % len(talks)]
        started = time.perf_counter()
        # The load is part of the text: nothing is answered from an earlier round's cache.
        await client.judge(user, f"{said} {load} {number}.", False)
        return time.perf_counter() - started

    started = time.perf_counter()
    latencies = await asyncio.gather(*map(one, range(load)))
    return time.perf_counter() - started, statistics.median(latencies)


def memory(pid: int) -> tuple[float, float, float]:
    """MiB of the replica, of all it started, and of this process."""
    replica = psutil.Process(pid)
    children = sum(child.memory_info().rss for child in replica.children(recursive=True))
    return tuple(size / MIB for size in (replica.memory_info().rss, children, psutil.Process().memory_info().rss))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("guard", nargs="?", type=Path, help="its folder; default: one of random weights")
    given = parser.parse_args().guard
    with tempfile.TemporaryDirectory() as made:
        folder = given or make_guard(Path(made), lighthouse.corpus(), seed=0)
        ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
        try:
            settings = GuardSettings(
                EngineSettings(str(folder), **ENGINE), num_gpus=0, start_timeout_s=300, require_verdict=False
            )
            (replica,) = start_guard(settings)
            pid, client = ray.get(replica.ready.remote()), ReplicaClient.look_up(1, 3000.0)
            asyncio.run(at_once(client, 32))
            print(f"{'requests':>8} {'seconds':>8} {'ms each':>8} {'median s':>9}   MiB of replica, engine, client")
            each, held = [], []
            for load in LOADS:
                seconds, median = asyncio.run(at_once(client, load))
                sizes = memory(pid)
                each.append(1000 * seconds / load)
                held.append(sum(sizes))
                shown = "  ".join(f"{size:6.0f}" for size in sizes)
                print(f"{load:8} {seconds:8.2f} {each[-1]:8.2f} {median:9.2f}   {shown}", flush=True)
        finally:
            ray.shutdown()
    time_ratio, memory_ratio = each[-1] / each[0], held[-1] / held[0]
    print(f"most over least: {time_ratio:.2f} of the time each, {memory_ratio:.2f} of the memory, at most {AT_MOST}")
    raise SystemExit(max(time_ratio, memory_ratio) > AT_MOST)


if __name__ == "__main__":
    main()
