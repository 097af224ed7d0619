"""Do the batch sizes divide? Where they do not, verl pads the batch or fails, after the first rollout."""

import math
import os
from collections.abc import Iterator

from omegaconf import DictConfig

from sinternal_verl.config import get, is_ppo, sequence_parallel_size
from sinternal_verl.doctor.problem import Problem


def check_batches(config: DictConfig) -> Iterator[Problem]:
    """Check batch, mini-batch and micro-batch sizes against the number of training processes."""
    yield from (_grpo if is_ppo(config) else _sft)(config)


def _grpo(config: DictConfig) -> Iterator[Problem]:
    actor, rollout = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
    gpus = get(config, "trainer.n_gpus_per_node", 0) * get(config, "trainer.nnodes", 0)
    batch, samples = get(config, "data.train_batch_size", 0), get(config, f"{rollout}.n", 1)
    mini = get(config, f"{actor}.ppo_mini_batch_size", 0)
    tensor = get(config, f"{rollout}.tensor_model_parallel_size", 1)
    if not (gpus and batch and mini):
        return
    if gpus % tensor:
        reason = f"{gpus} training GPUs do not divide into engines of {tensor}"
        yield Problem(f"{rollout}.tensor_model_parallel_size", tensor, reason, f"choose a divisor of {gpus}")
    if mini > batch or batch % mini:
        reason = f"data.train_batch_size={batch} is no multiple of it"
        yield Problem(f"{actor}.ppo_mini_batch_size", mini, reason, f"choose a divisor of {batch}")
        return
    if get(config, f"{actor}.strategy", "fsdp") not in ("fsdp", "fsdp2"):
        return  # other engines split the GPUs by more than sequence parallelism
    ranks = gpus // sequence_parallel_size(config) or 1
    rows, multiple = batch * samples, math.lcm(ranks, mini * samples)
    if rows % multiple:
        padded = math.ceil(rows / multiple) * multiple
        reason = f"{rows} rows a step do not divide by {ranks} processes: verl would pad them to {padded}"
        step = f"choose a batch whose rows ({batch} prompts x n={samples}) divide by {ranks}, or another number of GPUs"
        yield Problem("trainer.n_gpus_per_node", get(config, "trainer.n_gpus_per_node"), reason, step)
    if not get(config, f"{actor}.use_dynamic_bsz", False):
        micro, on_rank = get(config, f"{actor}.ppo_micro_batch_size_per_gpu"), mini * samples // ranks
        if micro is None:
            step = f"set it to a divisor of {on_rank}, or {actor}.use_dynamic_bsz=true"
            yield Problem(f"{actor}.ppo_micro_batch_size_per_gpu", "null", "needed without dynamic batches", step)
        elif on_rank % micro:
            reason = f"the {on_rank} rows a process updates on do not divide by it"
            yield Problem(f"{actor}.ppo_micro_batch_size_per_gpu", micro, reason, f"choose a divisor of {on_rank}")
        log_prob = f"{rollout}.log_prob_micro_batch_size_per_gpu"
        if get(config, log_prob) is None:
            yield Problem(log_prob, "null", "needed without dynamic batches", f"set it, e.g. to {micro or on_rank}")


def _sft(config: DictConfig) -> Iterator[Problem]:
    if get(config, "engine.strategy", "fsdp") not in ("fsdp", "fsdp2"):
        return
    configured = get(config, "trainer.n_gpus_per_node", 1) * get(config, "trainer.nnodes", 1)
    ranks = int(os.environ.get("WORLD_SIZE", configured))
    ranks = ranks // get(config, "engine.ulysses_sequence_parallel_size", 1) or 1
    batch, micro = get(config, "data.train_batch_size", 0), get(config, "data.micro_batch_size_per_gpu")
    if batch % ranks:
        step = f"choose a multiple of {ranks}"
        yield Problem("data.train_batch_size", batch, f"does not divide by {ranks} processes", step)
    elif not get(config, "data.use_dynamic_bsz", False) and micro and (batch // ranks) % micro:
        reason = f"the {batch // ranks} rows of a process do not divide by it"
        yield Problem("data.micro_batch_size_per_gpu", micro, reason, f"choose a divisor of {batch // ranks}")
