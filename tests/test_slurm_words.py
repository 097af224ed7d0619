"""What grpo.sbatch tells verl's main on nodes with GPUs, which the real Slurm of tests/e2e/test_slurm.py has not, and
what it does when a node does not join. Slurm and Ray are played by programs of one line; Hydra is real."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sinternal_verl.config import compose_config
from sinternal_verl.overrides import override

SCRIPTS = Path(__file__).parents[1] / "examples" / "slurm"
PLAYED = {
    "scontrol": r"printf 'n1\nn2\n'",
    "srun": 'echo $$ >>"$PLAY/steps"; exec sleep 60',
    "sleep": '[[ $1 != 1 ]] || set 0.05; exec /bin/sleep "$@"',
    "scancel": 'xargs kill <"$PLAY/steps"',
    "sinternal-verl": '[[ $1 != doctor || -z ${READ:-} ]] || exec "$REAL_PYTHON" -m sinternal_verl.cli "$@"\n'
    '[[ $1 != report ]] || printf "%s\\n" "${@:2}" >"$PLAY/report"\n'
    '[[ -z ${ABSENT:-} || " $* " != *" $ABSENT "* ]]',
    "python": "if [[ $1 == -c && ( $2 == *override* || $2 == *omegaconf* && -n ${READ:-} ) ]]; then\n"
    'exec "$REAL_PYTHON" "$@"\n'
    'elif [[ $1 == -c ]]; then echo 10.0.0.1; else printf "%s\\n" "${@:3}" >"$PLAY/words"; fi',
}
MINE = ["+recipe=sinternal_grpo", "actor_rollout_ref.model.path=/abs/model"]


@pytest.fixture
def submit(tmp_path):
    """A function that runs the script in a job of two nodes; returns what it printed, and the words for verl's main."""
    for name, body in PLAYED.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/usr/bin/env bash\n{body}\n")
        program.chmod(0o755)

    def run(*words: str, **variables: str) -> tuple[str, list[str]]:
        job = {"JOB_ID": "7", "JOB_NAME": "run", "JOB_NODELIST": "n[1-2]", "CPUS_ON_NODE": "64", "SUBMIT_DIR": "/abs"}
        environment = os.environ | {f"SLURM_{name}": value for name, value in job.items()} | variables
        environment |= {"PLAY": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        environment["REAL_PYTHON"] = sys.executable
        command = ["bash", SCRIPTS / "grpo.sbatch", *MINE, *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        given = tmp_path / "words"
        return done.stdout, given.read_text().splitlines() if given.exists() else []

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


@pytest.mark.parametrize(
    ("words", "gpus", "training", "guard"),
    [
        (["guard=none"], "8", 8, 0),
        (["guard=verl_router"], "8", 4, 8),
        ([], "4", 2, 4),
        (["trainer.n_gpus_per_node=2"], "4", 2, 4),
        (["hardware=1gpu_7b", "guard=none"], "1", 1, 0),
    ],
)
def test_the_gpus_that_slurm_gives_are_shared_out(submit, words, gpus, training, guard):
    config = compose_config(submit(*words, SLURM_GPUS_ON_NODE=gpus)[1])

    assert (config.trainer.n_gpus_per_node, config.sinternal.guard.n_gpus) == (training, guard)
    if words == ["guard=verl_router"]:
        assert (config.reward.reward_model.nnodes, config.reward.reward_model.n_gpus_per_node) == (2, 4)


def test_nodes_without_gpus_say_nothing_of_them(submit):
    _, words = submit(SLURM_GPUS_ON_NODE="0")

    assert not any("gpus_per_node" in word for word in words)


def test_a_node_that_does_not_join_ends_the_job_before_anything_is_trained(submit):
    printed, words = submit(ABSENT="n2")

    assert words == []
    assert "ending what was started; exit code 1" in printed and "all nodes have joined" not in printed


@pytest.mark.parametrize("name", ["lr=1e-6", "grpo,seed1 #2", 'it\'s "so" \\', "~[1]{$HOME}${HOME}%é中", "20251125"])
def test_a_job_and_a_folder_may_have_any_name(submit, name):
    config = compose_config(submit(SLURM_JOB_NAME=name, SLURM_SUBMIT_DIR=f"/abs/{name}")[1])

    assert config.trainer.default_local_dir == f"/abs/{name}/checkpoints/{name}"


@pytest.mark.parametrize("word", ["data.train_files=/abs/a=b#c", "data.trainfiles=/abs/a.parquet", "a b"])
def test_words_that_hydra_cannot_read_end_the_job_before_the_cluster_starts(submit, tmp_path, word):
    printed, words = submit(word, READ="1")

    assert words == [] and not (tmp_path / "steps").exists()
    assert "exit code 2" in printed


@pytest.mark.parametrize("begun", [True, False])
def test_a_job_ends_with_the_report_of_a_run_that_has_begun(submit, tmp_path, begun):
    folder = tmp_path / "it's a=b #2"
    folder.mkdir()
    if begun:
        (folder / "sinternal_run.json").write_text("{}")

    printed, _ = submit(override("trainer.default_local_dir", folder), READ="1")

    assert "exit code 0" in printed
    given = tmp_path / "report"
    assert given.exists() == begun
    if begun:
        assert given.read_text().splitlines() == [str(folder), "-o", f"{folder}/report.html"]


@pytest.mark.parametrize("script", sorted(SCRIPTS.iterdir()), ids=lambda path: path.name)
@pytest.mark.skipif(not shutil.which("shellcheck"), reason="needs Debian's shellcheck")
def test_shellcheck_is_content(script):
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stdout
