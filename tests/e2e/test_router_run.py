"""verl's GRPO main with the guard behind verl's own reward-model server and router."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sinternal_verl.launch import grpo_command, run_main
from sinternal_verl.training.metrics_file import METRICS_FILE
from sinternal_verl.world import lighthouse

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]


def test_math_and_safety_are_scored_in_one_step(world, taught_guard, tmp_path):
    requests = pq.read_table(lighthouse.write_datasets(tmp_path / "requests", seed=1)["held_out"])
    mix: Path = tmp_path / "mix.parquet"
    pq.write_table(pa.concat_tables([pq.read_table(world["train"]).slice(0, 16), requests]), mix)
    command = grpo_command(
        "+recipe=sinternal_grpo_cpu",
        "guard=verl_router",
        f"sinternal.guard.engine.model={taught_guard}",
        "sinternal.guard.engine.max_model_len=1024",
        # A pool of its own: one logical GPU more than training has, and the CPUs of its bundle.
        "sinternal.guard.n_gpus=1",
        "ray_kwargs.ray_init.num_gpus=2",
        "ray_kwargs.ray_init.num_cpus=24",
        # The policy is random: it never ends its thought, and the guard is to judge something.
        "sinternal.scorers.safety.judged=both",
        f"actor_rollout_ref.model.path={world['policy']}",
        f"data.train_files={mix}",
        f"data.val_files={mix}",
        "data.train_batch_size=64",
        "actor_rollout_ref.rollout.n=2",
        "data.max_prompt_length=64",
        "data.max_response_length=16",
        "trainer.val_before_train=false",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        "trainer.total_training_steps=1",
        f"trainer.default_local_dir={tmp_path / 'checkpoints'}",
    )
    (step,) = run_main(command, tmp_path / "log", tmp_path / "checkpoints" / METRICS_FILE, limit_s=600)

    for source, rows in (("world/addition", 32), (lighthouse.HARMFUL_SOURCE, 48), (lighthouse.BENIGN_SOURCE, 48)):
        assert step.metrics[f"train/{source}/rows"] == rows
        assert step.metrics[f"train/{source}/scored"] == 1.0
