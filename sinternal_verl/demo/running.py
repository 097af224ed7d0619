"""Runs a demo in its folder, and keeps and shows its result; both demos begin and end like this."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sinternal_verl.runs.launch import MainFailed


def run_in(out: str, seed: int, train: Callable[[Path, int], Any], show: Callable[[Any, Path], None]) -> int:
    """Run everything under ``out``; return the exit code.

    Args:
        train: makes the result, a dataclass of JSON's types, from the folder and the seed.
        show: prints the result.
    """
    folder = Path(out).absolute()
    try:
        result = train(folder, seed)
    except (MainFailed, FileExistsError) as error:
        print(f"\nsinternal_verl: {error}", file=sys.stderr)
        return 1 if isinstance(error, MainFailed) else 2
    (folder / "result.json").write_text(json.dumps(asdict(result), indent=2) + "\n")
    show(result, folder)
    return 0
