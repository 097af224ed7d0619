"""What each failure policy does to advantages and batch, on hand-made groups: our trainer's steps and
verl's own estimator over a real TransferQueue. Only the training workers are missing."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from sinternal_verl.scoring.score import Outcome
from sinternal_verl.training.failures import TooManyFailures

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(300)]

FAILED = None
SOURCE = "world/addition"
GROUPS = {"a": [1.0, 0.0, FAILED, 1.0], "b": [1.0, FAILED, FAILED, FAILED], "c": [1.0, 1.0, 0.0, 0.0]}
"""Rewards of each prompt's four responses."""

LENGTH = 3
HALF, THIRD = 0.75**0.5, 3**-0.5
"""(r - mean) / std of two of four right, and of two of three right: 0.866, and 0.577 and twice that."""


@pytest.fixture(scope="module")
def queue():
    """A Ray cluster of this module's own with verl's TransferQueue."""
    import ray
    import transfer_queue as tq

    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    tq.init()
    yield tq
    tq.close()
    ray.shutdown()


@pytest.fixture
def step(queue, world, grpo_config):
    """A function from a policy to what a step of it leaves: trainer, batch and advantages by key."""
    from transfer_queue import KVBatchMeta

    keys: list[str] = []

    def run(policy: str, groups=GROUPS, nothing_came=(), **failures):
        trainer = make_trainer(world, grpo_config, policy, len(groups), **failures)
        trainer._sources = dict.fromkeys([*groups, *nothing_came], SOURCE)
        keys[:] = put_rows(queue, groups)
        # As they might arrive: not in the order of their prompts.
        tags = [{"seq_len": 2 * LENGTH, "response_len": LENGTH} for _ in keys]
        trainer._order = {name: place for place, name in enumerate(groups)}
        batch = KVBatchMeta(keys=keys[::-1], tags=tags, partition_id="train")
        batch = trainer._balance_batch(batch, metrics={})
        batch = trainer._compute_advantage(batch, metrics={})
        data = queue.kv_batch_get(keys=batch.keys, partition_id="train", select_fields=["advantages", "uid"])
        advantages = {key: row[0].item() for key, row in zip(batch.keys, data["advantages"].unbind(), strict=True)}
        assert all(uid == key.rsplit("_", 2)[0] for key, uid in zip(batch.keys, list(data["uid"]), strict=True))
        return SimpleNamespace(trainer=trainer, batch=batch, advantages=advantages)

    yield run
    queue.kv_clear(keys=list(queue.kv_list("train").get("train", {})), partition_id="train")


def make_trainer(world, grpo_config, policy: str, prompts: int, **failures):
    from sinternal_verl.training.trainer import SInternalTrainer

    settings = [f"sinternal.failures.{name}={value}" for name, value in failures.items()]
    config = grpo_config(
        f"sinternal.failures.policy={policy}",
        "sinternal.failures.min_share=0.3",
        *settings,
        f"data.train_batch_size={prompts}",
        "actor_rollout_ref.actor.ppo_mini_batch_size=1",
        "actor_rollout_ref.rollout.n=4",
        f"data.max_response_length={LENGTH}",
    )
    trainer = SInternalTrainer(config)
    trainer.tokenizer = AutoTokenizer.from_pretrained(world["policy"])
    trainer.actor_rollout_wg = SimpleNamespace(_dispatch_info={"actor": [0]})
    trainer.timing_raw, trainer.global_steps = {}, 1
    return trainer


def put_rows(queue, groups) -> list[str]:
    from verl.utils.tensordict_utils import list_of_dict_to_tensordict

    keys, rows = [], []
    for name, rewards in groups.items():
        for session, reward in enumerate(rewards):
            keys.append(f"{name}_{session}_0")
            score, outcome = (0.0, Outcome.FAILED) if reward is FAILED else (reward, Outcome.CORRECT)
            info = {"score": score, "outcome": float(outcome), "scored": float(reward is not FAILED)}
            info["response_length"] = float(LENGTH)
            ids = torch.arange(LENGTH)
            rows.append(
                {
                    "uid": name,
                    "data_source": SOURCE,
                    "extra_fields": {"reward_extra_info": info},
                    "prompts": ids,
                    "responses": ids,
                    "input_ids": torch.cat([ids, ids]),
                    "position_ids": torch.arange(2 * LENGTH),
                    "response_mask": torch.ones(LENGTH, dtype=torch.int64),
                    "loss_mask": torch.ones(LENGTH, dtype=torch.int64),
                    "rm_scores": torch.tensor([0.0] * (LENGTH - 1) + [score]),
                    "rollout_log_probs": torch.zeros(LENGTH),
                    "old_log_probs": torch.zeros(LENGTH),
                    "num_turns": 2,
                    "index": str(session),
                    "reward_model": {"ground_truth": "5"},
                }
            )
    queue.kv_batch_put(
        keys=keys, partition_id="train", fields=list_of_dict_to_tensordict(rows), tags=[{} for _ in keys]
    )
    return keys


def of(left, group: str) -> list[float]:
    return [
        left.advantages[f"{group}_{session}_0"] for session in range(4) if f"{group}_{session}_0" in left.advantages
    ]


