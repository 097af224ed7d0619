"""verl's GRPO main with a real guard beside it: math and safety prompts in one batch, each scored by its
own scorer, and the guard's only replica killed on the way."""

from pathlib import Path

import pytest
from processes import descendants, end_all, named, start, wait_for
from safety_runs import SOURCES, safety_overrides

from sinternal_verl.runs.curves import Step, read_steps
from sinternal_verl.runs.launch import grpo_command
from sinternal_verl.training.metrics_file import METRICS_FILE

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.versions, pytest.mark.timeout(900)]

LIMIT_S = 420
STEPS = 3


@pytest.fixture(scope="module")
def run(world, taught_guard, tmp_path_factory) -> tuple[list[Step], str]:
    """The steps of a run whose guard was killed after the first, and its log."""
    folder: Path = tmp_path_factory.mktemp("safety")
    command = grpo_command(
        *safety_overrides(folder, world, taught_guard, sums=80, steps=STEPS),
        "guard=ray_actor",
        "sinternal.guard.engine.max_model_len=2048",
        "sinternal.guard.request_timeout_s=200",
        "sinternal.score_timeout_s=240",
    )
    log, metrics, seen = folder / "log", folder / "checkpoints" / METRICS_FILE, []
    try:
        process = start(command, log, folder)
        wait_for(lambda: len(read_steps(metrics)) >= 1, process, log, LIMIT_S)
        seen += descendants(process)
        named(descendants(process), "GuardReplica").kill()
        assert process.wait(LIMIT_S) == 0, log.read_text()[-3000:]
        return read_steps(metrics), log.read_text()
    finally:
        end_all(seen)


def test_a_killed_guard_is_replaced_and_the_run_finishes_all_its_steps(run):
    steps, log = run

    assert [step.number for step in steps] == list(range(1, STEPS + 1))
    assert "this guard replica replaces one that died" in log


def test_each_source_has_its_own_curves(run):
    steps, _ = run
    for source in SOURCES:
        assert all(f"train/{source}/scored" in step.metrics for step in steps)


def test_every_rollout_is_accounted_for_and_none_is_a_silent_zero(run):
    steps, _ = run
    for step in steps:
        rows = sum(step.metrics[f"train/{source}/rows"] for source in SOURCES)
        assert rows + step.metrics["training/failures/missing"] == 256
        unscored = sum(
            value
            for name, value in step.metrics.items()
            if name.endswith(("outcome/failed", "outcome/timed_out", "outcome/unparsable"))
        )
        assert step.metrics["training/failures/unscored"] == unscored
    assert steps[-1].metrics["training/failures/missing"] == 0
