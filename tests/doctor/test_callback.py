"""What the start of a run does with the checks, without starting one."""

import os

import pytest

from sinternal_verl.doctor import callback, checks
from sinternal_verl.doctor.checkpoints import RECORD
from sinternal_verl.doctor.problem import Note


@pytest.fixture(autouse=True)
def no_metrics_path(monkeypatch):
    # set and deleted, so that monkeypatch also removes what the code under test sets
    monkeypatch.setenv(callback.METRICS_PATH, "")
    monkeypatch.delenv(callback.METRICS_PATH)


def start(config) -> None:
    callback.StartCheck().on_job_start(config)


def test_a_sound_run_leaves_its_record_and_names_its_metrics_file(sft_config, tmp_path):
    start(sft_config())

    assert (tmp_path / "checkpoints" / RECORD).is_file()
    assert os.environ[callback.METRICS_PATH].startswith(str(tmp_path / "checkpoints" / "metrics_"))


def test_a_metrics_file_the_user_has_named_stays(sft_config, monkeypatch):
    monkeypatch.setenv(callback.METRICS_PATH, "/mine.jsonl")
    start(sft_config())

    assert os.environ[callback.METRICS_PATH] == "/mine.jsonl"


def test_on_an_existing_cluster_no_file_is_promised(grpo_config):
    config = grpo_config("ray_kwargs.ray_init.address=10.0.0.1:6379")
    callback.name_metrics_file(config)

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


def test_a_checkpoint_url_gets_no_local_metrics_file(sft_config):
    callback.name_metrics_file(sft_config("trainer.default_local_dir=hdfs://cluster/checkpoints"))

    assert callback.METRICS_PATH not in os.environ


def test_a_warning_is_shown_and_the_run_starts(sft_config, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(checks, "COMMON", (lambda config: [Note("a.key", 1, "is doubtful", "look at it")],))
    start(sft_config())

    assert "a.key = 1\n     is doubtful" in capsys.readouterr().err
    assert (tmp_path / "checkpoints" / RECORD).is_file()
