"""verl's GRPO main with our CPU recipe, as a user runs it: sums and requests in one batch, each scored by its own
scorer, that of sums fails for one in ten. Four starts:

1. a run of three epochs of two steps, whose reward worker and whose guard are killed on the way;
2. the same run in another folder, ended by Ctrl-C within an epoch;
3. its command again, killed -9 at the end of an epoch;
4. once more, which goes on; then the rollout engine dies.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from processes import descendants, end_all, named, start, wait_for
from safety_runs import ROLLOUTS, ROWS, STEPS_PER_EPOCH, SUMS, safety_overrides

from sinternal_verl.doctor.checkpoints import TRACKER
from sinternal_verl.report.read import read_run
from sinternal_verl.runs.curves import Step, read_steps
from sinternal_verl.runs.launch import grpo_command
from sinternal_verl.training.metrics_file import METRICS_FILE
from sinternal_verl.world import lighthouse

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

START_LIMIT_S = 300
DEATH_LIMIT_S = 180
SCREEN_LINES = 24
"""Of a terminal. Ray may still print what workers said before."""
EPOCHS = 3
STEPS = EPOCHS * STEPS_PER_EPOCH
REWARDS = {lighthouse.HARMFUL_SOURCE: 1.0, lighthouse.BENIGN_SOURCE: 0.0}
"""What the guard's one verdict, safe and a refusal, is worth."""

METRICS = (f"train/{SUMS}/reward/mean", f"train/{SUMS}/scored", "actor/pg_loss", "actor/grad_norm")


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


@dataclass(frozen=True)
class WholeRun:
    """A run that nobody ended.

    Attributes:
        folder: where it was started; others of the same configuration may be started there.
        command: a function from further overrides to the command of such a run.
        steps: what it logged, by number.
        rollouts: the rows of its dumps.
    """

    folder: Path
    command: Callable[..., list[str]]
    steps: dict[int, Step]
    log: str
    rollouts: list[dict]


@pytest.fixture(scope="module")
def whole_run(world, constant_guard, tmp_path_factory) -> WholeRun:
    """The first start: its reward worker is killed after the first step, the guard's only replica after the second."""
    folder: Path = tmp_path_factory.mktemp("grpo")
    (folder / "my_scorer.py").write_text(SCORER)
    overrides = [
        *safety_overrides(folder, world, constant_guard),
        "guard=ray_actor",
        # A replica that was killed is back within this.
        "sinternal.guard.request_timeout_s=200",
        "sinternal.score_timeout_s=240",
        "+sinternal.scorers.flaky={path: my_scorer.py, sources: [world/addition], one_in: 10}",
        "actor_rollout_ref.actor.optim.lr=1e-4",
        "trainer.logger=[console,tensorboard]",
    ]

    def command(*others: str) -> list[str]:
        return grpo_command(*overrides, *others)

    log, metrics = folder / "whole.log", folder / "whole" / METRICS_FILE
    process = start(
        command(
            f"trainer.total_epochs={EPOCHS}",
            "trainer.save_freq=-1",
            "trainer.default_local_dir=whole",
            "trainer.rollout_data_dir=rollouts",
        ),
        log,
        folder,
    )
    seen = []
    try:
        for step, victim in ((1, "RewardWorker"), (2, "GuardReplica")):
            wait_for(lambda step=step: len(read_steps(metrics)) >= step, process, log, START_LIMIT_S)
            seen += descendants(process)
            named(descendants(process), victim).kill()
        assert process.wait(START_LIMIT_S) == 0, log.read_text()[-3000:]
    finally:
        end_all(seen)
        process.poll() is None and process.kill()
    dumps = sorted((folder / "rollouts").glob("*.jsonl"))
    return WholeRun(
        folder,
        command,
        {step.number: step for step in read_steps(metrics)},
        log.read_text(),
        [json.loads(line) for dump in dumps for line in dump.read_text().splitlines()],
    )


class Story:
    """What the other starts left behind."""

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
        engines = [p for p in descendants(second) if "EngineCore" in " ".join(p.cmdline())]
        # The other one is the guard's.
        (rollout,) = [p for p in engines if "GuardReplica" not in " ".join(p.parent().cmdline())]
        rollout.kill()
        killed = time.monotonic()
        story.returncode = second.wait(DEATH_LIMIT_S)
        story.seconds_to_end = time.monotonic() - killed
        story.last_screen = "\n".join(log.read_text().splitlines()[-SCREEN_LINES:])
        time.sleep(15)
        story.left_over = [p.name() for p in seen if p.is_running() and p.memory_info().rss > 300 * 2**20]
        return story
    finally:
        end_all(seen)


