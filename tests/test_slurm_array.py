"""Which arrays of verify_build.sbatch begin. Slurm is played by its variables, and the build by a program of one line;
tests/e2e/test_slurm.py has the real Slurm."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "examples" / "slurm" / "verify_build.sbatch"
PARTS = 8


@pytest.fixture
def task(tmp_path):
    """A function that runs one task of an array; returns its exit code, what it printed, and whether it built."""
    for name, body in {
        "sinternal-verl": 'echo "$@" >>"$PLAY/asked"',
        "python": f'exec {sys.executable} "$@"',
    }.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/usr/bin/env bash\n{body}\n")
        program.chmod(0o755)

    def run(numbers: list[int], number: int, **variables: str) -> tuple[int, str, bool]:
        array = {"ID": number, "MIN": min(numbers), "MAX": max(numbers), "COUNT": len(numbers)}
        environment = os.environ | {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in array.items()}
        environment |= {"SLURM_JOB_ID": "7", "STAGE": "sample", "PLAY": str(tmp_path)} | variables
        environment["PATH"] = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        (tmp_path / "asked").unlink(missing_ok=True)
        command = ["bash", SCRIPT, str(PARTS), tmp_path / "build", "seed=1"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr, (tmp_path / "asked").exists()

    return run


def begin(folder: Path, *numbers: int) -> None:
    for number in numbers:
        part = folder / "build" / f"part-{number}"
        part.mkdir(parents=True, exist_ok=True)
        (part / "build.json").touch()


@pytest.mark.parametrize(
    ("numbers", "begun"),
    [
        (range(8), []),
        ([1, 2, 4], [0, 3, 5, 6, 7]),
        ([1, 2, 4], range(8)),
        ([3], range(8)),
        ([0, 2, 4, 6], [1, 3, 5, 7]),
        ([0, 7], range(8)),
    ],
)
def test_an_array_with_which_every_part_is_begun_begins(task, tmp_path, numbers, begun):
    begin(tmp_path, *begun)
    for number in numbers:
        code, said, built = task(list(numbers), number)
        assert (code, built) == (0, True), said
        begin(tmp_path, number)


@pytest.mark.parametrize(
    ("numbers", "begun", "named"),
    [
        ([0, 5, 6, 7], [], "leaves out some of part 1 2 3 4 5 6 7"),
        ([0, 2, 4, 6], [], "no task of this array builds part 7"),
        ([0, 2, 4, 6, 7], [], "leaves out some of part"),
        ([0, 5, 6, 7], [0, 5, 6, 7], "leaves out some of part 1 2 3 4"),
        ([0, 1, 2, 3, 4, 5, 6, 9], [], "leaves out some of part"),
        ([1, 2, 4], [0, 5, 6, 7], "leaves out some of part"),
        ([0, 1], [], "no task of this array builds part 2 3 4 5 6 7"),
    ],
)
def test_an_array_that_leaves_out_a_part_ends_before_it_asks_for_anything(task, tmp_path, numbers, begun, named):
    begin(tmp_path, *begun)
    code, said, built = task(numbers, numbers[0])

    assert (code, built) == (2, False) and named in said and "--array=0-7" in said
    assert task(numbers, numbers[0], LATER="1")[::2] == (0, True)
