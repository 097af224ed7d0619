"""What grpo.sbatch tells verl's main on nodes with GPUs, which the real Slurm of tests/e2e/test_slurm.py has not.
Slurm and Ray are played by programs of one line; Hydra is real."""

import os
import subprocess
from pathlib import Path

import pytest

from sinternal_verl.doctor.command import compose_config

SCRIPT = Path(__file__).parents[1] / "examples" / "slurm" / "grpo.sbatch"
PLAYED = {
    "scontrol": r"printf 'n1\nn2\n'",
    "srun": 'echo $$ >>"$PLAY/steps"; exec sleep 60',
    "scancel": 'xargs kill <"$PLAY/steps"',
    "sinternal-verl": "exit 0",
    "python": 'if [[ $1 == -c ]]; then echo 10.0.0.1; else printf "%s\\n" "${@:3}" >"$PLAY/words"; fi',
}
MINE = ["+recipe=sinternal_grpo", "hardware=8gpu_7b", "guard=ray_actor", "actor_rollout_ref.model.path=/abs/model"]


@pytest.fixture
def submit(tmp_path):
    """A function that runs the script in a job of two nodes; returns what it printed, and the words for verl's main."""
    for name, body in PLAYED.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/usr/bin/env bash\n{body}\n")
        program.chmod(0o755)

    def run(**variables: str) -> tuple[str, list[str]]:
        job = {"JOB_ID": "7", "JOB_NAME": "run", "JOB_NODELIST": "n[1-2]", "CPUS_ON_NODE": "64", "SUBMIT_DIR": "/abs"}
        environment = os.environ | {f"SLURM_{name}": value for name, value in job.items()} | variables
        environment |= {"PLAY": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", SCRIPT, *MINE], env=environment, capture_output=True, text=True, timeout=60)
        words = tmp_path / "words"
        return done.stdout, words.read_text().splitlines() if words.exists() else []

    return run


def test_guards_are_held_back_on_every_node(submit):
    printed, words = submit(SLURM_GPUS_ON_NODE="8")

    config = compose_config(words)
    assert "training has ended" in printed and "exit code 0" in printed
    assert (config.trainer.nnodes, config.trainer.n_gpus_per_node, config.sinternal.guard.n_gpus) == (2, 4, 8)
    assert config.sinternal.guard.replicas == 8
    assert config.ray_kwargs.ray_init.address == "10.0.0.1:20007"
    assert config.ray_kwargs.ray_init.num_cpus is None and config.ray_kwargs.ray_init.num_gpus is None
    assert config.trainer.default_local_dir == "/abs/checkpoints/run"


def test_a_node_whose_guards_leave_nothing_to_train_on_is_refused(submit):
    printed, words = submit(SLURM_GPUS_ON_NODE="4")

    assert "GUARD_GPUS=4 of the 4 on a node leaves none to train on" in printed and words == []
