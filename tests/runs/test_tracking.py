"""Where the backends of verl's tracking write: beside the checkpoints, a user's own variable wins, and a resumed run
goes on with its curves. mlflow is tried where it is installed; see docs/logging.md."""

import os
import subprocess
import sys

import pytest
from omegaconf import OmegaConf
from torch.utils.tensorboard import SummaryWriter

from sinternal_verl.runs import tracking
from sinternal_verl.runs.record import TRACKER, read_record
from sinternal_verl.runs.tracking import FlushTensorBoard, step_to_resume, write_beside

VARIABLES = (
    "TENSORBOARD_DIR",
    "WANDB_DIR",
    "WANDB_RUN_ID",
    "WANDB_RESUME",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_RUN_ID",
    "SWANLAB_LOG_DIR",
    "VERL_FILE_LOGGER_PATH",
)


@pytest.fixture(autouse=True)
def start(monkeypatch):
    """A function that forgets what an earlier start has set, as a new process does."""

    def forget():
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)

    # Set once, so that what `write_beside` sets is taken back after the test.
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    forget()
    return forget


def config_of(*backends, **trainer):
    names = {"project_name": "sinternal", "experiment_name": "one"}
    return OmegaConf.create({"trainer": {"logger": list(backends), **names, **trainer}})


def test_without_a_backend_nothing_is_set(tmp_path):
    write_beside(config_of("console"), tmp_path, done=0)

    assert not set(VARIABLES) & set(os.environ)


@pytest.mark.parametrize(
    ("backend", "variable", "place"),
    [
        ("tensorboard", "TENSORBOARD_DIR", "tensorboard"),
        ("wandb", "WANDB_DIR", ""),
        ("swanlab", "SWANLAB_LOG_DIR", "swanlog"),
        ("file", "VERL_FILE_LOGGER_PATH", "metrics_"),
    ],
)
def test_each_backend_writes_into_the_checkpoint_folder_unless_the_user_says_where(
    tmp_path, monkeypatch, start, backend, variable, place
):
    monkeypatch.chdir(tmp_path)
    relative = (tmp_path / "new" / "run").relative_to(tmp_path)
    write_beside(config_of(backend), relative, done=0)
    assert os.environ[variable].startswith(str(tmp_path / "new" / "run" / place))

    start()
    monkeypatch.setenv(variable, "/elsewhere")
    write_beside(config_of(backend), relative, done=0)
    assert os.environ[variable] == "/elsewhere"


def test_one_word_is_one_backend(tmp_path):
    write_beside(OmegaConf.create({"trainer": {"logger": "tensorboard"}}), tmp_path, done=0)

    assert os.environ["TENSORBOARD_DIR"] == str(tmp_path / "tensorboard")


def curve(folder, name) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, round(event.value, 3)) for event in events.Scalars(name)]


@pytest.mark.parametrize(
    ("done", "steps"),
    [
        (2, [(0, 0.0), (1, 0.0), (2, 0.0), (3, 1.0), (4, 1.0)]),
        (0, [(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0)]),
    ],
)
def test_tensorboard_shows_each_step_once_with_what_the_last_start_logged(tmp_path, start, done, steps):
    name = "train/math@a:b (é)/reward/mean"

    def log(first, last, value):
        writer = SummaryWriter(os.environ["TENSORBOARD_DIR"])
        for step in range(first, last + 1):
            writer.add_scalar(name, value, step)
        writer.close()

    write_beside(config_of("tensorboard"), tmp_path, done=0)
    log(0, 3, value=0.0)
    start()
    write_beside(config_of("tensorboard"), tmp_path, done=done)
    log(done + 1 if done else 0, 4, value=1.0)

    assert curve(tmp_path / "tensorboard", name) == steps


def test_what_a_killed_run_has_logged_is_on_the_disk(tmp_path):
    from verl.utils.tracking import Tracking

    write_beside(config_of("tensorboard"), tmp_path, done=0)
    logging = Tracking("sinternal", "one", ["tensorboard"])
    logging.logger["flush"] = FlushTensorBoard(logging.logger["tensorboard"])
    for step in (1, 2):
        logging.log({"train/loss": 0.5}, step)

    assert curve(tmp_path / "tensorboard", "train/loss") == [(1, 0.5), (2, 0.5)]


