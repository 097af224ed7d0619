"""`sinternal-verl eval` with the real vLLM on a CPU: a folder is served, judged, watched, and ended with the run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sinternal_verl.world import arithmetic, lighthouse
from sinternal_verl.world.guard_model import make_guard
from sinternal_verl.world.policy_model import make_policy

pytest.importorskip("inspect_ai", reason="needs the eval extra; make install brings it")
pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("world")
    policy = make_policy(folder / "policy", [*arithmetic.corpus(), *lighthouse.corpus()], seed=1)
    guard = make_guard(folder / "guard", lighthouse.corpus(), seed=1)
    rows = [
        {"forbidden_prompt": request.prompt, "category": "c", "source": "s"} for request in lighthouse.requests()[:40]
    ]
    (folder / "strongreject.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"policy": policy, "guard": guard, "source": folder / "strongreject.jsonl"}


def start(world, out: Path, *words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "sinternal_verl.cli", "eval", "--tasks", "strongreject", "--out", str(out)]
    command += ["--model", str(world["policy"]), "--source", str(world["source"]), "-T", "thought=none", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def servers_of(process: subprocess.Popen) -> list[psutil.Process]:
    """Without the keeper, whose words hold the server's."""
    words = [(child, child.cmdline()) for child in psutil.Process(process.pid).children(recursive=True)]
    return [
        child for child, each in words if "--served-model-name" in each and not any("keeper" in one for one in each)
    ]


def with_their_children(servers: list[psutil.Process]) -> list[psutil.Process]:
    """The engine is a process of its own."""
    return [*servers, *(child for server in servers for child in server.children(recursive=True))]


def until(done, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.2)
    return False


def test_a_folder_is_served_and_judged_by_a_guard(world, tmp_path):
    before = psutil.Process().children(recursive=True)
    words = ["--judge", f"qwen3guard={world['guard']}", "-J", "qwen3guard.mode=first_token"]
    done = start(world, tmp_path / "out", *words, "-T", "max_tokens=16", "--limit", "6")
    said, wrong = done.communicate(timeout=500)

    rows = [json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").read_text().splitlines()]
    # Where no answer has a verdict there is no figure, and the command says so.
    assert done.returncode == (0 if any(row["value"] is not None for row in rows) else 1), said + wrong
    assert len(rows) == 6 and {row["judge"] for row in rows} == {"qwen3guard"}
    # A guard of random weights has no verdict to give: an answer is unscored then, with the reason.
    assert all(row["value"] in (0.0, 1.0) or row["reason"] in ("judge_unparsable", "empty") for row in rows)
    assert "strongreject" in said and "ASR" in said
    assert not set(psutil.Process().children(recursive=True)) - set(before)


def keepers_of(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children() if "sinternal_verl.evaluation.running.keeper" in child.cmdline()]


@pytest.mark.parametrize("victim", ["command", "server", "keeper"])
def test_none_outlives_the_others(world, tmp_path, victim):
    out = tmp_path / "out"
    words = ["--judge", "refusal_strings", "-T", "max_tokens=400", "--connections", "1"]
    running = start(world, out, *words)
    assert until(lambda: list((out / "logs").glob("*.eval")) or running.poll() is not None, 400)
    assert running.poll() is None, running.communicate()
    servers = servers_of(running)
    all_of_them = with_their_children(servers)
    assert servers and len(all_of_them) > len(servers)

    if victim == "command":
        running.kill()
    else:
        for each in servers if victim == "server" else keepers_of(psutil.Process(running.pid)):
            os.kill(each.pid, signal.SIGKILL)
    _, wrong = running.communicate(timeout=120)

    assert until(lambda: not any(each.is_running() for each in all_of_them), 60)
    if victim != "command":
        assert running.returncode == 1 and "the server of policy ended" in wrong
        assert "the same command goes on" in wrong
