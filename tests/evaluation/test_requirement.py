"""Without Inspect the command says what to do, and the rest of the package does not import it."""

import subprocess
import sys

import pytest

from sinternal_verl.cli import main
from sinternal_verl.evaluation.running import requirement


def test_an_older_python_is_told_which_it_needs(monkeypatch, capsys):
    monkeypatch.setattr(requirement.sys, "version_info", (3, 10, 13))

    assert main(["eval", "--model", "m"]) == 2
    assert "needs Python 3.11 or later" in capsys.readouterr().err


def test_without_inspect_the_command_that_installs_it_is_named(monkeypatch, capsys):
    monkeypatch.setattr(requirement.importlib.util, "find_spec", lambda name: None)

    for words in (["eval", "--model", "m"], ["eval", "compare", "a", "b"], ["eval", "rejudge", "a", "--judge", "x"]):
        assert main(words) == 2
        assert "pip install 'sinternal_verl[eval]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "module",
    ["cli", "commands.eval", "plugin", "training", "scoring.run", "verify.evaluate", "data.math", "doctor.checks"],
)
def test_the_rest_of_the_package_works_without_inspect(module):
    code = (
        "import sys; sys.modules['inspect_ai'] = None\n"
        f"import sinternal_verl.{module}\nprint([m for m in sys.modules if m.startswith('inspect_ai.')])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)

    assert done.stdout.splitlines()[-1] == "[]", done.stderr
