"""verl's SFT main with our recipe, an adapter on two processes that load with two workers each, as a user runs it. It
is ended in its second epoch, by SIGTERM and by Ctrl-C, and started again by the same command."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import descendants, end_all, start, wait_for

from sinternal_verl.runs.curves import Step, read_steps
from sinternal_verl.runs.launch import sft_command
from sinternal_verl.runs.record import last_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]

LIMIT_S = 240
STEPS_PER_EPOCH = 5
NAME = '"it\'s a test"'
"""What a shell has to be told in quotes."""

DATASET = """
import os, time
import torch.distributed
from sinternal_verl.data.sft import PromptCompletionDataset

class Slow(PromptCompletionDataset):
    '''Slow enough for a step to be seen; one that fails after a while on one process.'''

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.rank = torch.distributed.get_rank()
        self.read = 0

    def __getitem__(self, index):
        time.sleep(0.05)
        self.read += 1
        if os.environ.get("FAILS_ON") == str(self.rank) and self.read > 30:
            raise ValueError("row 7 cannot be read\\nFor help visit nowhere")
        return super().__getitem__(index)
"""


class Start:
    """One start of the main: its output, its exit code and the steps it logged."""

    def __init__(self, log: Path, code: int, metrics: Path) -> None:
        self.text, self.code = log.read_text(), code
        self.steps: dict[int, Step] = {step.number: step for step in read_steps(metrics)}
        at = self.text.find("\nsinternal_verl: the run ")
        self.ending = self.text[at:] if at >= 0 else ""


@pytest.fixture(scope="module")
def story(world, tmp_path_factory) -> dict[str, Start]:
    folder: Path = tmp_path_factory.mktemp("sft")
    (folder / "slow.py").write_text(DATASET)
    seen = []

    def run(name: str, checkpoints: str, until=None, end=None, change: str = "", **environment: str) -> Start:
        command = sft_command(
            "+recipe=sinternal_sft_cpu",
            f"model.path={world['policy']}",
            "model.lora_rank=8",
            f"data.train_files={world['sft']}",
            "data.train_batch_size=32",
            f"data.train_max_samples={32 * STEPS_PER_EPOCH + 7}",  # and seven rows are left over
            "data.max_length=128",
            "data.num_workers=2",
            "data.custom_cls.path=slow.py",
            "data.custom_cls.name=Slow",
            "optim.lr=3e-3",
            f"trainer.default_local_dir={checkpoints}",
            f"trainer.project_name={NAME}",
            *filter(None, [change]),
            processes=2,
        )
        log, metrics = folder / f"{name}.log", folder / f"{name}.jsonl"
        process = start(command, log, folder, VERL_FILE_LOGGER_PATH=str(metrics), **environment)
        try:
            if until:
                wait_for(lambda: until(metrics), process, log, LIMIT_S)
                seen.extend(descendants(process))
                end(process)
            return Start(log, process.wait(LIMIT_S), metrics)
        finally:
            process.poll() is None and process.kill()

    def epoch_two_began(metrics: Path) -> bool:
        return last_checkpoint(folder / "two") == STEPS_PER_EPOCH and any(
            step.number > STEPS_PER_EPOCH for step in read_steps(metrics)
        )

    try:
        found = {"whole": run("whole", "one")}
        assert found["whole"].code == 0, found["whole"].text[-3000:]
        found["terminated"] = run("terminated", "two", epoch_two_began, lambda process: process.terminate())
        found["exported"] = subprocess.run(
            [Path(sys.executable).with_name("sinternal-verl"), "export", "--checkpoint", "two", "--out", "exported"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        found["interrupted"] = run(
            "interrupted", "two", epoch_two_began, lambda process: os.killpg(process.pid, signal.SIGINT)
        )
        found["again"] = run("again", "two")
        found["done"] = run("done", "two")
        found["changed"] = run("changed", "two", change="optim.weight_decay=0")
        found["failed"] = run("failed", "three", FAILS_ON="1")
        return found
    finally:
        end_all(seen)


def test_the_steps_of_all_starts_are_those_of_a_run_that_was_not_ended(story):
    whole, before, again = (story[name].steps for name in ("whole", "terminated", "again"))

    assert list(whole) == list(range(1, 2 * STEPS_PER_EPOCH + 1))
    assert list(again) == list(range(STEPS_PER_EPOCH + 1, 2 * STEPS_PER_EPOCH + 1))
    for number, step in (before | again).items():
        for metric in ("train/loss", "train/grad_norm", "train/lr", "train/global_tokens"):
            assert step.metrics[metric] == pytest.approx(whole[number].metrics[metric], rel=1e-4)
    assert [story[name].code for name in ("whole", "again")] == [0, 0]


def test_a_run_that_is_done_trains_nothing_more_and_says_so(story):
    assert story["done"].steps == {} and story["done"].code == 0
    for name in ("whole", "again", "done"):
        assert "sinternal_verl: the run is done at step 10 of 10\n" in story[name].ending
        assert "global_step_10\n" in story[name].ending and "to export:" in story[name].ending


def test_another_configuration_does_not_start_in_the_folder_of_a_run(story):
    changed = story["changed"]

    assert changed.code == 1 and changed.steps == {}
    assert changed.text.count("optim.weight_decay: 0.01 -> 0\n") == 1, "only the first rank reports"
    assert "'sinternal.accept_changes=[optim.weight_decay]'" in changed.text


@pytest.mark.parametrize(("name", "signal_name"), [("terminated", "SIGTERM"), ("interrupted", "SIGINT")])
def test_a_run_that_is_told_to_end_closes_with_what_goes_on(story, name, signal_name):
    ending = story[name].ending

    assert story[name].code != 0
    assert ending.count("sinternal_verl: the run ") == 1, "only the first rank speaks"
    assert f"the run was ended by {signal_name} at step " in ending and " of 10" in ending
    assert "/two/global_step_5\n" in ending and f"/{name}.jsonl\n" in ending and "/two/config_" in ending
    (command,) = [line for line in ending.splitlines() if line.startswith("  to go on:")]
    words = shlex.split(command.removeprefix("  to go on:"))
    assert words[:3] == [sys.executable, "-m", "torch.distributed.run"]
    assert f"trainer.project_name={NAME}" in words
    # torchrun has a traceback of its own for Ctrl-C; the ranks have none.
    assert "sft_trainer.py" not in story[name].text.partition("Traceback")[2]


def test_export_warns_of_a_run_that_was_ended(story):
    exported = story["exported"]

    assert exported.returncode == 0, exported.stderr
    assert "global_step_5 is of a run that has not ended" in exported.stderr


def test_a_rank_that_fails_is_the_cause_on_the_last_screen(story):
    failed = story["failed"]
    last_screen = failed.text[failed.text.rindex("Root Cause") :]

    assert failed.code == 1
    assert "the run failed at step " in last_screen and " of 10: ValueError: " in last_screen
    assert "row 7 cannot be read" in last_screen
    assert "For help visit nowhere" in last_screen
    assert "checkpoint:     none in " in last_screen and "/failed.jsonl\n" in last_screen and "to go on:" in last_screen
