"""Time and memory of reading a long run, and of its whole report: 100 steps of 512 rollouts with 30 kB of text each.

Such a run is made in a temporary folder (1.6 GB). A process of its own reads it, and another makes the page. Time and
peak memory stand beside the limits of 30 s and 1 GiB, and beside a plain pass of json.loads over the same dumps in this
run, which keeps nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from arguments import ROOT, parser_of

sys.path.insert(0, str(ROOT / "tests" / "report"))
from made_runs import make_grpo

LIMIT_S, LIMIT_MIB, LIMIT_MB = 30, 1024, 10
READ = (
    "import sys; from pathlib import Path; from sinternal_verl.report.read import read_run; read_run(Path(sys.argv[1]))"
)


def plain_pass(folder: Path) -> float:
    """Seconds of json.loads over every line of the dumps."""
    start = time.perf_counter()
    for file in folder.glob("*/*.jsonl"):
        with file.open("rb") as lines:
            for line in lines:
                json.loads(line)
    return time.perf_counter() - start


def run(*command: str) -> tuple[float, float, float]:
    """Seconds, seconds of CPU and peak MiB of a command."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rollouts", type=int, default=512, help="of a step, in groups of eight")
    parser.add_argument("--characters", type=int, default=30_000, help="of a response")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, page = Path(temporary, "run"), Path(temporary, "report.html")
        like = {"steps": given.steps, "prompts": given.rollouts // 8, "characters": given.characters}
        make_grpo(folder, **like, responses=8, validate_every=0)
        size = sum(file.stat().st_size for file in folder.glob("*/*.jsonl"))
        print(f"{given.steps} steps of {given.rollouts} rollouts, {size / 1e9:.2f} GB of dumps")
        base = plain_pass(folder)
        print(f"{'json.loads':12} {base:6.1f} s")
        for name, command in {
            "read": ("-c", READ, str(folder)),
            "report": ("-m", "sinternal_verl.cli", "report", str(folder), "-o", str(page)),
        }.items():
            seconds, busy, peak = run(*command)
            print(
                f"{name:12} {seconds:6.1f} s ({seconds / LIMIT_S:.2f} of the limit, {seconds / base:.1f} of json.loads)"
                f", {busy:.1f} s of CPU"
                f"   peak {peak:4.0f} MiB ({peak / LIMIT_MIB:.2f} of the limit)"
            )
        made = page.stat().st_size / 1e6
        print(f"{'page':12} {made:6.1f} MB ({made / LIMIT_MB:.2f} of the limit)")


if __name__ == "__main__":
    main()
