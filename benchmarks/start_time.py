"""Seconds from the command to the first rollouts of a GRPO run with a guard, of this tree against an older
revision of it, in turns.

Each turn runs `python -m verl.trainer.main_ppo +recipe=sinternal_grpo_cpu guard=ray_actor` for one step with the
source of that tree, on a policy and a guard of random weights that are made here. The first rollouts are there
when the step's generation ends: the time at which its line is logged, less what followed generation. Both trees
are read alike. Prints that, the CPU seconds of all processes until then, the ratio of the medians (limit 0.6),
and when each part was up, as this tree's run says it.

Run it on a quiet machine: what runs beside it is in both figures, but not in equal parts.
"""

import argparse
import io
import os
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from sinternal_verl.overrides import override
from sinternal_verl.runs.curves import read_steps
from sinternal_verl.runs.launch import end_session, grpo_command, tail
from sinternal_verl.world import arithmetic, lighthouse
from sinternal_verl.world.guard_model import make_guard
from sinternal_verl.world.policy_model import make_policy

ROOT = Path(__file__).parents[1]
OLD = "c8d36c6"
"""The last revision whose parts started one after another."""

RATIO_LIMIT = 0.6
AFTER_GENERATION = ("old_log_prob", "ref", "adv", "update_actor", "update_weights")
"""What verl does in a step after its generation, by the names of its timers."""

LIMIT_S = 900.0
POLL_S = 0.2
PART = re.compile(r"start: (.+) up after (\d+) s")


@dataclass
class Start:
    """What one run took.

    Attributes:
        seconds: from the command to the first rollouts.
        cpu: seconds of all processes until then.
        parts: seconds after which each part was up.
    """

    seconds: float
    cpu: float
    parts: dict[str, int] = field(default_factory=dict)


def make_world(folder: Path) -> list[str]:
    """Write models and rows; return the overrides of a run on them."""
    texts = [*arithmetic.corpus(), *lighthouse.corpus()]
    policy, guard = make_policy(folder / "policy", texts, seed=1), make_guard(folder / "guard", texts, seed=1)
    sums = pq.read_table(arithmetic.write_datasets(folder / "sums", seed=1)["held_out"]).slice(0, 8)
    requests = pq.read_table(lighthouse.write_datasets(folder / "requests", seed=1, held_out=4)["held_out"])
    pq.write_table(pa.concat_tables([sums, requests]), folder / "mix.parquet")
    return [
        "+recipe=sinternal_grpo_cpu",
        "guard=ray_actor",
        override("sinternal.guard.engine.model", guard),
        "sinternal.guard.engine.max_model_len=2048",
        # A guard that knows nothing gives no verdict, and a policy that knows nothing no answer.
        "sinternal.failures.min_share=0",
        # Added or changed: an older revision has no such setting.
        "++sinternal.guard.require_verdict=false",
        "sinternal.scorers.safety.judged=both",
        override("actor_rollout_ref.model.path", policy),
        override("data.train_files", folder / "mix.parquet"),
        override("data.val_files", folder / "mix.parquet"),
        "data.train_batch_size=16",
        "actor_rollout_ref.rollout.n=2",
        "data.max_prompt_length=64",
        "data.max_response_length=16",
        "trainer.val_before_train=false",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        "trainer.total_training_steps=1",
    ]


def unpack(revision: str, folder: Path) -> Path:
    """The files of a revision, in a folder of their own."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", revision], cwd=ROOT, capture_output=True, check=True, timeout=60
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    # Where the package is installed from a checkout, its recipes are found beside the code only by this path.
    (folder / "sinternal_verl" / "recipes").symlink_to(folder / "recipes")
    (folder / "sinternal_verl" / "reward_fns").symlink_to(folder / "reward_fns")
    return folder


def cpu_seconds(process: subprocess.Popen, seen: dict[int, float]) -> float:
    """CPU seconds of a process and all it has started; ``seen`` keeps those of the ones that have ended."""
    try:
        root = psutil.Process(process.pid)
        alive = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        alive = []
    for each in alive:
        try:
            times = each.cpu_times()
            seen[each.pid] = times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return sum(seen.values())


def start_once(tree: Path, folder: Path, overrides: list[str]) -> Start:
    """Run one step with the source in ``tree``.

    Raises:
        SystemExit: the run failed or outlived `LIMIT_S`; its log is shown.
    """
    folder.mkdir()
    log, metrics = folder / "log", folder / "checkpoints" / "metrics.jsonl"
    environment = {"OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": str(tree)}
    command = grpo_command(*overrides, override("trainer.default_local_dir", folder / "checkpoints"))
    spent, seen, logged = [], {}, None
    begun = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=folder, start_new_session=True
        )
    try:
        while process.poll() is None and time.monotonic() - begun < LIMIT_S:
            now = time.monotonic() - begun
            spent.append((now, cpu_seconds(process, seen)))
            if logged is None and read_steps(metrics):
                logged = now
            time.sleep(POLL_S)
    finally:
        end_session(process)
    if process.returncode or logged is None:
        raise SystemExit(f"the run with {tree} ended with {process.returncode}\n{tail(log, 40)}")
    (step,) = read_steps(metrics)
    seconds = logged - sum(step.metrics.get(f"timing_s/{part}", 0) for part in AFTER_GENERATION)
    parts = {part: int(second) for part, second in PART.findall(log.read_text(errors="replace"))}
    return Start(seconds, max(cpu for when, cpu in spent if when <= seconds), parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", default=OLD, help="git revision to compare with (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="runs of each tree (default: %(default)s)")
    options = parser.parse_args()
    starts: dict[str, list[Start]] = {"old": [], "new": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "world").mkdir()
        trees = {"old": unpack(options.old, folder / "old"), "new": ROOT}
        overrides = make_world(folder / "world")
        for turn in range(options.turns):
            for name, tree in trees.items():
                starts[name].append(start_once(tree, folder / f"{name}{turn}", overrides))
                last = starts[name][-1]
                print(f"{name} {turn + 1}: first rollouts after {last.seconds:.0f} s, {last.cpu:.0f} CPU s", flush=True)
    medians = {name: statistics.median(start.seconds for start in runs) for name, runs in starts.items()}
    cpu = {name: statistics.median(start.cpu for start in runs) for name, runs in starts.items()}
    print(f"\nmedians of {options.turns} turns{'':8}old{'':6}new{'':4}ratio")
    for what, of in (("first rollouts, s", medians), ("CPU seconds", cpu)):
        print(f"{what:20}{of['old']:11.1f}{of['new']:9.1f}{of['new'] / of['old']:9.2f}")
    print("\nup after, seconds of each turn (new)")
    for part in dict.fromkeys(part for start in starts["new"] for part in start.parts):
        print(f"{part:30}" + "".join(f"{start.parts.get(part, '-'):>6}" for start in starts["new"]))
    ratio = medians["new"] / medians["old"]
    print(f"\nfrom the command to the first rollouts: {ratio:.2f} of {options.old}, at most {RATIO_LIMIT}")
    raise SystemExit(0 if ratio <= RATIO_LIMIT else 1)


if __name__ == "__main__":
    sys.exit(main())
