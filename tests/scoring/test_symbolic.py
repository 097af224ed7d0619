"""Math-Verify in its own processes: right answers, several at a time, and an end at the deadline."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from sinternal_verl.scoring import symbolic
from sinternal_verl.scoring.boxed_math import score_boxed
from sinternal_verl.scoring.score import Outcome

pytest.importorskip("math_verify", reason="needs the eval extra; make install brings it")

STUCK = "9^{9^{9^{9}}}"
"""Math-Verify works this power out and does not come back."""


@pytest.fixture(autouse=True)
def no_workers_left():
    yield
    symbolic._pool.end()
    assert not multiprocessing.active_children()


def symbolically(box, gold):
    return score_boxed(rf"</think>\boxed{{{box}}}", gold, mode="symbolic")


def only_worker():
    assert symbolic.equal("2", "3") is Outcome.MISMATCH
    (worker,) = symbolic._pool._idle
    return worker.process


@pytest.mark.parametrize(
    ("box", "gold", "outcome"),
    [
        ("1+x^2", "x^2+1", Outcome.CORRECT),
        ("x^2-1", "x^2+1", Outcome.MISMATCH),
        # The normalized rule is asked first: Math-Verify takes none of these.
        (r"50\%", "50", Outcome.CORRECT),
        ("5.", "5", Outcome.CORRECT),
        (r"90\text{ degrees}", r"90^\circ", Outcome.CORRECT),
        # The box is read as a whole: Math-Verify takes the last formula of a sentence.
        ("$4$ and the final answer is $5$. I hope", "5", Outcome.MISMATCH),
        (r"\(4\) so the answer is \(5\).", "5", Outcome.MISMATCH),
        (r"4 so the answer is: 5. I hope it is correct", "5", Outcome.MISMATCH),
        ("$2+x$", "x+2", Outcome.CORRECT),
        (r"\text{no answer}", "5", Outcome.MISMATCH),
    ],
)
def test_expressions_of_one_value_are_equal(box, gold, outcome):
    assert symbolically(box, gold).outcome is outcome


def test_a_comparison_that_does_not_finish_is_a_mismatch_that_says_so(monkeypatch, caplog):
    monkeypatch.setattr(symbolic, "_pool", symbolic._Pool(1))
    monkeypatch.setattr(symbolic.equal, "__defaults__", (1.0,))
    score = symbolically(STUCK, "3")

    assert score.scored and score.value == 0.0 and score.outcome is Outcome.MISMATCH
    assert "Math-Verify did not finish" in score.reason
    assert "1 so far: " + STUCK in caplog.text
    assert symbolically("x+x", "2x").outcome is Outcome.CORRECT
    symbolic._pool.end()


def test_quick_questions_do_not_wait_for_stuck_ones():
    with ThreadPoolExecutor(symbolic.MAX_WORKERS) as threads:  # start all workers
        assert all(threads.map(lambda n: symbolic.equal("x", f"{n}"), range(4)))
    deadline_s = 10.0
    with ThreadPoolExecutor(8) as threads:
        stuck = [threads.submit(symbolic.equal, STUCK, "3", deadline_s) for _ in range(symbolic.MAX_WORKERS - 1)]
        while len(symbolic._pool._idle) > 1:
            time.sleep(0.01)
        started = time.monotonic()
        quick = list(threads.map(lambda n: symbolic.equal(f"{n}x+x", f"{n + 1}x", deadline_s), range(5)))

        assert quick == 5 * [Outcome.CORRECT] and time.monotonic() - started < deadline_s / 2
        assert not any(question.done() for question in stuck)
        assert [question.result(60) for question in stuck] == len(stuck) * [Outcome.TIMED_OUT]
    assert len(multiprocessing.active_children()) == 1


def test_no_more_workers_than_there_may_be_and_no_endless_wait(monkeypatch):
    monkeypatch.setattr(symbolic, "WAIT_LIMIT_S", 0.5)
    pool = symbolic._Pool(1)
    assert pool.ask("1", "2", 5.0) is Outcome.MISMATCH
    thread = threading.Thread(target=pool.ask, args=(STUCK, "3", 3.0))
    thread.start()
    while pool._idle:
        time.sleep(0.01)
    with pytest.raises(TimeoutError, match=r"none of 1 Math-Verify workers was free within 0\.5 s"):
        pool.ask("1", "2", 5.0)
    thread.join(30)
    assert not thread.is_alive()


def test_a_stopped_worker_is_ended_at_the_deadline_and_the_next_question_is_answered():
    os.kill(only_worker().pid, signal.SIGSTOP)
    started = time.monotonic()

    assert symbolic.equal("x+x", "2x", deadline_s=1.0) is Outcome.TIMED_OUT
    assert time.monotonic() - started < 10
    assert symbolic.equal("x+x", "2x") is Outcome.CORRECT


def test_a_worker_that_dies_is_replaced():
    worker = only_worker()
    worker.kill()
    worker.join(10)

    assert "Math-Verify" in symbolically("x+x", "2x").reason
    assert symbolic.equal("x+x", "2x") is Outcome.CORRECT


def test_a_worker_that_does_not_start_is_named(monkeypatch):
    monkeypatch.setattr(symbolic, "START_LIMIT_S", 0.0)

    with pytest.raises(RuntimeError, match="did not start"):
        symbolic.equal("x+x", "2x")


def test_no_worker_outlives_a_caller_that_was_killed(tmp_path):
    script = tmp_path / "asks.py"
    script.write_text(
        "from sinternal_verl.scoring import symbolic\n"
        "if __name__ == '__main__':\n"
        "    worker = symbolic._Worker()\n"
        "    print(worker.process.pid, flush=True)\n"
        f"    worker.ask('{STUCK}', '3', 1.0)\n"
        "    import time; time.sleep(60)\n"
    )
    caller = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    pid = int(caller.stdout.readline())
    time.sleep(0.5)
    caller.kill()
    caller.wait(10)
    until = time.monotonic() + 40
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.2)

    assert not is_running(pid)


def is_running(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
