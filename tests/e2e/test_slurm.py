"""The scripts of examples/slurm on a real Slurm of two nodes, as a user submits them."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from addition_runs import addition_overrides
from experts import Script, keeper, playing, warden
from slurm import INSTALLED, Slurm

from sinternal_verl.cli import main
from sinternal_verl.demo.settings import sft_overrides
from sinternal_verl.overrides import override
from sinternal_verl.runs.curves import read_steps
from sinternal_verl.training.metrics_file import METRICS_FILE
from sinternal_verl.world import lighthouse

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not INSTALLED, reason="needs Debian's slurm-wlm (slurmctld, slurmd, sbatch)"),
]

SCRIPTS = Path(__file__).parents[2] / "examples" / "slurm"
NO_GPUS = "--gpus-per-node=0"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Slurm]:
    """In a short path: Slurm's and Ray's sockets are named by theirs."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    with Slurm(folder) as slurm:
        yield slurm
    shutil.rmtree(folder)


@pytest.fixture
def slurm(cluster, tmp_path) -> Iterator[Slurm]:
    """The same for all tests; each submits from a folder of its own and leaves no job."""
    cluster.work = tmp_path
    yield cluster
    cluster.end_jobs()


def left_over(job: str) -> list[str]:
    """Processes and files that bear the job's name for them."""
    mark = f"/tmp/ray-{job}"
    processes = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
    files = [str(path) for path in (Path(mark), *Path(mark).rglob("*")) if path.exists()]
    return [line for line in processes if mark in line] + files


def grpo(world: dict[str, Path], *overrides: str) -> list[str]:
    return [
        NO_GPUS,
        str(SCRIPTS / "grpo.sbatch"),
        *addition_overrides(world),
        "trainer.total_training_steps=2",
        *overrides,
    ]


def test_sft_on_two_nodes(world, slurm):
    words = [
        word for word in sft_overrides(Path("unused"), world["policy"], world["sft"], 1, 4) if "local_dir" not in word
    ]
    job = slurm.submit("--job-name=teach", NO_GPUS, str(SCRIPTS / "sft.sbatch"), *words)

    assert slurm.wait(job, limit_s=400) == ["COMPLETED"], slurm.logs()[-4000:]
    log = slurm.logs()
    assert "2 node(s): n1 n2; 1 process(es) on each" in log and "all nodes have joined" in log
    saved = slurm.work / "checkpoints" / "teach" / "global_step_4"
    assert {file.name for file in saved.glob("model_world_size_2_rank_*.pt")} == {
        f"model_world_size_2_rank_{rank}.pt" for rank in range(2)
    }
    assert "SFT, step 4 of 4, finished" in log
    assert (slurm.work / "checkpoints" / "teach" / "report.html").stat().st_size > 10_000


@pytest.mark.long
def test_sft_names_the_node_that_has_not_joined(slurm):
    job = slurm.submit(NO_GPUS, str(SCRIPTS / "sft.sbatch"), "+recipe=sinternal_sft_cpu", JOIN_S="20", ABSENT="n2")

    assert slurm.wait(job, limit_s=100) == ["FAILED"], slurm.logs()[-4000:]
    assert "(JOIN_S=20) these nodes have not joined: n2;" in slurm.logs()


@pytest.mark.long
def test_grpo_on_one_node(world, slurm):
    job = slurm.submit("--job-name=reinforce", *grpo(world))

    assert slurm.wait(job, limit_s=600) == ["COMPLETED"], slurm.logs()[-4000:]
    log = slurm.logs()
    assert [step.number for step in read_steps(slurm.work / "checkpoints" / "reinforce" / METRICS_FILE)] == [1, 2]
    assert "training has ended" in log and "exit code 0" in log
    assert f"report: {slurm.work / 'checkpoints' / 'reinforce' / 'report.html'}" in log
    assert left_over(job) == [], log[-4000:]


@pytest.mark.long
def test_ray_joins_two_nodes_and_ends_on_both_when_the_main_fails(world, slurm):
    job = slurm.submit("--nodes=2", *grpo(world, "data.train_batch_size=7"))

    assert slurm.wait(job, limit_s=400) == ["FAILED"], slurm.logs()[-4000:]
    log = slurm.logs()
    assert "n2 has joined; 2 of 2" in log and "all nodes have joined" in log
    assert "exit code 2" in log and "data.train_batch_size" in log
    assert left_over(job) == [], log[-4000:]


@pytest.mark.long
def test_a_cancelled_job_leaves_nothing(world, slurm):
    job = slurm.submit("--nodes=2", *grpo(world))
    deadline = time.monotonic() + 120
    while "all nodes have joined" not in slurm.logs():
        assert time.monotonic() < deadline, slurm.logs()[-4000:]
        time.sleep(1)
    slurm.cancel(job)

    assert slurm.wait(job, limit_s=60) == ["CANCELLED"], slurm.logs()[-4000:]
    deadline = time.monotonic() + 60
    while left_over(job) and time.monotonic() < deadline:
        time.sleep(1)
    assert left_over(job) == [], slurm.logs()[-4000:]


