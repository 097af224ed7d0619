"""Math-Verify in its own process: right answers, and an end at the deadline."""

import os
import signal
import time

import pytest

from sinternal_verl.scoring import symbolic
from sinternal_verl.scoring.boxed_math import score_boxed
from sinternal_verl.scoring.score import Outcome

pytest.importorskip("math_verify", reason="needs the eval extra; make install brings it")


@pytest.fixture(autouse=True)
def end_worker():
    yield
    symbolic._worker.end()


def test_expressions_of_one_value_are_equal():
    assert score_boxed(r"</think>\boxed{1+x^2}", "x^2+1", mode="symbolic").outcome is Outcome.CORRECT
    assert score_boxed(r"</think>\boxed{x^2-1}", "x^2+1", mode="symbolic").outcome is Outcome.MISMATCH


def test_a_stuck_worker_is_ended_at_the_deadline_and_the_next_question_is_answered():
    assert symbolic.equal("2", "3") is Outcome.MISMATCH
    os.kill(symbolic._worker._process.pid, signal.SIGSTOP)
    started = time.monotonic()

    assert symbolic.equal("x+x", "2x", deadline_s=1.0) is Outcome.TIMED_OUT
    assert time.monotonic() - started < 10
    assert symbolic.equal("x+x", "2x") is Outcome.CORRECT


def test_a_comparison_without_an_answer_is_named():
    assert symbolic.equal("2", "3") is Outcome.MISMATCH
    symbolic._worker._process.kill()
    symbolic._worker._process.join(10)

    assert "Math-Verify" in score_boxed(r"</think>\boxed{x+x}", "2x", mode="symbolic").reason


def test_a_worker_that_dies_is_replaced():
    assert symbolic.equal("1", "2") is Outcome.MISMATCH
    symbolic._worker._process.kill()
    symbolic._worker._process.join(10)

    assert symbolic.equal("x+x", "2x") is Outcome.TIMED_OUT
    assert symbolic.equal("x+x", "2x") is Outcome.CORRECT
