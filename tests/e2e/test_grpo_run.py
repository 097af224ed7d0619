"""verl's GRPO main with our CPU recipe, as a user runs it: a reward file of one's own, a kill -9 in
the middle, the same command again, and a rollout engine that dies. One story, two starts of the main."""

import time
from pathlib import Path

import pytest
from processes import descendants, end_all, named, start, wait_for

from sinternal_verl.curves import Step, read_steps
from sinternal_verl.doctor.checkpoints import TRACKER
from sinternal_verl.launch import grpo_command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

START_LIMIT_S = 300
DEATH_LIMIT_S = 180

MY_REWARD = """
def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    return 0.25
"""


class Story:
    """What the two runs left behind."""

    saved: int
    resumed: list[Step]
    returncode: int
    seconds_to_end: float
    last_screen: str
    left_over: list[str]


@pytest.fixture(scope="module")
def story(world, tmp_path_factory) -> Story:
    folder: Path = tmp_path_factory.mktemp("grpo")
    (folder / "my_reward.py").write_text(MY_REWARD)
    command = grpo_command(
        "+recipe=sinternal_grpo_cpu",
        f"actor_rollout_ref.model.path={world['policy']}",
        f"data.train_files={world['train']}",
        f"data.val_files={world['held_out']}",
        "data.train_batch_size=8",
        "actor_rollout_ref.rollout.n=4",
        "data.max_prompt_length=32",
        "data.max_response_length=16",
        "reward.custom_reward_function.path=my_reward.py",
        "trainer.val_before_train=false",
        "trainer.test_freq=-1",
        "trainer.save_freq=1",
        "trainer.default_local_dir=checkpoints",
    )
    story, seen = Story(), []
    try:
        log = folder / "first.log"
        first = start(command, log, folder, VERL_FILE_LOGGER_PATH=str(folder / "first.jsonl"))
        wait_for(lambda: _saved(folder) >= 2, first, log, START_LIMIT_S)
        seen += descendants(first)
        first.kill()
        first.wait(20)
        end_all(seen)
        story.saved = _saved(folder)

        log, metrics = folder / "second.log", folder / "second.jsonl"
        second = start(command, log, folder, VERL_FILE_LOGGER_PATH=str(metrics))
        wait_for(lambda: len(read_steps(metrics)) >= 1, second, log, START_LIMIT_S)
        story.resumed = read_steps(metrics)
        seen += descendants(second)
        named(descendants(second), "EngineCore").kill()
        killed = time.monotonic()
        story.returncode = second.wait(DEATH_LIMIT_S)
        story.seconds_to_end = time.monotonic() - killed
        story.last_screen = "\n".join(log.read_text().splitlines()[-5:])
        time.sleep(15)
        story.left_over = [p.name() for p in seen if p.is_running() and p.memory_info().rss > 300 * 2**20]
        return story
    finally:
        end_all(seen)


def _saved(folder: Path) -> int:
    tracker = folder / "checkpoints" / TRACKER
    return int(tracker.read_text() or 0) if tracker.exists() else 0


def test_after_kill_9_the_same_command_goes_on_from_the_last_checkpoint(story):
    assert story.resumed[0].number == story.saved + 1
    assert story.resumed[0].metrics["training/global_step"] == story.saved + 1


def test_a_reward_file_of_ones_own_just_works(story):
    assert story.resumed[0].metrics["critic/score/mean"] == pytest.approx(0.25)


def test_a_dead_rollout_engine_ends_the_run_and_is_named_on_the_last_screen(story):
    assert story.returncode == 1
    assert story.seconds_to_end < DEATH_LIMIT_S
    assert "the run failed" in story.last_screen
    assert "vllm_server_0_0: its vLLM engine has died" in story.last_screen


def test_nothing_large_is_left_running(story):
    assert story.left_over == []
