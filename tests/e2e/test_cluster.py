"""A real Ray cluster that was started beforehand, as on Slurm."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import end_all

from sinternal_verl.cli import main
from sinternal_verl.doctor.checks import find_problems

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

RAY = str(Path(sys.executable).with_name("ray"))


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A head node with two logical GPUs; its address. Ended by the processes it started."""
    import psutil

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    port = 6399
    before = set(psutil.pids())
    options = ["--head", f"--port={port}", "--num-gpus=2", "--num-cpus=8", "--include-dashboard=false"]
    options.append("--labels=sinternal/node=n1")
    environment = os.environ | {"RAY_TMPDIR": str(Path("/tmp") / f"ray-test-{os.getpid()}")}
    subprocess.run([RAY, "start", *options], check=True, capture_output=True, env=environment, timeout=100)
    yield f"127.0.0.1:{port}"
    started = [psutil.Process(pid) for pid in set(psutil.pids()) - before if psutil.pid_exists(pid)]
    end_all([p for p in started if f"{port}" in " ".join(p.cmdline()) or p.name().startswith("ray::")])


def test_doctor_asks_the_cluster_itself(cluster, grpo_config):
    join = [
        f"ray_kwargs.ray_init.address={cluster}",
        "ray_kwargs.ray_init.num_cpus=null",
        "ray_kwargs.ray_init.num_gpus=null",
    ]

    assert find_problems(grpo_config(*join)) == []
    assert find_problems(grpo_config(*join, "sinternal.guard.n_gpus=1")) == []
    (problem,) = find_problems(grpo_config(*join, "sinternal.guard.n_gpus=2"))
    assert problem.key == "sinternal.guard.n_gpus" and "1 nodes with 2 GPUs" in problem.reason


def test_a_node_that_has_not_joined_is_named(cluster, capsys):
    assert main(["cluster", "wait", "--timeout", "3", cluster, "n1", "n2"]) == 1

    said = capsys.readouterr()
    assert "n1 has joined; 1 of 2" in said.out + said.err
    assert f"n2 did not join {cluster} within 3 s" in said.err