def test_neutral_compares_scored_rows_only_and_gives_the_others_nothing(step):
    left = step("neutral")

    assert of(left, "a") == pytest.approx([THIRD, -2 * THIRD, 0, THIRD], abs=1e-4)
    assert of(left, "b") == [0, 0, 0, 0]
    assert of(left, "c") == pytest.approx([HALF, HALF, -HALF, -HALF], abs=1e-4)


def test_drop_removes_failed_rows_and_groups_of_one_before_the_padding(step):
    left = step("drop")

    assert of(left, "a") == pytest.approx([THIRD, -2 * THIRD, THIRD], abs=1e-4)
    assert of(left, "b") == []
    assert of(left, "c") == pytest.approx([HALF, HALF, -HALF, -HALF], abs=1e-4)
    # seven rows are left, padded to a multiple of one mini-batch of four
    assert sum(tag.get("is_padding", False) for tag in left.batch.tags) == 1
    assert len(left.trainer._dropped) == 5


def test_zero_takes_a_failure_for_a_wrong_answer(step):
    left = step("zero")

    assert of(left, "a") == pytest.approx([HALF, -HALF, -HALF, HALF], abs=1e-4)
    assert of(left, "b") == pytest.approx([1.5, -0.5, -0.5, -0.5], abs=1e-4)


@pytest.mark.parametrize("policy", ["drop", "neutral", "zero"])
def test_what_came_alone_of_its_group_teaches_nothing_under_any_policy(step, policy):
    """The other sessions died. verl would take 1.0, the reward, for the advantage."""
    left = step(policy, {"a": [1.0], "c": [1.0, 1.0, 0.0, 0.0]}, nothing_came=["b"])

    assert of(left, "a") == ([] if policy == "drop" else [0])
    assert of(left, "c") == pytest.approx([HALF, HALF, -HALF, -HALF], abs=1e-4)
    # three of prompt a and all four of prompt b
    assert left.trainer._missing == {SOURCE: 7}


def test_verl_itself_takes_the_reward_of_what_came_alone_for_its_advantage(step, monkeypatch):
    from sinternal_verl.training.failures import FailurePolicy

    monkeypatch.setattr(FailurePolicy, "set_aside", lambda *args: set())

    assert of(step("zero", {"a": [1.0], "c": [1.0, 0.0, 0.0, 0.0]}), "a") == pytest.approx([1.0], abs=1e-4)


def test_a_dump_has_the_advantage_of_what_was_learned_from_and_none_of_what_was_dropped(step, tmp_path):
    left = step("drop")
    trainer = left.trainer
    trainer._init_dump_executor()
    trainer._log_rollout_data(left.batch, {}, str(tmp_path))
    trainer._shutdown_dump_executor()
    rows = {row["uid"]: row for row in map(json.loads, (tmp_path / "1.jsonl").read_text().splitlines())}

    learned = {key: row["advantage"] for key, row in rows.items() if row["advantage"] is not None}
    assert len(rows) == 12
    # Of the batch the padding is no rollout.
    assert learned == pytest.approx({key: left.advantages[key] for key in rows.keys() & left.advantages.keys()})
    assert all((row["advantage"] is None) == row["set_aside"] for row in rows.values())


def test_without_failures_the_policies_agree_with_plain_verl(step):
    whole = {"a": [1.0, 0.0, 0.0, 1.0], "c": [1.0, 1.0, 1.0, 1.0]}
    left = [step(policy, whole).advantages for policy in ("drop", "neutral", "zero")]

    assert left[0] == left[1] == left[2]
    assert of(SimpleNamespace(advantages=left[0]), "a") == pytest.approx([HALF, -HALF, -HALF, HALF], abs=1e-4)
    assert of(SimpleNamespace(advantages=left[0]), "c") == [0, 0, 0, 0]


def test_rows_are_put_in_the_order_of_their_prompts_whatever_the_order_of_arrival(step):
    left = step("neutral")

    assert [row.key for row in left.trainer._rows] == [f"{name}_{n}_0" for name in GROUPS for n in range(4)]


def test_a_step_with_too_few_scores_ends_the_run(step):
    many = {f"p{n}": [1.0, 0.0, FAILED, FAILED] for n in range(16)}
    with pytest.raises(TooManyFailures, match=r"world/addition: 32 of 64 responses.*: 32 FAILED"):
        step("drop", many, min_share=0.8)


def test_abort_after_counts_over_the_run(step):
    with pytest.raises(TooManyFailures, match=r"4 responses of this run have no score"):
        step("drop", abort_after=4)


def test_a_score_of_a_users_function_is_not_taken_for_the_reward(queue):
    """verl's dapo manager adds its penalty to the reward alone."""
    from transfer_queue import KVBatchMeta

    from sinternal_verl.training.queue import read_rows, write_fields

    keys = put_rows(queue, {"a": [1.0, 0.0]})
    batch = KVBatchMeta(keys=keys, tags=[{"response_len": LENGTH} for _ in keys], partition_id="train")
    assert [row.reward for row in read_rows(batch, "data_source", LENGTH)] == [1.0, 0.0]
    info = {"reward_extra_info": {"score": 5.0, "outcome": 0.5}}
    write_fields(batch, keys, extra_fields=np.array([info, info], dtype=object))
    rows = read_rows(batch, "data_source", LENGTH)
    queue.kv_clear(keys=keys, partition_id="train")

    assert [row.reward for row in rows] == [1.0, 0.0]
    assert [row.extra for row in rows] == [{"outcome": 0.5}] * 2
