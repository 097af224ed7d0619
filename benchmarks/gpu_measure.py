"""How fast is this GPU at what a run does: training, rollouts, the guard? Each measure runs in a process of its own,
with random models of real sizes; one that fails does not stop the next.

It ends with a table and with ``gpu_measure.json`` in the folder of ``--out``, which names the card and every version.
``--small`` takes tiny models: it shows that the script runs, on a CPU too, and its figures say nothing.

Usage: python benchmarks/gpu_measure.py [--out FOLDER] [--only NAME ...] [--small]
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path

from gpu_check import Result, machine, table
from gpu_checks import NotShown
from gpu_measures_engines import grpo, guard, guard_eager, rollouts
from gpu_measures_model import actor, blocks, card
from gpu_timing import LIMIT_S

from sinternal_verl.runs.launch import end_session

MEASURES = {measure.__name__: measure for measure in (card, blocks, actor, rollouts, guard, guard_eager, grpo)}


class Figures(dict):
    """Figures that are on disk as soon as they are measured."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def __setitem__(self, name: str, value: float | str) -> None:
        super().__setitem__(name, value)
        self._path.write_text(json.dumps(self))


def run_here(name: str, folder: Path, small: bool) -> None:
    """Run one measure in this process; what it has measured is kept where it fails later."""
    # What it has started ends with it at its limit.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    started, outcome, reason = time.perf_counter(), "passed", ""
    figures = Figures(folder / "so_far.json")
    try:
        MEASURES[name](folder, small, figures)
    except NotShown as error:
        outcome, reason = "not shown", str(error)
    # Whatever it raises is the measure's result.
    except Exception as error:
        traceback.print_exc()
        outcome, reason = "failed", f"{type(error).__name__}: {error}"
    result = Result(name, outcome, time.perf_counter() - started, dict(figures), reason)
    (folder / "result.json").write_text(json.dumps(asdict(result)))


def run_in_child(name: str, out: Path, small: bool, limit_s: float) -> Result:
    """Run one measure in a process of its own, whose output goes into ``<out>/<name>/output``."""
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    result, so_far, started = folder / "result.json", folder / "so_far.json", time.perf_counter()
    result.unlink(missing_ok=True), so_far.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--out", str(out), "--here", name, *["--small"] * small]
    with (folder / "output").open("w") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    outcome, reason = "failed", ""
    try:
        child.wait(limit_s)
        reason = f"ended with {child.returncode}"
    except subprocess.TimeoutExpired:
        outcome, reason = "timed out", f"after {limit_s:g} s"
    finally:
        end_session(child)
    if result.is_file():
        return Result(**json.loads(result.read_text()))
    figures = json.loads(so_far.read_text()) if so_far.is_file() else {}
    return Result(name, outcome, time.perf_counter() - started, figures, reason)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs/gpu_measure"))
    parser.add_argument(
        "--only", nargs="+", choices=MEASURES, default=list(MEASURES), metavar="NAME", help=", ".join(MEASURES)
    )
    parser.add_argument("--small", action="store_true", help="tiny models")
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="seconds that a measure may take")
    parser.add_argument("--here", choices=MEASURES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    if arguments.here:
        run_here(arguments.here, out / arguments.here, arguments.small)
        # vLLM's and Ray's threads do not hold up the end.
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(0)
    results = []
    for name in arguments.only:
        results.append(run_in_child(name, out, arguments.small, arguments.limit_s))
        print(table(results[-1:]), flush=True)
    found = {"machine": machine(), "small": arguments.small, "measures": [asdict(result) for result in results]}
    (out / "gpu_measure.json").write_text(json.dumps(found, indent=2))
    print(f"\n{found['machine']['card'] or 'no GPU'}\n{found['machine']['versions']}\nsaved as {out}/gpu_measure.json")
    return int(any(each.outcome in ("failed", "timed out") for each in results))


if __name__ == "__main__":
    sys.exit(main())
