"""Every script in benchmarks/ says what it measures, and what it needs where that is not there."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = [file for file in sorted(Path(__file__).parents[2].glob("benchmarks/*.py")) if "__main__" in file.read_text()]

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(300)]


def run(script: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_says_what_it_measures(script):
    done = run(script, "--help")

    assert done.returncode == 0 and done.stdout.startswith("usage: ") and len(done.stdout.splitlines()) > 5


@pytest.mark.parametrize("name", ["manager", "matchers", "guard_flips", "guard_overlap"])
def test_a_script_says_what_is_missing(name, tmp_path):
    script = next(script for script in SCRIPTS if script.stem == name)
    done = run(script, str(tmp_path / "nothing"))

    assert done.returncode == 2 and "does not exist: " in done.stderr.splitlines()[-1]
