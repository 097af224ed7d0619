"""Where the backends of verl's ``trainer.logger`` write: beside the checkpoints, and a resumed run into its old curves.

verl's own defaults are folders that several runs share: ``/tmp/mlruns.db`` for mlflow, and folders below the working
directory of some process for tensorboard and wandb. Each backend reads an environment variable for this. `write_beside`
sets it in the process that logs, before verl's ``Tracking`` is made there. A variable that is set already stays.

============  =======================================================  ==============================================
backend       variables                                                how a resumed run continues
============  =======================================================  ==============================================
tensorboard   ``TENSORBOARD_DIR``                                      same folder; steps that run again are purged
wandb         ``WANDB_DIR``, ``WANDB_RUN_ID``, ``WANDB_RESUME``        same run
mlflow        ``MLFLOW_TRACKING_URI``, ``MLFLOW_RUN_ID``               same run; another one with a copy of the curves
                                                                       where the configuration has changed
swanlab       ``SWANLAB_LOG_DIR``                                      as another run
file          ``VERL_FILE_LOGGER_PATH``                                a file for each start
============  =======================================================  ==============================================

(verl 0.9.1; tensorboard 2.21, wandb 0.31 and mlflow 3.17 were run)
"""

import logging
import os
import re
import secrets
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sinternal_verl.config import get
from sinternal_verl.runs.record import last_checkpoint, read_record, update_record

logger = logging.getLogger(__name__)

WANDB_RUN, MLFLOW_RUN = "wandb_run", "mlflow_run"
"""Keys in the run's record: the ids under which its curves are known."""

MIN_CUT_PARAMETER = 500
"""Characters of the shortest value that mlflow may have cut; its servers differ in where they cut."""

MAX_MLFLOW_BATCH = 1000
"""Metrics that mlflow takes in one request."""


def backends_of(config: DictConfig) -> list[str]:
    """The names in ``trainer.logger``, which may be one word."""
    names = get(config, "trainer.logger") or []
    return [names] if isinstance(names, str) else list(names)


def write_beside(config: DictConfig, folder: Path, done: int) -> None:
    """Have the backends of this run write into ``folder``.

    Args:
        config: the whole configuration, as verl hands it to its ``Tracking``.
        folder: the checkpoint folder.
        done: the step of the checkpoint that this start resumes from; 0 for a run from scratch.
    """
    folder, backends = folder.absolute(), backends_of(config)
    folder.mkdir(parents=True, exist_ok=True)
    if "tensorboard" in backends and "TENSORBOARD_DIR" not in os.environ:
        _place_tensorboard(folder / "tensorboard", done)
    if "wandb" in backends:
        _place_wandb(folder, done)
    if "mlflow" in backends and "MLFLOW_RUN_ID" not in os.environ:
        _place_mlflow(config, folder, done)
    if "swanlab" in backends:
        os.environ.setdefault("SWANLAB_LOG_DIR", str(folder / "swanlog"))
    if "file" in backends:
        # verl's file logger empties its file at every start.
        name = f"metrics_{time.strftime('%Y%m%d_%H%M%S')}.jsonl"
        os.environ.setdefault("VERL_FILE_LOGGER_PATH", str(folder / name))


class FlushTensorBoard:
    """A backend of verl's ``Tracking`` that comes after tensorboard and flushes its writer. The writer does so only
    every two minutes, and a run that is killed would lose the points in between.

    Args:
        tensorboard: verl's own backend.
    """

    def __init__(self, tensorboard: Any) -> None:
        self._tensorboard = tensorboard

    def log(self, data: dict[str, Any], step: int) -> None:
        self._tensorboard.writer.flush()


def step_to_resume(config: DictConfig, folder: Path) -> int:
    """The step of the checkpoint from which either main will resume; 0 for a run from scratch. (verl 0.9.1)"""
    if get(config, "trainer.resume_mode", "auto") == "disable":
        return 0
    if path := get(config, "trainer.resume_from_path"):
        found = re.search(r"global_step_(\d+)", str(path))
        return int(found[1]) if found else 0
    return last_checkpoint(folder) or 0


def _place_tensorboard(folder: Path, done: int) -> None:
    from torch.utils.tensorboard import SummaryWriter

    os.environ["TENSORBOARD_DIR"] = str(folder)
    # Its one event tells TensorBoard to leave out what an earlier start logged of the steps that run again.
    SummaryWriter(str(folder), purge_step=done + 1 if done else 0).close()


def _place_wandb(folder: Path, done: int) -> None:
    os.environ.setdefault("WANDB_DIR", str(folder))
    if "WANDB_RUN_ID" in os.environ:
        return
    # wandb drops steps below a run's last one, so a run from scratch gets an id of its own.
    run = (read_record(folder).get(WANDB_RUN) if done else None) or secrets.token_hex(4)
    os.environ["WANDB_RUN_ID"] = run
    os.environ.setdefault("WANDB_RESUME", "allow")
    update_record(folder, **{WANDB_RUN: run})


def _place_mlflow(config: DictConfig, folder: Path, done: int) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    own = folder / "mlflow"
    if "MLFLOW_TRACKING_URI" not in os.environ:
        own.mkdir(exist_ok=True)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{own / 'mlflow.db'}"
    uri = os.environ["MLFLOW_TRACKING_URI"]
    try:
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(config.trainer.project_name)
        if experiment is not None:
            experiment_id = experiment.experiment_id
        else:
            # A local store would put tables of samples below the working directory.
            place = (own / "artifacts").as_uri() if uri.startswith("sqlite:") else None
            experiment_id = client.create_experiment(config.trainer.project_name, artifact_location=place)
        before = read_record(folder).get(MLFLOW_RUN) if done else None
        run = before if before and not _changed(client, before, config) else None
        if run is None:
            run = client.create_run(experiment_id, run_name=config.trainer.experiment_name).info.run_id
            if before:
                _copy_curves(client, before, run, done)
    except MlflowException as error:
        # verl tries again, and goes on without mlflow where that fails, too. So does this.
        logger.warning("mlflow at %s: %s: this start logs to a run of its own, if at all", uri, error)
        return
    os.environ["MLFLOW_RUN_ID"] = run
    update_record(folder, **{MLFLOW_RUN: run})


def _changed(client: Any, run: str, config: DictConfig) -> bool:
    """Whether mlflow would refuse the configuration as this run's: a parameter that was logged cannot change."""
    from verl.utils.tracking import _compute_mlflow_params_from_objects

    own = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    params = _compute_mlflow_params_from_objects(OmegaConf.to_container(own, resolve=True))
    logged = client.get_run(run).data.params
    both = [(str(params[key]), logged[key]) for key in params.keys() & logged.keys()]
    return any(new != old and not (len(old) >= MIN_CUT_PARAMETER and new.startswith(old)) for new, old in both)


def _copy_curves(client: Any, before: str, run: str, done: int) -> None:
    """Copy the metrics up to step ``done``."""
    points = [
        point
        for name in client.get_run(before).data.metrics
        for point in client.get_metric_history(before, name)
        if point.step <= done
    ]
    for start in range(0, len(points), MAX_MLFLOW_BATCH):
        client.log_batch(run, metrics=points[start : start + MAX_MLFLOW_BATCH])
