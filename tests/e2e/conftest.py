"""The GRPO run that several files read."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import descendants, end_all, named, start, wait_for
from safety_runs import safety_overrides

from sinternal_verl.curves import Step, read_steps
from sinternal_verl.launch import grpo_command
from sinternal_verl.training.metrics_file import METRICS_FILE

START_LIMIT_S = 300
EPOCHS = 3

SCORER = """
import zlib
from sinternal_verl.scoring.registry import scorer
from sinternal_verl.scoring.score import Outcome, Sample, Score

@scorer("flaky")
def flaky(sample: Sample, one_in: int) -> Score:
    number = zlib.crc32(sample.response.encode())
    if number % one_in == 0:
        raise ConnectionError("the judge did not answer")
    return Score(number % 3 / 2, Outcome.SCORED)
"""


@dataclass(frozen=True)
class WholeRun:
    """A run that nobody ended.

    Attributes:
        folder: where it was started; others of the same configuration may be started there.
        command: a function from further overrides to the command of such a run.
        steps: what it logged, by number.
        rollouts: the rows of its dumps.
    """

    folder: Path
    command: Callable[..., list[str]]
    steps: dict[int, Step]
    log: str
    rollouts: list[dict]


@pytest.fixture(scope="session")
def whole_run(world, constant_guard, tmp_path_factory) -> WholeRun:
    """verl's GRPO main with our CPU recipe, as a user runs it: three epochs of two steps on sums and requests, a guard
    beside it, and a scorer of the user's own that fails for one sum in ten. Its reward worker is killed after the
    first step, and the guard's only replica after the second."""
    folder: Path = tmp_path_factory.mktemp("grpo")
    (folder / "my_scorer.py").write_text(SCORER)
    overrides = [
        *safety_overrides(folder, world, constant_guard),
        "guard=ray_actor",
        # A replica that was killed is back within this.
        "sinternal.guard.request_timeout_s=200",
        "sinternal.score_timeout_s=240",
        "+sinternal.scorers.flaky={path: my_scorer.py, sources: [world/addition], one_in: 10}",
        "actor_rollout_ref.actor.optim.lr=1e-4",
    ]

    def command(*others: str) -> list[str]:
        return grpo_command(*overrides, *others)

    log, metrics = folder / "whole.log", folder / "whole" / METRICS_FILE
    process = start(
        command(
            f"trainer.total_epochs={EPOCHS}",
            "trainer.save_freq=-1",
            "trainer.default_local_dir=whole",
            "trainer.rollout_data_dir=rollouts",
        ),
        log,
        folder,
    )
    seen = []
    try:
        for step, victim in ((1, "RewardWorker"), (2, "GuardReplica")):
            wait_for(lambda step=step: len(read_steps(metrics)) >= step, process, log, START_LIMIT_S)
            seen += descendants(process)
            named(descendants(process), victim).kill()
        assert process.wait(START_LIMIT_S) == 0, log.read_text()[-3000:]
    finally:
        end_all(seen)
        process.poll() is None and process.kill()
    dumps = sorted((folder / "rollouts").glob("*.jsonl"))
    return WholeRun(
        folder,
        command,
        {step.number: step for step in read_steps(metrics)},
        log.read_text(),
        [json.loads(line) for dump in dumps for line in dump.read_text().splitlines()],
    )
