"""verl's GRPO main with the guard behind verl's own reward-model server and router."""

import pytest
from safety_runs import SOURCES, safety_overrides

from sinternal_verl.runs.launch import grpo_command, run_main
from sinternal_verl.training.metrics_file import METRICS_FILE

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(700)]


def test_math_and_safety_are_scored_in_one_step(world, taught_guard, tmp_path):
    command = grpo_command(
        *safety_overrides(tmp_path, world, taught_guard, sums=16, steps=1),
        "guard=verl_router",
        "sinternal.guard.engine.max_model_len=1024",
        # A pool of its own: one logical GPU more than training has, and the CPUs of its bundle.
        "sinternal.guard.n_gpus=1",
        "ray_kwargs.ray_init.num_gpus=2",
        "ray_kwargs.ray_init.num_cpus=24",
    )
    (step,) = run_main(command, tmp_path / "log", tmp_path / "checkpoints" / METRICS_FILE, limit_s=600)

    for source, rows in zip(SOURCES, (32, 48, 48), strict=True):
        assert step.metrics[f"train/{source}/rows"] == rows
        assert step.metrics[f"train/{source}/scored"] == 1.0
