"""verl's GRPO main with our CPU recipe, as a user runs it, with a scorer of the user's own that fails
for one rollout in ten. One story, four starts of the main:

1. a run of three epochs of two steps, whose reward worker is killed on the way;
2. the same run in another folder, ended by Ctrl-C within an epoch;
3. its command again, killed -9 at the end of an epoch;
4. once more, which goes on; then the rollout engine dies.
"""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from addition_runs import addition_overrides
from processes import descendants, end_all, named, start, wait_for

from sinternal_verl.doctor.checkpoints import TRACKER
from sinternal_verl.runs.curves import Step, read_steps
from sinternal_verl.runs.launch import grpo_command
from sinternal_verl.training.metrics_file import METRICS_FILE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

START_LIMIT_S = 300
DEATH_LIMIT_S = 180
EPOCHS, STEPS_PER_EPOCH = 3, 2
STEPS = EPOCHS * STEPS_PER_EPOCH

SCORER = """
import zlib
from sinternal_verl.scoring.registry import scorer
from sinternal_verl.scoring.score import Outcome, Sample, Score

@scorer("flaky")
def flaky(sample: Sample, one_in: int) -> Score:
    number = zlib.crc32(sample.response.encode())
    if number % one_in == 0:
        raise ConnectionError("the judge did not answer")
    return Score(number % 3 / 2, Outcome.SCORED)
"""


class Story:
    """What the runs left behind."""

    whole: dict[int, Step]
    rollouts: list[dict]
    whole_log: str
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
def story(world, tmp_path_factory) -> Story:
    folder: Path = tmp_path_factory.mktemp("grpo")
    (folder / "my_scorer.py").write_text(SCORER)

    def command(*overrides: str) -> list[str]:
        return grpo_command(
            *addition_overrides(world),
            "actor_rollout_ref.actor.optim.lr=1e-4",
            f"data.train_max_samples={8 * STEPS_PER_EPOCH}",
            "+sinternal.scorers.flaky={path: my_scorer.py, sources: [world/addition], one_in: 10}",
            *overrides,
        )

    story, seen = Story(), []
    try:
        log, metrics = folder / "whole.log", folder / "whole" / METRICS_FILE
        whole = start(
            command(
                f"trainer.total_epochs={EPOCHS}",
                "trainer.save_freq=-1",
                "trainer.default_local_dir=whole",
                "trainer.rollout_data_dir=rollouts",
            ),
            log,
            folder,
        )
        wait_for(lambda: len(read_steps(metrics)) >= 1, whole, log, START_LIMIT_S)
        seen += descendants(whole)
        named(descendants(whole), "RewardWorker").kill()
        assert whole.wait(START_LIMIT_S) == 0, log.read_text()[-3000:]
        story.whole, story.whole_log = _by_number(metrics), log.read_text()
        dumps = sorted((folder / "rollouts").glob("*.jsonl"))
        story.rollouts = [json.loads(line) for dump in dumps for line in dump.read_text().splitlines()]

        metrics = folder / "checkpoints" / METRICS_FILE
        again = command("trainer.total_epochs=100", "trainer.default_local_dir=checkpoints")
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
        named(descendants(second), "EngineCore").kill()
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


SOURCE = "train/world/addition"


def test_every_failure_of_the_scorer_is_in_the_curves_and_none_is_a_zero(story):
    for step in range(1, STEPS + 1):
        metrics = story.whole[step].metrics
        failed = metrics["training/failures/unscored"]
        assert metrics[f"{SOURCE}/rows"] == 32
        assert metrics[f"{SOURCE}/scored"] == 1 - failed / 32
        assert metrics.get(f"{SOURCE}/outcome/failed", 0) == failed
        own = [row for row in story.rollouts if row["step"] == step]
        scored = [row["score"] for row in own if row["scored"]]
        assert metrics[f"{SOURCE}/reward/mean"] == pytest.approx(sum(scored) / len(scored))
        # what verl trained on: the rows that policy `drop` left
        kept = [row["score"] for row in own if not row["set_aside"]]
        assert metrics["critic/score/mean"] == pytest.approx(sum(kept) / len(kept))
    assert 0 < story.whole[STEPS].metrics["training/failures/so_far"] < STEPS * 32 / 3


def test_rollouts_are_dumped_with_source_and_outcome_dropped_ones_too_and_padding_not(story):
    assert len(story.rollouts) == STEPS * 32
    assert {row["data_source"] for row in story.rollouts} == {"world/addition"}
    assert {row["outcome"] for row in story.rollouts} == {"scored", "failed"}
    assert all(row["set_aside"] for row in story.rollouts if not row["scored"])


def test_a_killed_reward_worker_is_replaced_and_no_rollout_is_lost(story):
    assert "this reward worker replaces one that died" in story.whole_log
    assert all(step.metrics["training/failures/missing"] == 0 for step in story.whole.values())


@pytest.mark.parametrize("metric", [f"{SOURCE}/reward/mean", f"{SOURCE}/scored", "actor/pg_loss", "actor/grad_norm"])
def test_two_runs_agree_step_by_step(story, metric):
    assert story.killed
    for number, step in story.killed.items():
        assert step.metrics[metric] == pytest.approx(story.whole[number].metrics[metric], rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("metric", [f"{SOURCE}/reward/mean", f"{SOURCE}/scored", "actor/pg_loss", "actor/grad_norm"])
def test_a_run_resumed_within_an_epoch_and_at_its_end_agrees_with_one_that_was_never_stopped(story, metric):
    within, at_an_end = story.saved
    assert within < at_an_end < STEPS and at_an_end % STEPS_PER_EPOCH == 0
    for number in range(within + 1, STEPS + 1):
        resumed, whole = story.resumed[number].metrics, story.whole[number].metrics
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


def test_a_run_that_is_done_says_so_at_its_end(story):
    ending = story.whole_log[story.whole_log.rindex("sinternal_verl: the run ") :]

    assert ending.startswith(f"sinternal_verl: the run is done at step {STEPS} of {STEPS}\n")
    assert f"/whole/{METRICS_FILE}\n" in ending and "/whole/config_" in ending


def test_ctrl_c_ends_a_run_with_130_and_no_traceback_and_says_what_goes_on(story):
    ending = story.interrupted_log[story.interrupted_log.rindex("sinternal_verl: the run ") :]

    assert story.interrupted == 130
    assert ending.startswith("sinternal_verl: the run was ended by SIGINT at step ")
    assert f"/checkpoints/global_step_{story.saved[0]}\n" in ending
    assert "'+sinternal.scorers.flaky={path: my_scorer.py, sources: [world/addition], one_in: 10}'" in ending
    assert "Traceback" not in ending and "KeyboardInterrupt" not in story.interrupted_log


def test_nothing_large_is_left_running(story):
    assert story.left_over == []