NAME = "lr=1e-6,#2 (é中)"
"""A job's name that Hydra reads only with quotes."""

SMALL = (NO_GPUS, "--cpus-per-task=1", "--mem=0", f"--job-name={NAME}")


@pytest.fixture
def odd_folder(slurm) -> Path:
    """A folder to submit from, whose name neither Hydra nor a shell reads without quotes."""
    slurm.work = slurm.work / "grpo,seed1 = it's {1} #2"
    slurm.work.mkdir()
    return slurm.work


@pytest.fixture
def build_words(odd_folder) -> Iterator[list[str]]:
    """The words of a build of 30 prompts by servers that play policy and expert."""
    rows = odd_folder / "requests, all.jsonl"
    rows.write_text("".join(f'{{"prompt": "{request.prompt}"}}\n' for request in list(lighthouse.requests())[:30]))
    with playing(Script(keeper)) as policy, playing(Script(warden)) as expert:
        yield [
            *(override("prompts", rows), "label=harmful", "policy.model=keeper", f"policy.url={policy.url}"),
            *("expert.model=warden", f"expert.url={expert.url}"),
        ]


def whole_build(out: Path, words: list[str]) -> bytes:
    """What one build makes of all prompts."""
    assert main(["verify", "build", *words, override("out", out)]) == 0
    return (out / "train.parquet").read_bytes()


@pytest.mark.long
def test_a_build_is_shared_out_over_an_array_and_merged(slurm, odd_folder, build_words):
    script = str(SCRIPTS / "verify_build.sbatch")
    job = slurm.submit("--array=0-2", *SMALL, script, "3", str(odd_folder / "build"), *build_words)

    assert slurm.wait(job, limit_s=200) == ["COMPLETED"] * 3, slurm.logs()[-4000:]
    parts = [pq.read_table(odd_folder / "build" / f"part-{part}" / "train.parquet") for part in range(3)]
    requests = [set(part["request"].to_pylist()) for part in parts]
    assert all(requests) and sum(map(len, requests)) == len(set().union(*requests))
    merged = (odd_folder / "build" / "train.parquet").read_bytes()
    assert merged == whole_build(odd_folder / "whole", build_words)
    assert slurm.logs().count("merged all parts") >= 1


@pytest.mark.long
def test_parts_that_no_task_builds_are_named_before_anything_is_asked(slurm, odd_folder, build_words):
    script, out = str(SCRIPTS / "verify_build.sbatch"), odd_folder / "few"
    job = slurm.submit("--array=0-1", *SMALL, script, "4", str(out), *build_words)

    assert slurm.wait(job, limit_s=100) == ["FAILED"] * 2, slurm.logs()[-4000:]
    assert slurm.logs().count("no task of this array builds part 2 3 of 4") == 2
    assert not out.exists()
    for array in ("0-1", "2-3"):
        job = slurm.submit(f"--array={array}", *SMALL, script, "4", str(out), *build_words, LATER="1")
        assert slurm.wait(job, limit_s=200) == ["COMPLETED"] * 2, slurm.logs()[-4000:]
    assert (out / "train.parquet").read_bytes() == whole_build(odd_folder / "whole", build_words)


@pytest.mark.long
def test_the_expert_is_asked_by_jobs_without_a_gpu_and_one_merges(slurm, odd_folder, build_words):
    command = [SCRIPTS / "verify_build.sh", *SMALL, "3", odd_folder / "build", *build_words]
    done = subprocess.run(command, cwd=odd_folder, env=slurm.environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    sampling, critiques, merging = (line.split()[-1] for line in done.stderr.splitlines())

    assert done.stdout.strip() == merging
    assert slurm.wait(sampling, critiques, merging, limit_s=300) == ["COMPLETED"] * 7, slurm.logs()[-4000:]
    made = (odd_folder / "build" / "train.parquet").read_bytes()
    assert made == whole_build(odd_folder / "whole", build_words)


@pytest.mark.long
def test_a_job_and_its_folder_may_have_any_name(world, slurm, odd_folder):
    words = [word for word in sft_overrides(Path("-"), world["policy"], world["sft"], 1, 2) if "local_dir" not in word]
    job = slurm.submit(f"--job-name={NAME}", "--nodes=1", NO_GPUS, str(SCRIPTS / "sft.sbatch"), *words)

    assert slurm.wait(job, limit_s=400) == ["COMPLETED"], slurm.logs()[-4000:]
    assert (odd_folder / "checkpoints" / NAME / "global_step_2").is_dir()


@pytest.mark.long
@pytest.mark.parametrize("script", ["sft", "grpo"])
def test_words_that_hydra_cannot_read_end_a_job_before_its_nodes_join(slurm, script):
    words = (f"+recipe=sinternal_{script}_cpu", "data.train_files=/abs/lr=1e-6,seed1#2.parquet")
    job = slurm.submit("--nodes=1", NO_GPUS, str(SCRIPTS / f"{script}.sbatch"), *words)

    assert slurm.wait(job, limit_s=100) == ["FAILED"]
    log = slurm.logs()
    assert 'data.train_files="/abs/lr=1e-6,seed1#2.parquet"' in log and "exit code 2" in log and "joined" not in log
