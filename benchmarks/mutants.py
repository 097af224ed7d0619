"""How many small faults the tests find, per package: mutmut changes an operator, a value or an argument of one
function at a time and runs the tests of its package that reach the function.

There are some 9,000 such mutants, a day's work for two cores, so this takes a seeded sample of each file. Each
package is tried in a copy under `outputs/mutants`, by one process, and what was tried is remembered. A mutant
that lives is a change which no test of the package notices; there (`cd outputs/mutants/PACKAGE`):

    mutmut show NAME       what was changed
    mutmut run NAME        once more; `--again` here does so for all that live, with the tests of today
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "outputs" / "mutants"
FOLDERS = ("sinternal_verl", "recipes", "reward_fns", "tests")
FILES = ("README.md", "setup.py", "pyproject.toml")

TRAINING = ("failures.py", "rollouts.py", "source_curves.py")
PACKAGES = {
    "data": (["*.py"], ["tests/data"]),
    "guard": (["*.py"], ["tests/guard"]),
    "scoring": (["*.py"], ["tests/scoring", "tests/training/test_manager.py"]),
    "training": (TRAINING, ["tests/training/test_failures.py", "tests/training/test_source_curves.py"]),
    "verify": (["*.py"], ["tests/verify"]),
}
"""Which files of a package are changed, and which tests are to find it."""

LEFT_OUT = ("test_build_command", "ten_milliseconds")
"""Whole builds, which take most of the time and find what a unit test should. And a test against the clock, whose
names hold strings that no command line takes."""

CONFIG = """
[tool.mutmut]
source_paths = ["sinternal_verl"]
only_mutate = {files}
also_copy = ["recipes", "reward_fns", "README.md", "setup.py"]
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-p", "no:cacheprovider", "-n0", "-m", "not slow", "-k", "{chosen}"]
# Each mutant begins in a process in which no test ran: a fork has no threads of torch, and hypothesis minds.
process_isolation = "forkserver"
# A mutant may wait forever: three times what its tests take, and 30 s at least.
timeout_multiplier = 3.0
timeout_constant = 10.0
"""

LIVES = {0: "lives", 5: "no test", 33: "no test"}
"""Exit codes of mutmut; all others are failed tests, a timeout or a crash."""


def prepare(package: str) -> Path:
    """The copy in which the package's mutants are tried."""
    folder = OUT / package
    folder.mkdir(parents=True, exist_ok=True)
    # Nothing stays of files that are gone, mutmut's own copy of the tests included.
    for name in (*FOLDERS, "mutants/tests"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy2(ROOT / name, folder / name)
    patterns, tests = PACKAGES[package]
    files = [f"sinternal_verl/{package}/{pattern}" for pattern in patterns]
    chosen = " and ".join(f"not {name}" for name in LEFT_OUT)
    with (folder / "pyproject.toml").open("a") as file:
        file.write(CONFIG.format(files=json.dumps(files), tests=json.dumps(tests), chosen=chosen))
    # Which test reaches which function: it changes with the tests.
    (folder / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    return folder


def sample(package: str, folder: Path, size: int, seed: int) -> list[str]:
    """Names of mutants, the same for a seed as long as a file stays as it is."""
    from mutmut.configuration import reset_config
    from mutmut.mutation.file_mutation import mutate_file_contents
    from mutmut.utils.format_utils import get_mutant_name

    os.chdir(folder)
    reset_config()
    names = []
    for pattern in PACKAGES[package][0]:
        for file in sorted(Path("sinternal_verl", package).glob(pattern)):
            made = sorted(mutate_file_contents(str(file), file.read_text()).mutant_names)
            chosen = random.Random(f"{seed}/{file}").sample(made, min(size, len(made)))
            names += [get_mutant_name(file, name) for name in chosen]
    return names


def results(folder: Path) -> dict[str, int | None]:
    """The exit code of every mutant; None for those not tried."""
    found: dict[str, int | None] = {}
    for file in (folder / "mutants").rglob("*.meta"):
        found |= json.loads(file.read_text())["exit_code_by_key"]
    return found


def try_mutants(package: str, size: int, seed: int, again: bool) -> Counter[str]:
    folder = prepare(package)
    names, tried = sample(package, folder, size, seed), results(folder)
    todo = [name for name in names if tried.get(name) is None or (again and tried[name] in LIVES)]
    if todo:
        # One at a time: many tests wait on clocks.
        command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", "1", *todo]
        with (folder / "mutmut.log").open("w") as log:
            if subprocess.run(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT).returncode:
                raise SystemExit(f"mutmut failed, see {log.name}")
    tried, counts = results(folder), Counter()
    for name in names:
        status = LIVES.get(tried[name], "killed")
        counts[status] += 1
        if status != "killed":
            print(f"{status:8} {name}", flush=True)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", default=list(PACKAGES), help=f"of {', '.join(PACKAGES)}; default: all")
    parser.add_argument("--sample", type=int, default=8, help="mutants of each file (default: 8)")
    parser.add_argument("--seed", type=int, default=1, help="of the sample (default: 1)")
    parser.add_argument("--again", action="store_true", help="try those again that lived")
    options = parser.parse_args()
    if unknown := set(options.packages) - set(PACKAGES):
        parser.error(f"no package {', '.join(sorted(unknown))}: choose of {', '.join(PACKAGES)}")
    counts = {name: try_mutants(name, options.sample, options.seed, options.again) for name in options.packages}
    print(f"\n{'package':12} {'mutants':>8} {'killed':>8} {'share':>7}")
    for package, found in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        print(f"{package:12} {found.total():8} {found['killed']:8} {found['killed'] / found.total():7.3f}")


if __name__ == "__main__":
    main()
