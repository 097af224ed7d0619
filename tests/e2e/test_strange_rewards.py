"""verl's GRPO main as a user runs it, with a reward function that returns whatever it likes, and with a dead judge
beside one that scores."""

import json
import math
import subprocess
from pathlib import Path

import pytest
from safety_runs import ROLLOUTS, ROWS, SUMS, safety_overrides

from sinternal_verl.runs.curves import read_steps
from sinternal_verl.runs.launch import grpo_command
from sinternal_verl.training.metrics_file import METRICS_FILE

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]

LIMIT_S = 500
VOTES = 4
"""Responses of each prompt in validation."""

REWARD = """
from __future__ import annotations
import dataclasses, threading, zlib
import numpy as np, torch

@dataclasses.dataclass
class Looks:
    style: np.float32

def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    number = zlib.crc32(solution_str.encode())
    if number % 7 == 0:
        raise ConnectionError("the judge did not answer")
    result = {
        "score": torch.tensor(number % 3 / 2), "acc": number % 3 == 2, "ones": torch.ones(1),
        "style": Looks(np.float32(0.25)).style,
        "why": "because \\ud800", "array": np.arange(3), "tensor": torch.zeros(2000, 2000), "nan": float("nan"),
        "lock": threading.Lock(), "big": 10**5000, "none": None, 5: 5.0,
        "reward": 7.0, "uid": 3, "step": 99, "input": "mine", "responses": 1.0, "advantages": 2.0,
    }
    return result | ({"pred": number % 2} if number % 5 else {})
"""

DEAD = """
from sinternal_verl.scoring.registry import scorer

@scorer("dead")
def dead(sample):
    raise ConnectionError("nobody answers")
"""


def run(folder: Path, world: dict[str, Path], *words: str) -> subprocess.CompletedProcess:
    """A run of one step without a guard, with a validation before it."""
    needed = [word for word in safety_overrides(folder, world, Path()) if not word.startswith("sinternal.")]
    dumps = [f"trainer.{kind}_data_dir={folder / kind}" for kind in ("rollout", "validation")]
    command = grpo_command(
        *needed, *words, *dumps, "guard=none", "trainer.val_before_train=true", "trainer.save_freq=-1"
    )
    command += ["trainer.total_training_steps=1", "trainer.total_epochs=1", "trainer.default_local_dir=run"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S)


def rows_of(dump: Path) -> list[dict]:
    return [json.loads(line, parse_constant=pytest.fail) for line in dump.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def strange(world, tmp_path_factory) -> Path:
    """The folder of a run with the strange function."""
    folder = tmp_path_factory.mktemp("strange")
    (folder / "reward.py").write_text(REWARD)
    done = run(
        folder,
        world,
        "reward.custom_reward_function.path=reward.py",
        f"actor_rollout_ref.rollout.val_kwargs.n={VOTES}",
        "actor_rollout_ref.rollout.val_kwargs.do_sample=true",
        "actor_rollout_ref.rollout.val_kwargs.temperature=1.0",
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def test_its_numbers_are_curves_and_nothing_else_is(strange):
    validation, step = (found.metrics for found in read_steps(strange / "run" / METRICS_FILE))

    for metrics, prefix in ((validation, "val"), (step, "train")):
        own = {name: value for name, value in metrics.items() if name.startswith(f"{prefix}/{SUMS}/")}
        means = {name.split("/")[-2] for name in own if name.endswith("/mean")}
        assert means == {"acc", "style", "ones", "5", "reward", "response_length"}
        assert own[f"{prefix}/{SUMS}/style/mean"] == 0.25
    assert not [name for name, value in (validation | step).items() if value is None or not math.isfinite(value)]


def test_verl_votes_with_its_answers(strange):
    validation = read_steps(strange / "run" / METRICS_FILE)[0].metrics

    for source in ROWS:
        assert 0 <= validation[f"val-core/{source}/acc/maj@{VOTES}/mean"] <= 1


def test_both_dumps_are_strict_json_of_the_same_keys_and_hold_the_rest(strange):
    validation, step = rows_of(strange / "validation" / "0.jsonl"), rows_of(strange / "rollout" / "1.jsonl")

    assert len(validation) == sum(ROWS.values()) * VOTES and len(step) == ROLLOUTS
    assert {frozenset(row) for row in (*validation, *step)} == {frozenset(step[0])}
    for row in (*validation, *step):
        assert row["data_source"] in ROWS and row["step"] in (0, 1) and row["input"] != "mine" and row["index"]
        if row["outcome"] == "failed":
            assert row["reason"] == "ConnectionError: the judge did not answer" and row["extra"] == {}
        else:
            assert row["extra"]["array"] == [0, 1, 2] and row["extra"]["tensor"] == "Tensor of shape (2000, 2000)"
            assert row["extra"]["uid"] == 3 and row["extra"]["nan"] is None and row["extra"]["why"] == "because ?"
    assert all((row["advantage"] is None) == row["set_aside"] for row in step)


def test_a_dead_judge_beside_one_that_scores_ends_the_run_at_the_first_validation(world, tmp_path):
    (tmp_path / "dead.py").write_text(DEAD)
    dead = "+sinternal.scorers.dead={path: dead.py, sources: ['safety/*']}"
    done = run(tmp_path, world, dead)
    ending = done.stderr[done.stderr.rindex("sinternal_verl: the run failed at step 0") :]

    assert done.returncode == 1
    for source, rows in ROWS.items():
        asked = rows * VOTES
        assert (f"{source}: 0 of {asked} responses have a score: {asked} FAILED" in ending) == (source != SUMS)
    assert len(rows_of(tmp_path / "validation" / "0.jsonl")) == sum(ROWS.values()) * VOTES
