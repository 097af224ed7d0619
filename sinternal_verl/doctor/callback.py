"""The Hydra callback of our recipes. With it verl's own mains run the checks before they do anything else, and
report at their end how the run ended."""

import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from sinternal_verl.config import get, is_ppo
from sinternal_verl.doctor.checkpoints import write_record
from sinternal_verl.doctor.checks import run_checks
from sinternal_verl.doctor.flash_attn import attention_line
from sinternal_verl.doctor.problem import problems_of, report
from sinternal_verl.runs.command import typed_command
from sinternal_verl.runs.ending import Run, begin_run, end_run
from sinternal_verl.runs.record import checkpoint_folder
from sinternal_verl.runs.signals import end_on_signals
from sinternal_verl.runs.start import begin_start, say_up
from sinternal_verl.runs.tracking import step_to_resume, write_beside
from sinternal_verl.training.metrics_file import METRICS_FILE

EXIT_CODE = 2
SHORT_EXIT_CODE = 1
"""The exit code of a run that ended without an error, but before its last step."""

REPORT_WAIT_S = 30
"""How long the other ranks let rank 0 print before they exit: torchrun ends all ranks when one exits."""

METRICS_PATH = "VERL_FILE_LOGGER_PATH"
OURS = "sinternal"
"""The names of our trainers begin with it."""


def has_our_trainer(config: DictConfig) -> bool:
    """Whether one of our trainers runs, and not one of verl's."""
    return is_ppo(config) and get(config, "trainer.v1.trainer_mode", "").startswith(OURS)


def choose_metrics_file(config: DictConfig, start: str) -> Path | None:
    """The file for the metrics; None where none is written. Our trainer keeps one file over all starts. The SFT main
    has only verl's logger, which empties the file of an earlier start, so each start gets a file of its own.

    Args:
        start: when the run started, for the file's name.
    """
    folder = checkpoint_folder(config)
    if folder is None:
        return None
    if is_ppo(config):
        return folder.absolute() / METRICS_FILE if has_our_trainer(config) else None
    if "file" not in get(config, "trainer.logger", []):
        return None
    return Path(os.environ.setdefault(METRICS_PATH, str(folder.absolute() / f"metrics_{start}.jsonl"))).absolute()


def command_that_goes_on(config: DictConfig) -> str:
    """The command that the user typed, with overrides added where it would not go on from the last checkpoint."""
    words = [typed_command()]
    if get(config, "trainer.resume_mode", "auto") != "auto":
        words.append("trainer.resume_mode=auto")
    if get(config, "trainer.resume_from_path"):
        words.append("trainer.resume_from_path=null")
    return " ".join(words)


class StartCheck(Callback):
    """Checks the configuration when Hydra starts the job; ends the process with code 2 on problems.

    Hydra turns an exception of a callback into a warning and runs the job, so only ``SystemExit``
    gets through.
    """

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            self._start(config)
        except Exception as error:
            # Hydra would turn it into a warning and start the run without checks, watchdog and closing lines.
            traceback.print_exc()
            raise SystemExit(EXIT_CODE) from error

    def _start(self, config: DictConfig) -> None:
        begin_start()
        # The GRPO main has no ranks, but a cluster's scheduler may have set RANK.
        rank, local_rank = (0, 0) if is_ppo(config) else (int(os.environ.get(r, 0)) for r in ("RANK", "LOCAL_RANK"))
        start, folder = time.strftime("%Y%m%d_%H%M%S"), checkpoint_folder(config)
        found = run_checks(config)
        if rank == 0 and not problems_of(found):
            metrics = choose_metrics_file(config, start)
            configuration = folder and folder.absolute() / f"config_{start}.yaml"
            found += write_record(config, metrics, configuration)
        if problems_of(found):
            if rank != 0:
                time.sleep(REPORT_WAIT_S)
            # A rank of another node that still runs after the wait has found a problem that rank 0 has not.
            if rank == 0 or local_rank == 0:
                print(report(found), file=sys.stderr, flush=True)
            raise SystemExit(EXIT_CODE)
        if rank == 0:
            if found:
                print(report(found), file=sys.stderr, flush=True)
            if line := attention_line(config):
                print(line, file=sys.stderr, flush=True)
            for what, file in (("metrics go to", metrics), ("the resolved configuration is in", configuration)):
                if file:
                    print(f"sinternal_verl: {what} {file}", file=sys.stderr, flush=True)
        epochs, total_steps = config.trainer.total_epochs, get(config, "trainer.total_training_steps")
        begin_run(
            Run(
                folder=folder and folder.absolute(),
                command=command_that_goes_on(config),
                more="" if total_steps else f"trainer.total_epochs={epochs + 1}",
                epochs=epochs,
                total_steps=total_steps,
                trains=not get(config, "trainer.val_only", False),
                speaks=rank == 0,
            )
        )
        end_on_signals()
        if rank == 0 and folder and not has_our_trainer(config):
            # Our trainers do this themselves, in the process that logs. verl's inherit it from this one.
            write_beside(config, folder, step_to_resume(config, folder))
        if not is_ppo(config):
            # verl's SFT main reads no seed, so an adapter would begin with other weights at each start. (verl 0.9.1)
            torch.manual_seed(get(config, "trainer.seed", 1))
        if is_ppo(config):
            from sinternal_verl.training.watchdog import watch_this_run

            watch_this_run()
            say_up("checks")

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        error = job_return._return_value if job_return.status == JobStatus.FAILED else None
        dead = {}
        if is_ppo(config):
            from sinternal_verl.training.watchdog import who_died

            dead = who_died(error)
        if not end_run(error, dead) and error is None:
            raise SystemExit(SHORT_EXIT_CODE)
