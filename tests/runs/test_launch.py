"""A main as a child process: followed, bounded, and never left running."""

import sys
import time

import psutil
import pytest

from sinternal_verl.runs.launch import Main, MainFailed, StartLines, run_main

WRITES_STEPS = """
import json, os
with open(os.environ["VERL_FILE_LOGGER_PATH"], "w") as file:
    for step in (1, 2):
        file.write(json.dumps({"step": step, "data": {"reward": step / 2}}) + chr(10))
"""


def run(tmp_path, code: str, limit_s: float = 60):
    return run_main([sys.executable, "-c", code], tmp_path / "run.log", tmp_path / "run.jsonl", limit_s)


def test_returns_the_steps_the_main_logged(tmp_path):
    steps = run(tmp_path, WRITES_STEPS)

    assert [(step.number, step.metrics) for step in steps] == [(1, {"reward": 0.5}), (2, {"reward": 1.0})]


def test_a_main_that_ended_before_it_is_followed_shows_its_last_step(tmp_path, capsys):
    command, log, metrics = [sys.executable, "-c", WRITES_STEPS], tmp_path / "run.log", tmp_path / "run.jsonl"
    with Main("guard", command, log, metrics, 60) as main:
        deadline = time.monotonic() + 30
        while '"step": 2' not in (metrics.read_text() if metrics.exists() else "") and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
        main.follow(2)

    assert "guard: step 2/2" in capsys.readouterr().out


def test_a_start_shows_the_part_that_came_up_last(tmp_path):
    log = tmp_path / "run.log"
    log.write_text("INFO nothing of ours\n")
    lines = StartLines(log)
    assert lines.read() == "starting"

    with log.open("a") as writer:
        writer.write("start: trainer up after 28 s\n\x1b[36m(TaskRunner pid=7)\x1b[0m start: rollout server up after 4")
        writer.flush()
        assert lines.read() == "starting: trainer up after 28 s"
        writer.write("1 s\n" + "noise of vLLM\n" * 3)
    assert lines.read() == "starting: rollout server up after 41 s"
    assert lines.read() == "starting: rollout server up after 41 s"


def test_a_log_is_read_on_from_where_reading_stopped(tmp_path):
    log = tmp_path / "run.log"
    log.write_text("start: trainer up after 28 s\n")
    lines = StartLines(log)
    lines.read()
    log.write_text("start: another up after 29 s\n")  # of the same length

    assert lines.read() == "starting: trainer up after 28 s"


def test_a_main_without_a_step_shows_its_start(tmp_path, capsys):
    run(tmp_path, "print('start: guard up after 3 s')")

    assert "run: starting: guard up after 3 s" in capsys.readouterr().out


def test_steps_of_an_earlier_run_are_not_taken_for_this_one(tmp_path):
    (tmp_path / "run.jsonl").write_text('{"step": 9, "data": {}}\n')

    assert run(tmp_path, "pass") == []


def test_a_failing_main_raises_with_code_log_and_last_words(tmp_path):
    with pytest.raises(MainFailed, match=r"(?s)code 3.*run\.log.*no such model"):
        run(tmp_path, "print('no such model'); raise SystemExit(3)")


def _dies(process: psutil.Process, within_s: float = 5) -> bool:
    try:
        process.wait(within_s)
    except psutil.TimeoutExpired:
        return process.status() == psutil.STATUS_ZOMBIE
    return True


def test_a_main_past_its_limit_is_ended_with_its_children(tmp_path):
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(100)\n"
    )
    started = time.monotonic()
    with pytest.raises(MainFailed, match="past its limit"):
        run(tmp_path, code, limit_s=2)

    assert time.monotonic() - started < 30
    child = int((tmp_path / "run.log").read_text().split()[0])
    assert not psutil.pid_exists(child) or _dies(psutil.Process(child))
