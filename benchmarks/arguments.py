"""The arguments of these scripts, and the files that some of them need."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
MATH500 = ROOT.parent / "shared" / "data" / "math500.jsonl"
DEMO = ROOT / "outputs" / "demo"


def parser_of(docstring: str | None) -> argparse.ArgumentParser:
    """A parser whose ``--help`` shows the script's docstring."""
    return argparse.ArgumentParser(description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_math500(parser: argparse.ArgumentParser) -> None:
    """``file``: MATH-500 as JSON lines with problem, solution and answer."""
    parser.add_argument(
        "file", nargs="?", type=Path, default=MATH500, help=f"MATH-500 as JSON lines; default: {MATH500}"
    )


def existing(path: Path, advice: str) -> Path:
    """``path``, if it is there; else the script ends with 2 and says what to do."""
    if not path.exists():
        print(f"{path} does not exist: {advice}", file=sys.stderr)
        raise SystemExit(2)
    return path


def math500(path: Path) -> Path:
    return existing(path, "give MATH-500 as JSON lines, e.g. test.jsonl of HuggingFaceH4/MATH-500")


def demo_guard(path: Path | None) -> Path:
    """A taught guard: the folder that is given, or what the demo has left."""
    left = sorted(DEMO.glob("guard_sft/global_step_*/huggingface"))
    return existing(
        path or (left[-1] if left else DEMO / "guard_sft"), "run `make demo` first, or give a guard's folder"
    )
