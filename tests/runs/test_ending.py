"""What a run says of its end, from the files of a run and from real exceptions."""

import json
import os
from types import SimpleNamespace
from unittest.mock import ANY

import pytest
from pydantic import BaseModel, ValidationError
from ray.exceptions import RayTaskError

from sinternal_verl.runs import ending
from sinternal_verl.runs.ending import Run, cause_of, describe, end_run, plan_steps
from sinternal_verl.runs.record import LAST_STEP, TRACKER, read_record, update_record

COMMAND = "torchrun -m verl.trainer.sft_trainer +recipe=sinternal_sft"


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """A function that begins a run with so many steps logged and saved, in a process that does not end."""
    monkeypatch.setattr(ending, "atexit", SimpleNamespace(register=lambda function: None))
    monkeypatch.setattr(ending, "_ending", None)
    monkeypatch.setattr(ending, "_closed", False)
    monkeypatch.setattr(ending, "_counts_steps", True)

    def begin(logged: int = 0, saved: int | None = None, last: int | None = None, **known) -> Run:
        folder, metrics = tmp_path / "it's here", tmp_path / "metrics.jsonl"
        folder.mkdir()
        lines = [json.dumps({"step": step, "data": {}}) + "\n" for step in range(1, logged + 1)]
        metrics.write_text("".join(lines) + '{"step": 99, "da')
        if saved is not None:
            (folder / TRACKER).write_text(str(saved))
        update_record(folder, metrics=str(metrics))
        if last is not None:
            update_record(folder, **{LAST_STEP: last})
        run = Run(folder=folder, command=COMMAND, more="trainer.total_epochs=3", **known)
        monkeypatch.setattr(ending, "_run", run)
        return run

    return begin


def test_a_run_that_failed_names_the_cause_its_files_and_the_command(begin, tmp_path, capsys):
    run = begin(logged=7, saved=5, last=10)
    update_record(run.folder, configuration="config.yaml")

    assert not end_run(ValueError("no such row"), {"reward_loop_worker_0": "killed"})
    ending.close_run()
    ending.close_run()
    assert capsys.readouterr().err.splitlines() == [
        "",
        "sinternal_verl: the run failed at step 7 of 10: ValueError: no such row",
        "  reward_loop_worker_0: killed",
        f"  checkpoint:     {run.folder}/global_step_5",
        f"  metrics:        {tmp_path / 'metrics.jsonl'}",
        f"  configuration:  {run.folder / 'config.yaml'}",
        f"  to go on:       {COMMAND}",
    ]


def test_a_run_that_is_done_names_what_comes_next(begin, tmp_path, capsys):
    begin(logged=10, saved=10, last=10)

    assert end_run(None)
    ending.close_run()
    text = capsys.readouterr().err
    assert "the run is done at step 10 of 10\n" in text
    folder = str(tmp_path / "it").replace("'", "") + "'\"'\"'s here"
    assert f"to export:      sinternal-verl export --checkpoint '{folder}' --out '{folder}_hf'" in text
    assert f"to go on:       {COMMAND} trainer.total_epochs=3\n" in text


@pytest.mark.parametrize(
    ("logged", "saved", "last", "done"),
    [
        (10, 10, 10, True),
        (10, None, 10, True),  # verl's GRPO main with save_freq=-1
        (9, 10, 10, True),  # ended between the last checkpoint and its line of metrics
        (5, 5, 10, False),
        (0, None, 10, False),
        (3, 3, None, True),  # not known, so nothing is said of it
    ],
)
def test_a_run_without_an_error_is_done_when_no_step_is_missing(begin, logged, saved, last, done):
    begin(logged, saved, last)

    assert end_run(None) is done


def test_a_driver_whose_trainer_is_elsewhere_leaves_it_to_the_trainer(begin, monkeypatch):
    """A shared file system may show it yesterday's files."""
    begin(logged=9, saved=5, last=10)
    monkeypatch.setattr(ending, "_counts_steps", False)

    assert end_run(None)


def test_a_run_that_ends_early_says_why(begin):
    begin(logged=5, saved=5, last=100, total_steps=100)
    end_run(None)

    assert (
        "the run ended early at step 5 of 100: there are no more batches; raise trainer.total_epochs" in ending._ending
    )


def test_a_run_that_only_validates_is_done_without_a_step(begin):
    begin(last=10, trains=False)

    assert end_run(None)
    assert "checkpoint" not in ending._ending


def test_only_the_first_rank_prints_and_every_rank_tells_torchrun(begin, monkeypatch, tmp_path, capsys):
    file = tmp_path / "error.json"
    monkeypatch.setenv(ending.TORCHRUN_ERROR_FILE, str(file))
    begin(logged=1, last=2, speaks=False)
    end_run(ValueError("of rank 1"))
    ending.close_run()

    assert capsys.readouterr().err == ""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

    screen = str(ChildFailedError("main", {1: ProcessFailure(1, os.getpid(), 1, str(file))}))
    assert "the run failed at step 1 of 2: ValueError: of rank 1" in screen and COMMAND in screen


@pytest.mark.parametrize(("total_steps", "last"), [(None, 10), (7, 7)])
def test_the_last_step_goes_into_the_record_and_the_rest_of_it_stays(begin, total_steps, last):
    run = begin(epochs=2, total_steps=total_steps)
    update_record(run.folder, identity={"a": 1})

    assert plan_steps(5) == last
    assert read_record(run.folder) == {"metrics": ANY, "identity": {"a": 1}, LAST_STEP: last}


def test_no_plan_is_made_for_a_run_that_has_not_begun_here(monkeypatch):
    monkeypatch.setattr(ending, "_run", Run())

    assert plan_steps(5) is None


class Model(BaseModel):
    length: int


def invalid() -> ValidationError:
    try:
        Model(length="long")
    except ValidationError as error:
        return error


def carried(cause: BaseException) -> RayTaskError:
    return RayTaskError("run", "Traceback of another process", cause, pid=1, ip="10.0.0.1").as_instanceof_cause()


def test_the_cause_is_type_and_message_and_not_its_last_line():
    text = cause_of(invalid())

    assert text.startswith("pydantic_core._pydantic_core.ValidationError: 1 validation error for Model\n")
    assert "input_value='long'" in text


@pytest.mark.parametrize("cause", [invalid(), KeyError("row"), RuntimeError("two\nlines")])
def test_of_a_failure_in_another_process_it_is_the_failure_itself(cause):
    assert cause_of(carried(carried(cause))) == cause_of(cause)


def test_a_long_message_keeps_its_beginning_and_its_end():
    text = cause_of(ValueError("\n".join([f"line {number}" for number in range(100)] + [100_000 * "x"])))

    assert "line 0\n" in text and "... (85 lines)" in text and "line 98" in text
    assert len(text) < 2 * ending.MAX_LINE_CHARACTERS


def test_a_run_of_which_nothing_is_known_still_says_how_it_ended():
    assert describe("failed", "ValueError: x").endswith("the run failed: ValueError: x")
