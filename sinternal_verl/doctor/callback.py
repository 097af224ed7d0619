"""The Hydra callback of our recipes: verl's own mains run the checks before they do anything else."""

import os
import sys
import time
import traceback
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from sinternal_verl.doctor.checkpoints import write_record
from sinternal_verl.doctor.checks import find_problems
from sinternal_verl.doctor.problem import is_ppo, report

EXIT_CODE = 2

REPORT_WAIT_S = 30
"""How long another torchrun rank leaves rank 0 to print: torchrun ends all ranks when one exits."""


class StartCheck(Callback):
    """Checks the configuration when Hydra starts the job; ends the process with code 2 on problems.

    Hydra turns an exception of a callback into a warning and runs the job, so only ``SystemExit``
    gets through.
    """

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            problems = find_problems(config)
        # A fault in a check must not let an unchecked run start.
        except Exception:
            traceback.print_exc()
            print("sinternal_verl: a check itself failed (above); please report it", file=sys.stderr, flush=True)
            raise SystemExit(EXIT_CODE) from None
        # The GRPO main has no ranks; a cluster's scheduler may have set RANK all the same.
        rank = 0 if is_ppo(config) else int(os.environ.get("RANK", 0))
        if problems:
            if rank == 0:
                print(report(problems), file=sys.stderr, flush=True)
            else:
                time.sleep(REPORT_WAIT_S)
            raise SystemExit(EXIT_CODE)
        if rank == 0:
            write_record(config)
        if is_ppo(config):
            from sinternal_verl.training.watchdog import watch_this_run

            watch_this_run()

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if is_ppo(config):
            from sinternal_verl.training.watchdog import end_of_run

            failed = job_return.status == JobStatus.FAILED
            end_of_run(job_return._return_value if failed else None)
