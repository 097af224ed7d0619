"""verl's GRPO main ended on its way and started again by the same command, beside one that was never ended
(``whole_run`` of ``conftest.py``). One story, three starts:

1. ended by Ctrl-C within an epoch;
2. its command again, killed -9 at the end of an epoch;
3. once more, which goes on; then the rollout engine dies.
"""

import os
import signal
import time
from pathlib import Path

import pytest
from processes import descendants, end_all, named, start, wait_for
from safety_runs import STEPS_PER_EPOCH, SUMS

from sinternal_verl.curves import Step, read_steps
from sinternal_verl.doctor.checkpoints import TRACKER
from sinternal_verl.training.metrics_file import METRICS_FILE

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]

START_LIMIT_S = 300
DEATH_LIMIT_S = 180
STEPS = 3 * STEPS_PER_EPOCH
METRICS = (f"train/{SUMS}/reward/mean", f"train/{SUMS}/scored", "actor/pg_loss", "actor/grad_norm")


class Story:
    """What the runs left behind."""

    interrupted: int
    interrupted_log: str
    killed: dict[int, Step]
    saved: tuple[int, int]
    resumed: dict[int, Step]
    numbers: list[int]
    returncode: int
    seconds_to_end: float
    last_screen: str
    left_over: list[str]


@pytest.fixture(scope="module")
def story(whole_run) -> Story:
    folder, story, seen = whole_run.folder, Story(), []
    metrics = folder / "checkpoints" / METRICS_FILE
    again = whole_run.command("trainer.total_epochs=100", "trainer.default_local_dir=checkpoints")
    try:
        log = folder / "interrupted.log"
        interrupted = start([*again, "trainer.save_freq=1"], log, folder)
        wait_for(lambda: _saved(folder) >= 1, interrupted, log, START_LIMIT_S)
        seen += descendants(interrupted)
        os.killpg(interrupted.pid, signal.SIGINT)
        story.interrupted, story.interrupted_log = interrupted.wait(60), log.read_text()
        within = _saved(folder)

        again.append(f"trainer.save_freq={STEPS_PER_EPOCH}")
        log = folder / "first.log"
        first = start(again, log, folder)
        wait_for(lambda: _saved(folder) >= 2 * STEPS_PER_EPOCH, first, log, START_LIMIT_S)
        seen += descendants(first)
        first.kill()
        first.wait(20)
        end_all(seen)
        story.killed, story.saved = _by_number(metrics), (within, _saved(folder))

        log = folder / "second.log"
        second = start(again, log, folder)
        wait_for(lambda: max(_by_number(metrics)) >= STEPS, second, log, START_LIMIT_S)
        story.resumed, story.numbers = _by_number(metrics), [step.number for step in read_steps(metrics)]
        seen += descendants(second)
        # The guard's engine is another.
        rollout = [p for p in descendants(second) if "GuardReplica" not in " ".join(p.parent().cmdline())]
        named(rollout, "EngineCore").kill()
        killed = time.monotonic()
        story.returncode = second.wait(DEATH_LIMIT_S)
        story.seconds_to_end = time.monotonic() - killed
        story.last_screen = "\n".join(log.read_text().splitlines()[-8:])
        time.sleep(15)
        story.left_over = [p.name() for p in seen if p.is_running() and p.memory_info().rss > 300 * 2**20]
        return story
    finally:
        end_all(seen)


def _by_number(metrics: Path) -> dict[int, Step]:
    return {step.number: step for step in read_steps(metrics)}


def _saved(folder: Path) -> int:
    tracker = folder / "checkpoints" / TRACKER
    return int(tracker.read_text() or 0) if tracker.exists() else 0


@pytest.mark.parametrize("metric", METRICS)
def test_two_runs_agree_step_by_step(story, whole_run, metric):
    assert story.killed
    for number, step in story.killed.items():
        assert step.metrics[metric] == pytest.approx(whole_run.steps[number].metrics[metric], rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_a_run_resumed_within_an_epoch_and_at_its_end_agrees_with_one_that_was_never_stopped(story, whole_run, metric):
    within, at_an_end = story.saved
    assert within < at_an_end < STEPS and at_an_end % STEPS_PER_EPOCH == 0
    for number in range(within + 1, STEPS + 1):
        resumed, whole = story.resumed[number].metrics, whole_run.steps[number].metrics
        assert resumed[metric] == pytest.approx(whole[metric], rel=1e-3, abs=1e-4)


def test_after_kill_9_the_metrics_file_tells_one_story(story):
    assert story.numbers == sorted(set(story.numbers))
    # verl logs a step after its checkpoint: a kill between the two leaves that one step without a record.
    assert set(range(1, max(story.numbers) + 1)) - set(story.numbers) <= set(story.saved)


def test_a_dead_rollout_engine_ends_the_run_and_is_named_on_the_last_screen(story):
    assert story.returncode == 1
    assert story.seconds_to_end < DEATH_LIMIT_S
    assert "the run failed at step " in story.last_screen and f" of {100 * STEPS_PER_EPOCH}: " in story.last_screen
    assert "vllm_server_0_0: its vLLM engine has died" in story.last_screen
    assert "to go on: " in story.last_screen


def test_ctrl_c_ends_a_run_with_130_and_no_traceback_and_says_what_goes_on(story):
    ending = story.interrupted_log[story.interrupted_log.rindex("sinternal_verl: the run ") :]

    assert story.interrupted == 130
    assert ending.startswith("sinternal_verl: the run was ended by SIGINT at step ")
    assert f"/checkpoints/global_step_{story.saved[0]}\n" in ending
    assert "'+sinternal.scorers.flaky={path: my_scorer.py, sources: [world/addition], one_in: 10}'" in ending
    assert "Traceback" not in ending and "KeyboardInterrupt" not in story.interrupted_log


def test_nothing_large_is_left_running(story):
    assert story.left_over == []
