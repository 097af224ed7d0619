"""What the start of a run does with the checks, without starting one."""

import json
import os
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
import torch
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from sinternal_verl.doctor import callback, checks
from sinternal_verl.doctor.checkpoints import RECORD, TRACKER
from sinternal_verl.doctor.problem import Note
from sinternal_verl.runs.command import typed_command


@pytest.fixture(autouse=True)
def no_metrics_path(monkeypatch):
    # set and deleted, so that monkeypatch also removes what the code under test sets
    monkeypatch.setenv(callback.METRICS_PATH, "")
    monkeypatch.delenv(callback.METRICS_PATH)


@pytest.fixture(autouse=True)
def begun(monkeypatch):
    """What the start says of the run. It belongs to a process of its own: signals and exit are left alone."""
    begun = SimpleNamespace(run=None)
    monkeypatch.setattr(callback, "begin_run", lambda run: setattr(begun, "run", run))
    monkeypatch.setattr(callback, "end_on_signals", lambda: None)
    return begun


def start(config) -> None:
    callback.StartCheck().on_job_start(config)


def test_a_sound_run_leaves_its_record_and_names_its_metrics_file(sft_config, tmp_path):
    start(sft_config())

    assert (tmp_path / "checkpoints" / RECORD).is_file()
    assert os.environ[callback.METRICS_PATH].startswith(str(tmp_path / "checkpoints" / "metrics_"))


def test_every_start_is_in_the_record_with_its_step_and_command_and_the_machine(sft_config, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "16")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    folder = tmp_path / "checkpoints"
    start(sft_config())
    (folder / TRACKER).write_text("20")
    start(sft_config())
    start(sft_config("trainer.resume_mode=disable"))
    record = json.loads((folder / RECORD).read_text())

    assert [one["from_step"] for one in record["starts"]] == [0, 20, 0]
    assert all(one["trains"] and one["command"] == typed_command() for one in record["starts"])
    assert all(datetime.fromisoformat(one["time"]).utcoffset() == timedelta(0) for one in record["starts"])
    assert record["hardware"]["nodes"] == 2 and record["hardware"]["gpus"] == []
    assert record["hardware"]["memory_gb"] > 1 and record["hardware"]["cpus"] >= 1 and record["hardware"]["cpu"]


def test_a_metrics_file_the_user_has_named_stays(sft_config, monkeypatch, begun):
    monkeypatch.setenv(callback.METRICS_PATH, "/mine.jsonl")
    start(sft_config())

    assert os.environ[callback.METRICS_PATH] == "/mine.jsonl" == str(begun.run.file("metrics"))


def test_the_resolved_configuration_is_in_a_file_and_the_start_names_it(sft_config, tmp_path, capsys, begun):
    start(sft_config("trainer.experiment_name=${trainer.project_name}_1"))
    (file,) = (tmp_path / "checkpoints").glob("config_*.yaml")
    written = OmegaConf.load(file)

    assert written.trainer.experiment_name == "sinternal_1" and "hydra" not in written
    assert str(file) in capsys.readouterr().err
    assert begun.run.file("configuration") == file
    assert json.loads((tmp_path / "checkpoints" / RECORD).read_text())["configuration"] == file.name


def test_a_value_that_cannot_be_resolved_ends_the_process_with_2(sft_config, capsys):
    with pytest.raises(SystemExit) as ended:
        start(sft_config("trainer.experiment_name=${oc.env:NO_SUCH_VARIABLE}"))

    assert ended.value.code == 2
    assert "trainer.experiment_name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "goes_on"),
    [
        ([], ""),
        (["trainer.resume_mode=disable"], " trainer.resume_mode=auto"),
        (["trainer.resume_from_path=/a/global_step_5"], " trainer.resume_from_path=null"),
    ],
)
def test_the_command_that_goes_on_resumes_the_last_checkpoint(sft_config, monkeypatch, overrides, goes_on):
    monkeypatch.setattr(callback, "typed_command", lambda: "torchrun -m main")

    assert callback.command_that_goes_on(sft_config(*overrides)) == "torchrun -m main" + goes_on


