"""Mends three faults of verl's SFT main when it resumes from a checkpoint.

verl 0.9.1's `CheckpointHandler` restores the state of the data loader without looking at it.

1. A state that was saved at the end of an epoch yields no batch: the run skips its next epoch and exits
   with 0. This is verl's issue #7401; its fix, PR #7974, is open. verl's ``ray_trainer.py`` leaves out the
   state there (PR #5725), and so does this module.
2. A state with another number of workers ends in torchdata's AssertionError, which names no key of verl's.
3. A run that has reached `trainer.total_training_steps` within its epochs trains one more step at each
   start.

The SFT main has no hook for this. It builds the handler itself and runs as ``__main__``, so the handler's
class is wrapped. The module can go once verl has the fix and points 2 and 3 have been tried with it.
"""

import os
from collections.abc import Callable

import torch
import wrapt
from verl.utils.checkpoint.checkpoint_handler import CheckpointHandler, extract_step
from verl.utils.distributed import destroy_global_process_group

from sinternal_verl.runs.ending import end_run, plan_steps
from sinternal_verl.training.loader_state import check_workers


@wrapt.patch_function_wrapper(CheckpointHandler, "_load_dataloader_state")
def load_unless_an_epoch_ended(wrapped: Callable, handler: CheckpointHandler, args: tuple, kwargs: dict) -> None:
    """Restore the state of the data loader only in the middle of an epoch.

    Raises:
        ValueError: the state was saved with another number of data loader workers.
    """
    folder = kwargs["checkpoint_path"] if kwargs else args[0]
    step, loader = extract_step(folder), handler.train_dataloader
    if step % len(loader) == 0:
        if handler.rank == 0:
            print(f"sinternal_verl: step {step} is the end of an epoch; a next one begins with its first batch")
        return
    file = os.path.join(folder, f"data_{handler.dp_rank}.pt")
    if os.path.exists(file):
        state = torch.load(file, map_location="cpu", weights_only=False)
        check_workers(state, loader.num_workers, "data.num_workers", folder)
    wrapped(*args, **kwargs)


@wrapt.patch_function_wrapper(CheckpointHandler, "load_checkpoint")
def load_and_plan(wrapped: Callable, handler: CheckpointHandler, args: tuple, kwargs: dict) -> int:
    """Record the run's last step; end the run where its checkpoint has reached that step."""
    step = wrapped(*args, **kwargs)
    last = plan_steps(len(handler.train_dataloader))
    if last is not None and step >= last:
        end_run(None)
        destroy_global_process_group()
        raise SystemExit(0)
    return step
