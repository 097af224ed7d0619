"""The Hydra callback of our recipes: verl's own mains run the checks before they do anything else."""

import os
import sys
import time
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from sinternal_verl.doctor.checkpoints import checkpoint_folder, write_record
from sinternal_verl.doctor.checks import run_checks
from sinternal_verl.doctor.problem import get, is_ppo, problems_of, report
from sinternal_verl.training.metrics_file import METRICS_FILE

EXIT_CODE = 2

REPORT_WAIT_S = 30
"""How long another torchrun rank leaves rank 0 to print: torchrun ends all ranks when one exits."""

METRICS_PATH = "VERL_FILE_LOGGER_PATH"
OURS = "sinternal"
"""How the names of our trainers begin."""


def name_metrics_file(config: DictConfig) -> None:
    """Say where the metrics go. Our trainer keeps one file over all starts; the SFT main has verl's
    logger only, which empties the file of an earlier start: there each start gets a file of its own."""
    folder = checkpoint_folder(config)
    if folder is None:
        return
    if is_ppo(config):
        path = folder.absolute() / METRICS_FILE if get(config, "trainer.v1.trainer_mode", "").startswith(OURS) else None
    elif METRICS_PATH in os.environ or "file" not in get(config, "trainer.logger", []):
        path = None
    else:
        path = folder.absolute() / f"metrics_{time.strftime('%Y%m%d_%H%M%S')}.jsonl"
        os.environ[METRICS_PATH] = str(path)
    if path:
        print(f"sinternal_verl: metrics go to {path}", file=sys.stderr, flush=True)


class StartCheck(Callback):
    """Checks the configuration when Hydra starts the job; ends the process with code 2 on problems.

    Hydra turns an exception of a callback into a warning and runs the job, so only ``SystemExit``
    gets through.
    """

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        # The GRPO main has no ranks; a cluster's scheduler may have set RANK all the same.
        rank, local_rank = (0, 0) if is_ppo(config) else (int(os.environ.get(r, 0)) for r in ("RANK", "LOCAL_RANK"))
        found = run_checks(config)
        if rank == 0 and not problems_of(found):
            found += write_record(config)
        if problems_of(found):
            if rank != 0:
                time.sleep(REPORT_WAIT_S)
            # Another node's rank that is still here after the wait sees what rank 0 does not.
            if rank == 0 or local_rank == 0:
                print(report(found), file=sys.stderr, flush=True)
            raise SystemExit(EXIT_CODE)
        if rank == 0:
            if found:
                print(report(found), file=sys.stderr, flush=True)
            name_metrics_file(config)
        if is_ppo(config):
            from sinternal_verl.training.watchdog import watch_this_run

            watch_this_run()

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if is_ppo(config):
            from sinternal_verl.training.watchdog import end_of_run

            failed = job_return.status == JobStatus.FAILED
            end_of_run(job_return._return_value if failed else None)
