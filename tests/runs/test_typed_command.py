import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sinternal_verl.runs.command import TORCHRUN, as_typed

SHOW = "from sinternal_verl.runs.command import typed_command; print(typed_command())"


@pytest.mark.parametrize("word", ["it's", "a b", '"x"', "[a,b]", "${x}", "ä#1"])
def test_the_command_can_be_pasted(word):
    command = [sys.executable, "-c", SHOW, word]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout

    assert shlex.split(shown) == command


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        (
            "+ray_kwargs.ray_init.runtime_env.env_vars.GUARD_KEY=sk-1",
            "+ray_kwargs.ray_init.runtime_env.env_vars.GUARD_KEY=***",
        ),
        ("+sinternal.scorers.mine={sources: [a], headers: {x-api-key: sk-1}}", "+sinternal.scorers.mine=***"),
        ("+sinternal.scorers.mine={sources: [a], limit: 3}", None),
        ("+sinternal.scorers.mine.api_key=${oc.env:MY_KEY}", None),
        ("sinternal.guard.url=http://me:pw@host/v1", "sinternal.guard.url=http://***@host/v1"),
        ("--nproc={2", None),
        ("data.reward_fn_key=source", None),
    ],
)
def test_a_secret_is_not_shown(word, shown):
    command = [sys.executable, "-c", SHOW, word]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout

    assert shlex.split(found) == [*command[:-1], shown or word]


def test_under_torchrun_it_is_torchruns():
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SHOW!r}, 'of a rank'])"
    command = [sys.executable, "-c", parent, "it's typed"]
    environment = os.environ | {TORCHRUN: "none"}
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment).stdout

    assert shlex.split(shown) == command


def test_a_script_is_shown_as_it_was_typed(tmp_path, monkeypatch):
    script = tmp_path / "torchrun"
    script.touch(mode=0o755)
    seen_by_the_kernel = [str(tmp_path / "python3"), str(script), "--standalone"]

    assert as_typed(seen_by_the_kernel) == [str(script), "--standalone"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert as_typed(seen_by_the_kernel) == ["torchrun", "--standalone"]
    assert as_typed(["python", "-m", "main"]) == ["python", "-m", "main"]
    assert as_typed(["python", str(Path("folder") / "main.py")]) == ["python", "folder/main.py"]
