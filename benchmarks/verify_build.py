"""What a build costs beside its models: prompts per second and memory, from 1,000 to 100,000 prompts.

A writer that answers at once stands for policy and expert; everything else is the build itself: reading
prompts, requests, the store, selection, parquet, report. Each size runs in a process of its own.

The limits: at 100,000 prompts of 8 answers at most 2 GiB, and at most 1.5 times the seconds a prompt that
1,000 take (linear).
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from arguments import parser_of

from sinternal_verl.overrides import override

GIB_AT_MOST, GROWTH_AT_MOST = 2.0, 1.5
SIZES = (1_000, 10_000, 100_000)
ANSWER = "The keeper says that it depends on the tide, and goes on about it for a while. " * 8


class AtOnce:
    """Half of all answers safe, by the request's length and seed; a critique for each."""

    async def write(self, messages, seed, cost):
        from sinternal_verl.verify.store import Reply

        text = messages[-1]["content"]
        if seed is not None:
            return Reply(f"It is about the lamp.\n</think>\n\n{ANSWER}{seed}", read=50, written=200)
        verdict = "safe" if text.count("1") % 2 else "unsafe"
        return Reply(f"The answer goes on and on.\n\nVerdict: {verdict}", read=900, written=50)

    async def close(self):
        pass


def build(size: int, folder: Path) -> None:
    """In a process of its own: the build of so many prompts."""
    from sinternal_verl.commands import verify as command
    from sinternal_verl.verify.store import Store

    prompts = folder / "prompts.jsonl"
    with prompts.open("w") as file:
        for number in range(size):
            row = {"prompt": f"May I lend lamp {number}?", "label": "harmful" if number % 2 else "benign"}
            file.write(json.dumps(row) + "\n")
    command.open_writer = lambda settings: AtOnce()
    overrides = [override("prompts", prompts), override("out", folder / "out"), "policy.model=p", "expert.model=e"]
    started = time.perf_counter()
    if command.verify("build", overrides):
        raise SystemExit("the build failed")
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    with Store(folder / "out" / "store.sqlite") as store:
        print(json.dumps({"seconds": seconds, "gib": peak, "replies": len(store)}))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=list(SIZES), metavar="PROMPTS")
    sizes = parser.parse_args().sizes
    found = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--one", str(size), folder]
            done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
            if done.returncode:
                raise SystemExit(done.stderr[-2000:])
            found[size] = json.loads(done.stdout.splitlines()[-1])
            store = sum(file.stat().st_size for file in (Path(folder) / "out").glob("store.sqlite*")) / 2**30
        seconds, gib = found[size]["seconds"], found[size]["gib"]
        print(f"{size:,} prompts x 8: {seconds:.1f} s, {size / seconds:,.0f} prompts/s, ", end="")
        print(
            f"{found[size]['replies'] / seconds:,.0f} replies/s, peak {gib:.2f} GiB, store {store:.2f} GiB", flush=True
        )
    per_prompt = {size: result["seconds"] / size for size, result in found.items()}
    growth = per_prompt[max(sizes)] / per_prompt[min(sizes)]
    print(f"seconds a prompt, largest over smallest: {growth:.2f}, at most {GROWTH_AT_MOST}")
    most = max(result["gib"] for result in found.values())
    raise SystemExit(0 if growth <= GROWTH_AT_MOST and most <= GIB_AT_MOST else 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        build(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