def test_a_folder_of_the_users_is_not_purged(tmp_path, monkeypatch):
    """Other runs may write there."""
    monkeypatch.setenv("TENSORBOARD_DIR", str(tmp_path / "mine"))
    write_beside(config_of("tensorboard"), tmp_path, done=0)

    assert not (tmp_path / "mine").exists()


def test_wandb_resumes_the_run_of_the_checkpoint_and_begins_another_from_scratch(tmp_path, start):
    ids = []
    for done in (0, 3, 5, 0):
        start()
        write_beside(config_of("wandb"), tmp_path, done=done)
        ids.append(os.environ["WANDB_RUN_ID"])
        assert os.environ["WANDB_RESUME"] == "allow"
        assert read_record(tmp_path)[tracking.WANDB_RUN] == ids[-1]

    assert ids[0] == ids[1] == ids[2] != ids[3]


def test_a_run_of_wandb_that_the_user_names_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    write_beside(config_of("wandb"), tmp_path, done=0)

    assert os.environ["WANDB_RUN_ID"] == "mine" and "WANDB_RESUME" not in os.environ


LOGS = """
import sys
from pathlib import Path
from omegaconf import OmegaConf
from verl.utils.tracking import Tracking, ValidationGenerationsLogger
from sinternal_verl.runs.tracking import write_beside

folder, done, last, epochs, value = sys.argv[1], *map(int, sys.argv[2:])
names = {"project_name": "sinternal", "experiment_name": "one"}
config = OmegaConf.create({"trainer": {"logger": ["mlflow"], "total_epochs": epochs, **names}})
write_beside(config, Path(folder), done)
tracking = Tracking(*names.values(), ["mlflow"], OmegaConf.to_container(config))
for step in range(done + 1, last + 1):
    tracking.log({"train/math@a:b/reward/mean": value}, step)
ValidationGenerationsLogger(*names.values()).log(["mlflow"], [("in", "out", 1.0)], last)
"""


@pytest.fixture(scope="module")
def mlflow_runs(tmp_path_factory):
    """A run that logs three steps, resumes from its second with the same words, and once more with another epoch."""
    pytest.importorskip("mlflow", reason="mlflow is not installed, see docs/logging.md")
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow")
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    for numbers in (("0", "3", "1", "0"), ("2", "4", "1", "1"), ("4", "5", "2", "2")):
        subprocess.run([sys.executable, "-c", LOGS, folder / "run", *numbers], check=True, env=clean, cwd=folder)
    client = MlflowClient(f"sqlite:///{folder / 'run' / 'mlflow' / 'mlflow.db'}")
    (experiment,) = [found for found in client.search_experiments() if found.name == "sinternal"]
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    return folder, client, runs


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mlflow_resumes_a_run_and_copies_its_curve_where_the_configuration_has_changed(mlflow_runs):
    _, client, (first, second) = mlflow_runs

    def points(run):
        history = client.get_metric_history(run.info.run_id, "train/math_at_a:b/reward/mean")
        return sorted((point.step, point.value) for point in history)

    both_starts = [(1, 0.0), (2, 0.0), (3, 0.0), (3, 1.0), (4, 1.0)]
    assert points(first) == both_starts
    assert points(second) == [*both_starts, (5, 2.0)]
    assert first.data.params["trainer/total_epochs"] == "1" and second.data.params["trainer/total_epochs"] == "2"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mlflows_tables_of_samples_are_beside_the_checkpoint_too(mlflow_runs):
    folder, _, runs = mlflow_runs

    assert {path.name for path in folder.glob("run/mlflow/artifacts/*/artifacts/*")} == {
        "val_step3.json",
        "val_step4.json",
        "val_step5.json",
    }
    assert [path.name for path in folder.iterdir()] == ["run"]
    assert len(runs) == 2


@pytest.mark.parametrize(
    ("trainer", "step"),
    [
        ({}, 7),
        ({"resume_mode": "disable"}, 0),
        ({"resume_mode": "auto", "resume_from_path": "/a/global_step_5"}, 5),
        ({"resume_mode": "resume_path", "resume_from_path": "/a/global_step_12/"}, 12),
    ],
)
def test_the_step_from_which_the_sft_main_resumes(tmp_path, trainer, step):
    (tmp_path / TRACKER).write_text("7")

    assert step_to_resume(config_of("wandb", **trainer), tmp_path) == step


def test_without_a_checkpoint_a_run_begins_at_0(tmp_path):
    assert step_to_resume(config_of("wandb"), tmp_path) == 0
