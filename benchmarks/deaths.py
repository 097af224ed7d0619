"""Kill one process of a running GRPO main, of each kind in turn, and see how the run ends. (A reward
worker is not among them: the run replaces it, tests/e2e/test_grpo_run.py.)

Prints, for each: seconds from the kill to the exit, against the limit of 180 s, and the last line on
the screen that names it. Each takes two to three minutes.
"""

import os
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
from arguments import parser_of

from sinternal_verl.runs.curves import read_steps
from sinternal_verl.runs.launch import grpo_command
from sinternal_verl.training.metrics_file import METRICS_FILE
from sinternal_verl.world import arithmetic
from sinternal_verl.world.policy_model import make_policy

LIMIT_S = 180
# On a CPU the engine's worker is in its core's process.
TITLES = ["VLLM::EngineCore", "vLLMHttpServer", "WorkerDict", "AgentLoopWorkerTQ"]


def who_died(log: str) -> str:
    """What the last screen says of it; its last line where it says nothing."""
    lines = log.strip().splitlines()
    failed = [number for number, line in enumerate(lines) if line.startswith("sinternal_verl: the run failed")]
    return " ".join(line.strip() for line in lines[failed[-1] : failed[-1] + 2]) if failed else lines[-1].strip()


def end_of_run(folder: Path, title: str) -> tuple[float, int | None, str]:
    """Seconds to the exit, exit code (None: still running at the limit), who died."""
    policy = make_policy(folder / "policy", arithmetic.corpus(), seed=1)
    data = arithmetic.write_datasets(folder / "data", seed=1)
    metrics, log = folder / "checkpoints" / METRICS_FILE, folder / "log"
    command = grpo_command(
        "+recipe=sinternal_grpo_cpu",
        f"actor_rollout_ref.model.path={policy}",
        f"data.train_files={data['train']}",
        f"data.val_files={data['held_out']}",
        "data.train_batch_size=8",
        "actor_rollout_ref.rollout.n=4",
        "data.max_prompt_length=32",
        "data.max_response_length=16",
        "trainer.val_before_train=false",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        f"trainer.default_local_dir={folder / 'checkpoints'}",
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        run = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    family: list[psutil.Process] = []
    try:
        deadline = time.monotonic() + 300
        while len(read_steps(metrics)) < 2:
            if run.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the run did not get going: {log}")
            time.sleep(0.5)
        family = psutil.Process(run.pid).children(recursive=True)
        next(process for process in family if title in " ".join(process.cmdline())).kill()
        killed = time.monotonic()
        try:
            code = run.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            code = None
        return time.monotonic() - killed, code, who_died(log.read_text(errors="replace"))
    finally:
        for process in family:
            if process.is_running():
                process.kill()
        run.kill()
        run.wait(20)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("titles", nargs="*", default=list(TITLES), metavar="TITLE", help=", ".join(TITLES))
    for title in parser.parse_args().titles:
        with tempfile.TemporaryDirectory() as folder:
            seconds, code, last = end_of_run(Path(folder), title)
        print(f"{title:18} {seconds:5.0f} s  {seconds / LIMIT_S:.2f} of the limit  exit {code}  {last}", flush=True)


if __name__ == "__main__":
    main()