@pytest.mark.parametrize(
    ("status", "done", "code"), [("COMPLETED", True, None), ("COMPLETED", False, 1), ("FAILED", False, None)]
)
def test_a_job_without_an_error_that_ends_early_does_not_exit_with_0(sft_config, monkeypatch, status, done, code):
    """With one, Hydra raises it."""
    monkeypatch.setattr(callback, "end_run", lambda error, dead: done)
    job_return = JobReturn(status=JobStatus[status], _return_value=ValueError())
    if code is None:
        callback.StartCheck().on_job_end(sft_config(), job_return)
    else:
        with pytest.raises(SystemExit) as ended:
            callback.StartCheck().on_job_end(sft_config(), job_return)
        assert ended.value.code == code


@pytest.mark.parametrize(
    ("main", "overrides", "here"),
    [
        ("sft", [], True),
        ("grpo", ["trainer.v1.trainer_mode=sync"], True),
        ("grpo", ["trainer.v1.trainer_mode=sinternal"], False),
    ],
)
def test_the_driver_says_where_backends_write_unless_our_trainer_does(
    sft_config, grpo_config, monkeypatch, main, overrides, here
):
    from sinternal_verl.training import watchdog

    monkeypatch.setattr(watchdog, "watch_this_run", lambda: None)
    placed = []
    monkeypatch.setattr(callback, "write_beside", lambda config, folder, done: placed.append((folder.name, done)))
    start({"sft": sft_config, "grpo": grpo_config}[main](*overrides))

    assert placed == ([("checkpoints", 0)] if here else [])


def test_on_an_existing_cluster_no_file_is_promised(grpo_config):
    config = grpo_config("ray_kwargs.ray_init.address=10.0.0.1:6379")
    callback.choose_metrics_file(config, "now")

    assert callback.METRICS_PATH not in os.environ


def test_problems_end_the_process_with_2_after_a_report(sft_config, capsys):
    with pytest.raises(SystemExit) as ended:
        start(sft_config("model.path=/nowhere"))

    assert ended.value.code == 2
    assert "/nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(("local_rank", "reports"), [("0", 1), ("1", 0)])
def test_another_rank_waits_and_only_the_first_of_its_node_reports(
    sft_config, monkeypatch, capsys, local_rank, reports
):
    monkeypatch.setattr(callback, "REPORT_WAIT_S", 0)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("LOCAL_RANK", local_rank)
    with pytest.raises(SystemExit):
        start(sft_config("model.path=/nowhere"))

    assert capsys.readouterr().err.count("in the configuration") == reports


def test_a_folder_that_cannot_be_written_is_a_problem(sft_config, tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        start(sft_config(f"trainer.default_local_dir={tmp_path / 'file' / 'checkpoints'}"))

    assert "cannot be written" in capsys.readouterr().err


def test_a_fault_in_a_check_does_not_let_an_unchecked_run_start(sft_config, monkeypatch, capsys):
    """Hydra would turn the exception into a warning and run the job."""

    def faulty(config):
        raise AttributeError("a fault of its own")

    monkeypatch.setattr(checks, "COMMON", (faulty,))
    with pytest.raises(SystemExit) as ended:
        start(sft_config())

    assert ended.value.code == 2
    assert "a fault of its own" in capsys.readouterr().err


def test_the_seed_of_an_sft_run_is_that_of_an_adapters_first_weights(sft_config, tmp_path):
    def first_weights(folder: str, seed: int) -> list[float]:
        start(sft_config(f"trainer.seed={seed}", f"trainer.default_local_dir={tmp_path / folder}"))
        return torch.rand(8).tolist()

    first, again, other = first_weights("first", 1), first_weights("again", 1), first_weights("other", 2)

    assert first == again != other


def test_a_checkpoint_url_gets_no_local_metrics_file(sft_config):
    callback.choose_metrics_file(sft_config("trainer.default_local_dir=hdfs://cluster/checkpoints"), "now")

    assert callback.METRICS_PATH not in os.environ


def test_a_warning_is_shown_and_the_run_starts(sft_config, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(checks, "COMMON", (lambda config: [Note("a.key", 1, "is doubtful", "look at it")],))
    start(sft_config())

    assert "a.key = 1\n     is doubtful" in capsys.readouterr().err
    assert (tmp_path / "checkpoints" / RECORD).is_file()
