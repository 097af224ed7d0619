"""Is a verdict lost because its request waited? Reward workers ask a guard for more at once than it can answer
within a request's time limit. Ray, replicas, window and scorers are real; the engine gives so many verdicts a second.

Prints what became of the requests, how long they waited and took, and the share that a time limit from the asking on
would have lost. --fault kills a replica's process,
stops it, or hangs its engine in the middle. The limit: none is lost, and with a fault none while another
replica answers or Ray starts it again.
"""

import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import ray
from arguments import parser_of

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from scripted_guard import running, workers

from sinternal_verl.guard.throughput import describe
from sinternal_verl.world import lighthouse
from sinternal_verl.world.guard_model import make_guard

FAULTS = ("none", "kill", "stop", "hang")


def break_one(replica: ray.actor.ActorHandle, fault: str) -> None:
    if fault == "hang":
        ray.get(replica.hang.remote())
    elif fault != "none":
        os.kill(ray.get(replica.pid.remote()), signal.SIGKILL if fault == "kill" else signal.SIGSTOP)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--requests", type=int, default=4096)
    parser.add_argument("--per-second", type=float, default=48.0, help="verdicts of one replica")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--request-timeout", type=float, default=60.0)
    parser.add_argument("--score-timeout", type=float, default=120.0)
    parser.add_argument("--max-queue", type=int, default=4096)
    parser.add_argument("--fault", choices=FAULTS, default="none")
    parser.add_argument("--fault-after", type=float, default=5.0, help="seconds")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = make_guard(Path(folder), lighthouse.corpus(), seed=0)
        ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
        try:
            settings = {"max_queue": given.max_queue, "request_timeout_s": given.request_timeout}
            with running(model, given.per_second, given.replicas, **settings) as replicas:
                rates = ray.get([replica.verdicts_per_second.remote() for replica in replicas])
                print(describe(rates, given.requests), flush=True)
                asking = workers(given.workers, given.replicas, given.request_timeout, given.score_timeout)
                ray.get([worker.__ray_ready__.remote() for worker in asking])
                threading.Timer(given.fault_after, break_one, (replicas[0], given.fault)).start()
                started, each = time.monotonic(), given.requests // given.workers
                calls = [worker.score.remote(str(number), each) for number, worker in enumerate(asking)]
                scores = [score for done in ray.get(calls) for score in done]
                seconds = time.monotonic() - started
                widths = ray.get([replica.width.remote() for replica in replicas[given.fault != "none" :]])
        finally:
            ray.shutdown()
    waits, took = (sorted(score.extra[name] for score in scores) for name in ("guard_wait_s", "guard_s"))
    late = sum(s.extra["guard_wait_s"] + s.extra["guard_s"] > given.request_timeout for s in scores)
    counts = Counter(score.outcome.name for score in scores)
    lost = sum(not score.scored for score in scores)
    print(f"{len(scores):,} requests in {seconds:.1f} s: {dict(counts)}; width of the windows {widths}")
    print(f"waited {waits[len(waits) // 2]:.2f} s (median), {waits[-1]:.2f} (most)")
    print(f"took {took[len(took) // 2]:.2f} s (median), {took[-1]:.2f} (most) of {given.request_timeout:g}")
    print(f"lost: {lost} ({lost / len(scores):.1%}); by a limit from the asking on: {late} ({late / len(scores):.1%})")
    for reason in list({score.reason for score in scores if not score.scored})[:3]:
        print(f"  {reason}")
    raise SystemExit(lost > 0)


if __name__ == "__main__":
    main()
