"""A real Ray cluster that was started beforehand, as on Slurm."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from processes import end_all

from sinternal_verl.cli import main
from sinternal_verl.doctor.checks import find_problems

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(200)]

RAY = str(Path(sys.executable).with_name("ray"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A head node with two logical GPUs; its address. Ended by the folder that its processes are told of."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    options = ["--head", "--port=0", "--num-gpus=2", "--num-cpus=8", "--include-dashboard=false"]
    options += [f"--temp-dir={folder}", "--labels=sinternal/node=n1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        environment = os.environ | {"MARK": folder}
        started = subprocess.run(
            [RAY, "start", *options], check=True, capture_output=True, text=True, env=environment, timeout=100
        )
        yield re.search(r"--address='([\d.]+:\d+)'", started.stdout).group(1)
    end_all([process for process in psutil.process_iter() if _mark_of(process) == folder])
    shutil.rmtree(folder, ignore_errors=True)


def _mark_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("MARK")
    except psutil.Error:
        return None


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
