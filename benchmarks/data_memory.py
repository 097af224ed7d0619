"""Memory and speed of `sinternal-verl data math`, `data check` and `data mix` on a million rows.

A JSONL file of about 300 characters a row is written to a temporary folder and converted by the
command, in a process of its own whose peak memory is held against the limit of 1 GiB; the file that
comes out is then checked, and 3,000 of its rows are drawn against an evaluation file of 1,000. Rows per
second stand beside a plain pass of json.loads over the same lines in this run.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from arguments import parser_of

LIMIT_MIB = 1024
COMMAND = (sys.executable, "-m", "sinternal_verl.cli", "data")


def write_rows(file: Path, rows: int, seed: int = 1) -> None:
    """Every problem is another one, so that none of the digests is spared."""
    rng = random.Random(seed)
    words = [f"word{number}" for number in range(1000)]
    with file.open("w") as lines:
        for number in range(rows):
            problem = f"Problem {number}: {' '.join(rng.choices(words, k=30))}"
            row = {"problem": problem, "answer": str(rng.randrange(1000)), "id": number}
            lines.write(json.dumps(row) + "\n")


def plain_pass(file: Path) -> float:
    """Seconds of json.loads over every line."""
    start = time.perf_counter()
    with file.open("rb") as lines:
        for line in lines:
            json.loads(line)
    return time.perf_counter() - start


def run(*arguments: str) -> tuple[float, float]:
    """Seconds and peak MiB of a command."""
    start = time.perf_counter()
    child = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {child.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        source, out, evaluation = (Path(folder, name) for name in ("rows.jsonl", "rows.parquet", "eval.jsonl"))
        write_rows(source, rows)
        write_rows(evaluation, 1000, seed=2)
        print(f"{rows:,} rows, {source.stat().st_size / rows:.0f} bytes each")
        base = plain_pass(source)
        print(f"{'json.loads':12} {base:7.1f} s {rows / base:11,.0f} rows/s")
        for name, arguments in {
            "data math": ("math", "--source", str(source), "--out", str(out)),
            "data check": ("check", str(out)),
            "data mix": ("mix", "--part", f"{out}=3000", "--out", f"{out}.mix.parquet", "--against", str(evaluation)),
        }.items():
            seconds, peak = run(*arguments)
            print(
                f"{name:12} {seconds:7.1f} s {rows / seconds:11,.0f} rows/s ({seconds / base:4.1f} of json.loads)"
                f"   peak {peak:4.0f} MiB ({peak / LIMIT_MIB:.2f} of the limit)"
            )


if __name__ == "__main__":
    main()