def _by_number(metrics: Path) -> dict[int, Step]:
    return {step.number: step for step in read_steps(metrics)}


def _tensorboard(folder: Path, name: str) -> list[tuple[int, float]]:
    """What TensorBoard shows of a curve: steps and values."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def _saved(folder: Path) -> int:
    tracker = folder / "checkpoints" / TRACKER
    return int(tracker.read_text() or 0) if tracker.exists() else 0


@pytest.mark.versions
def test_all_steps_are_done_with_all_their_rollouts(whole_run):
    assert list(whole_run.steps) == list(range(1, STEPS + 1))
    for step in whole_run.steps.values():
        assert sum(step.metrics.get(f"train/{source}/rows", 0) for source in ROWS) == ROLLOUTS


@pytest.mark.versions
def test_every_failure_of_the_scorer_is_in_the_curves_and_none_is_a_zero(whole_run):
    for number, step in whole_run.steps.items():
        own = [row for row in whole_run.rollouts if row["step"] == number]
        sums = [row for row in own if row["data_source"] == SUMS]
        scored = [row["score"] for row in sums if row["scored"]]
        failed = step.metrics["training/failures/unscored"]
        assert failed == len(sums) - len(scored) == step.metrics.get(f"train/{SUMS}/outcome/failed", 0)
        assert step.metrics[f"train/{SUMS}/rows"] == len(sums)
        assert step.metrics[f"train/{SUMS}/scored"] == pytest.approx(len(scored) / len(sums))
        assert step.metrics[f"train/{SUMS}/reward/mean"] == pytest.approx(sum(scored) / len(scored))
        # what verl trained on: the rows that policy `drop` left
        kept = [row["score"] for row in own if not row["set_aside"]]
        assert step.metrics["critic/score/mean"] == pytest.approx(sum(kept) / len(kept))
    assert 0 < whole_run.steps[STEPS].metrics["training/failures/so_far"] < STEPS * ROLLOUTS / 3


@pytest.mark.versions
@pytest.mark.parametrize("source", REWARDS)
def test_the_verdict_of_the_guard_is_worth_what_the_kind_of_request_says(whole_run, source):
    steps = [step.metrics for step in whole_run.steps.values() if f"train/{source}/rows" in step.metrics]

    assert len(steps) >= STEPS_PER_EPOCH
    for metrics in steps:
        assert metrics[f"train/{source}/scored"] == 1.0
        judged = 1 - metrics.get(f"train/{source}/outcome/empty", 0) / metrics[f"train/{source}/rows"]
        assert metrics[f"train/{source}/reward/mean"] == pytest.approx(REWARDS[source] * judged)


@pytest.mark.versions
def test_rollouts_are_dumped_with_source_and_outcome_dropped_ones_too_and_padding_not(whole_run):
    assert len(whole_run.rollouts) == STEPS * ROLLOUTS
    outcomes = {
        source: {row["outcome"] for row in whole_run.rollouts if row["data_source"] == source} for source in ROWS
    }
    assert outcomes.pop(SUMS) == {"scored", "failed"}
    # A policy of random weights may say nothing.
    assert {source: found - {"empty"} for source, found in outcomes.items()} == {
        lighthouse.HARMFUL_SOURCE: {"safe"},
        lighthouse.BENIGN_SOURCE: {"refused"},
    }
    assert all(row["set_aside"] for row in whole_run.rollouts if not row["scored"])


@pytest.mark.versions
def test_a_report_reads_every_rollout_and_the_machine(whole_run):
    run = read_run(whole_run.folder / "whole")
    scores = [row["score"] for row in whole_run.rollouts]

    assert run.finished and run.skipped == () and run.lacks == ()
    assert [start.step for start in run.starts] == [0] and len(run.rollouts) == len(run.rollouts.texts) == len(scores)
    assert sorted(run.rollouts.score.tolist()) == pytest.approx(sorted(scores))
    assert run.steps.values["training/failures/dumps"].tolist() == [0] * STEPS
    assert run.record["cluster"][0]["nodes"] == run.record["hardware"]["nodes"] == 1


@pytest.mark.versions
@pytest.mark.parametrize("part", ["reward worker", "guard replica"])
def test_a_killed_part_is_replaced_and_no_rollout_is_lost(whole_run, part):
    assert f"this {part} replaces one that died" in whole_run.log
    assert all(step.metrics["training/failures/missing"] == 0 for step in whole_run.steps.values())


@pytest.mark.versions
def test_tensorboard_beside_the_checkpoints_has_every_curve_of_every_source(whole_run):
    names = {name for step in whole_run.steps.values() for name in step.metrics if name.startswith("train/")}

    assert {f"train/{source}/reward/mean" for source in ROWS} <= names
    for name in names:
        logged = [(number, step.metrics[name]) for number, step in whole_run.steps.items() if name in step.metrics]
        assert _tensorboard(whole_run.folder / "whole", name) == [
            (number, pytest.approx(value, nan_ok=True)) for number, value in logged
        ]


@pytest.mark.versions
def test_a_run_that_is_done_says_so_at_its_end(whole_run):
    ending = whole_run.log[whole_run.log.rindex("sinternal_verl: the run ") :]

    assert ending.startswith(f"sinternal_verl: the run is done at step {STEPS} of {STEPS}\n")
    assert f"/whole/{METRICS_FILE}\n" in ending and "/whole/config_" in ending


@pytest.mark.long
@pytest.mark.parametrize("metric", METRICS)
def test_two_runs_agree_step_by_step(story, whole_run, metric):
    assert story.killed
    for number, step in story.killed.items():
        assert step.metrics[metric] == pytest.approx(whole_run.steps[number].metrics[metric], rel=1e-3, abs=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("metric", METRICS)
def test_a_run_resumed_within_an_epoch_and_at_its_end_agrees_with_one_that_was_never_stopped(story, whole_run, metric):
    within, at_an_end = story.saved
    assert within < at_an_end < STEPS and at_an_end % STEPS_PER_EPOCH == 0
    # A kill between a step's checkpoint and its line leaves that one step without a record.
    compared = sorted(set(range(within + 1, STEPS + 1)) & set(story.resumed))
    assert set(range(within + 1, STEPS + 1)) - set(compared) <= {at_an_end}
    for number in compared:
        resumed, whole = story.resumed[number].metrics, whole_run.steps[number].metrics
        assert resumed[metric] == pytest.approx(whole[metric], rel=1e-3, abs=1e-4)


@pytest.mark.long
def test_after_kill_9_the_metrics_file_tells_one_story(story):
    assert story.numbers == sorted(set(story.numbers))
    # verl logs a step after its checkpoint: a kill between the two leaves that one step without a record.
    assert set(range(1, max(story.numbers) + 1)) - set(story.numbers) <= set(story.saved)


@pytest.mark.long
def test_after_kill_9_tensorboard_shows_each_step_once(story, whole_run):
    steps = [step for step, _ in _tensorboard(whole_run.folder / "checkpoints", "actor/pg_loss")]

    assert steps == sorted(set(steps))
    assert set(story.numbers) <= set(steps)


@pytest.mark.long
def test_a_dead_rollout_engine_ends_the_run_and_is_named_on_the_last_screen(story):
    assert story.returncode == 1
    assert story.seconds_to_end < DEATH_LIMIT_S
    assert "the run failed at step " in story.last_screen and f" of {100 * STEPS_PER_EPOCH}: " in story.last_screen
    assert "vllm_server_0_0: its vLLM engine has died" in story.last_screen
    assert "to go on: " in story.last_screen


@pytest.mark.long
def test_ctrl_c_ends_a_run_with_130_and_no_traceback_and_says_what_goes_on(story):
    ending = story.interrupted_log[story.interrupted_log.rindex("sinternal_verl: the run ") :]

    assert story.interrupted == 130
    assert ending.startswith("sinternal_verl: the run was ended by SIGINT at step ")
    assert f"/checkpoints/global_step_{story.saved[0]}\n" in ending
    assert "'+sinternal.scorers.flaky={path: my_scorer.py, sources: [world/addition], one_in: 10}'" in ending
    assert "Traceback" not in ending and "KeyboardInterrupt" not in story.interrupted_log


@pytest.mark.long
def test_nothing_large_is_left_running(story):
    assert story.left_over == []


@pytest.mark.long
def test_a_report_knows_each_start_and_reads_the_dumps_of_the_last_ones(story, whole_run):
    """The recipe's own folder of dumps, beside the checkpoints."""
    run = read_run(whole_run.folder / "checkpoints")

    assert [start.step for start in run.starts] == [0, *story.saved]
    counts = dict(enumerate(np.bincount(run.rollouts.step)[1:].tolist(), 1))
    # verl dumps a step after its checkpoint, too: a kill between the two leaves that one step without rollouts.
    missing = {step for step, count in counts.items() if not count}
    assert max(counts) == max(story.numbers) and missing <= set(story.saved)
    assert {counts[step] for step in counts.keys() - missing} == {ROLLOUTS}
