"""What looking for rollouts takes of the wait for them: our replay buffer, and the same buffer with one fixed period.

A real TransferQueue holds the tags of so many rollouts, and of their prompts, which are running. Each buffer waits for
a while in vain, in turns. Prints the time of a look, the share of the wait that looks took, and how long after its
end a generation is noticed on average (half the time between two looks).
"""

import argparse
import contextlib
import statistics
import time

import ray
import transfer_queue as tq
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from sinternal_verl.training.waiting import MAX_LOOKING, NoProgress, bound_the_wait

POLL_S = 0.05
WAIT_S = 8.0
RESPONSES = 8
"""Per prompt."""


def make_buffer(bounded: bool) -> ReplayBuffer:
    """verl's sync buffer as the trainer makes it; not bounded means that its period is always `POLL_S`."""
    buffer = ReplayBuffer("sync", {}, None, "drop", {}, poll_interval=POLL_S)
    return bound_the_wait(buffer, POLL_S, WAIT_S) if bounded else buffer


def wait_in_vain(buffer: ReplayBuffer) -> tuple[list[float], float]:
    """The seconds of each look, and of the whole wait."""
    looks: list[float] = []
    look = buffer._sync_metadata_from_transfer_queue
    begun = time.monotonic()

    def timed() -> None:
        if time.monotonic() - begun > WAIT_S:
            raise NoProgress
        before = time.monotonic()
        look()
        looks.append(time.monotonic() - before)

    buffer._sync_metadata_from_transfer_queue = timed
    with contextlib.suppress(NoProgress):
        buffer.sample(global_steps=1, partition_id="train", batch_size=1)
    return looks, time.monotonic() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[256, 4096, 16384], help="default: %(default)s")
    parser.add_argument("--turns", type=int, default=2, help="waits of each (default: %(default)s)")
    options = parser.parse_args()
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    tq.init()
    tags = {"status": "success", "prompt_len": 100, "response_len": 900, "seq_len": 1000, "global_steps": 1}
    shares = {}
    there = 0
    for rows in sorted(options.rows):
        prompts = [f"p{n}" for n in range(there // RESPONSES, rows // RESPONSES)]
        running = [{"is_prompt": True, "status": "running", "global_steps": 1} for _ in prompts]
        tq.kv_batch_put(keys=prompts, partition_id="train", tags=running)
        keys = [f"{prompt}_{session}_0" for prompt in prompts for session in range(RESPONSES)]
        tq.kv_batch_put(keys=keys, partition_id="train", tags=[tags] * len(keys))
        there = rows
        for _ in range(options.turns):
            for bounded in (False, True):
                looks, waited = wait_in_vain(make_buffer(bounded))
                shares[rows, bounded] = sum(looks) / waited
                who = "ours" if bounded else f"every {POLL_S} s"
                look = f"{1000 * statistics.median(looks):6.1f} ms a look, {len(looks):4} looks"
                share = f"{shares[rows, bounded]:.0%} of the wait, noticed after {waited / len(looks) / 2:.2f} s"
                print(f"{rows:6,} rollouts, {who:12}: {look}, {share}", flush=True)
    tq.close()
    ray.shutdown()
    # A look before the first wait is not slowed down.
    raise SystemExit(0 if all(share < 1.5 * MAX_LOOKING for (_, bounded), share in shares.items() if bounded) else 1)


if __name__ == "__main__":
    main()
