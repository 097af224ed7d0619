"""The Hydra callback of our recipes: verl's own mains run the checks before they do anything else."""

import os
import sys
import time
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from sinternal_verl.doctor.checkpoints import checkpoint_folder, write_record
from sinternal_verl.doctor.checks import find_problems
from sinternal_verl.doctor.problem import get, is_ppo, report
from sinternal_verl.doctor.resources import existing_cluster

EXIT_CODE = 2

REPORT_WAIT_S = 30
"""How long another torchrun rank leaves rank 0 to print: torchrun ends all ranks when one exits."""


METRICS_PATH = "VERL_FILE_LOGGER_PATH"


def name_metrics_file(config: DictConfig) -> None:
    """Give each start its own metrics file: verl's logger empties the file of an earlier one.

    Workers of an existing Ray cluster do not inherit this process's environment: there verl's own
    choice stands, ``sinternal/<experiment>.jsonl`` where its task runner happens to run.
    """
    joins = is_ppo(config) and existing_cluster(config) is not None
    folder = checkpoint_folder(config)
    if METRICS_PATH in os.environ or joins or folder is None or "file" not in get(config, "trainer.logger", []):
        return
    os.environ[METRICS_PATH] = str(folder.absolute() / f"metrics_{time.strftime('%Y%m%d_%H%M%S')}.jsonl")
    print(f"sinternal_verl: metrics go to {os.environ[METRICS_PATH]}", file=sys.stderr, flush=True)


class StartCheck(Callback):
    """Checks the configuration when Hydra starts the job; ends the process with code 2 on problems.

    Hydra turns an exception of a callback into a warning and runs the job, so only ``SystemExit``
    gets through.
    """

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        # The GRPO main has no ranks; a cluster's scheduler may have set RANK all the same.
        rank, local_rank = (0, 0) if is_ppo(config) else (int(os.environ.get(r, 0)) for r in ("RANK", "LOCAL_RANK"))
        problems = find_problems(config)
        if rank == 0 and not problems:
            problems = write_record(config)
        if problems:
            if rank != 0:
                time.sleep(REPORT_WAIT_S)
            # Another node's rank that is still here after the wait sees what rank 0 does not.
            if rank == 0 or local_rank == 0:
                print(report(problems), file=sys.stderr, flush=True)
            raise SystemExit(EXIT_CODE)
        if rank == 0:
            name_metrics_file(config)
        if is_ppo(config):
            from sinternal_verl.training.watchdog import watch_this_run

            watch_this_run()

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if is_ppo(config):
            from sinternal_verl.training.watchdog import end_of_run

            failed = job_return.status == JobStatus.FAILED
            end_of_run(job_return._return_value if failed else None)
