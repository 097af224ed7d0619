"""Our trainer is verl's sync trainer wherever verl asks for its name."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture
def trainer(grpo_config):
    """A function from overrides to the trainer they make; nothing of it is started."""
    from sinternal_verl.training.trainer import SInternalTrainer

    # Without the filter, for which verl forks this process: of a process with threads the child may hang.
    short = "data.filter_overlong_prompts=false"
    return lambda *overrides: SInternalTrainer(grpo_config(short, *overrides))


def test_verl_finds_the_trainer_by_the_recipes_name(grpo_config):
    from verl.trainer.ppo.v1 import get_trainer_cls

    assert get_trainer_cls(grpo_config().trainer.v1.trainer_mode).__name__ == "SInternalTrainer"
    assert get_trainer_cls("sinternal_colocate_async").MODE == "colocate_async"
    assert get_trainer_cls("sinternal_separate_async").MODE == "separate_async"


def test_it_has_the_sync_replay_buffer_with_our_wait(trainer):
    from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer, ReplayBufferAsync

    ours = trainer("sinternal.rollout.poll_s=0.2", "sinternal.rollout.no_progress_s=7")

    assert ours.trainer_mode == "sync"
    assert isinstance(ours.replay_buffer, ReplayBuffer) and not isinstance(ours.replay_buffer, ReplayBufferAsync)
    assert (ours.replay_buffer.poll_interval, ours.replay_buffer.no_progress_s) == (0.2, 7)
    assert ours.replay_buffer.gen_batch_size == ours.config.data.train_batch_size


def test_batches_of_prompts_stay_as_configured(trainer):
    ours = trainer("data.train_batch_size=16")
    ours._init_tokenizer()
    ours._init_dataloader()

    assert ours.config.data.get("gen_batch_size") is None
    assert ours.train_dataloader.batch_size == 16


def test_verls_own_trainer_takes_the_same_configuration(trainer, grpo_config):
    """The sinternal settings are ours alone: going back is one override."""
    from verl.trainer.ppo.v1 import get_trainer_cls

    plain = get_trainer_cls("sync")(grpo_config("trainer.v1.trainer_mode=sync"))

    assert plain.replay_buffer.poll_interval == 2.0


@pytest.mark.parametrize(
    ("override", "stands_at", "short"),
    [("", 6, False), ("", 5, True), ("", 1, True), ("trainer.val_only=true", 0, False)],
)
def test_a_loop_that_ends_before_the_last_step_is_an_error(trainer, monkeypatch, override, stands_at, short):
    """verl's ends so when the epochs hold fewer steps than trainer.total_training_steps."""
    from sinternal_verl.training.trainer import EndedEarly, PPOTrainerSync

    ours = trainer(*filter(None, [override]))
    monkeypatch.setattr(PPOTrainerSync, "fit", lambda self, manager: setattr(self, "global_steps", stands_at))
    ours.total_training_steps = 5
    if short:
        with pytest.raises(EndedEarly, match=rf"^step {stands_at - 1} of 5: there are no more batches; raise trainer"):
            ours.fit(None)
    else:
        ours.fit(None)


@pytest.mark.parametrize("now", [0, 2])
def test_a_checkpoint_goes_on_with_as_many_data_loader_workers_and_its_last_step_is_recorded(trainer, monkeypatch, now):
    from sinternal_verl.runs.record import LAST_STEP, read_record
    from sinternal_verl.training.trainer import PPOTrainerSync

    def load(workers: int):
        ours = trainer(f"data.dataloader_num_workers={workers}", "data.train_max_samples=128")
        ours._init_tokenizer()
        ours._init_dataloader()
        return ours

    saved, ours = load(2), load(now)
    next(iter(saved.train_dataloader))

    def verls(self):
        self.global_steps = 1
        self.train_dataloader.load_state_dict(saved.train_dataloader.state_dict())

    monkeypatch.setattr(PPOTrainerSync, "_load_checkpoint", verls)
    if now != 2:
        with pytest.raises(ValueError, match=r"data.dataloader_num_workers=0: .* give data.dataloader_num_workers=2$"):
            ours._load_checkpoint()
    else:
        ours._load_checkpoint()
        assert len(list(ours.train_dataloader)) == len(ours.train_dataloader) - 1
        assert read_record(Path(ours.config.trainer.default_local_dir))[LAST_STEP] == 2


@pytest.fixture
def buffer(trainer, monkeypatch):
    """The trainer's buffer over a queue whose content a test sets."""
    from verl.trainer.ppo.v1 import replay_buffer

    content = SimpleNamespace(value={})
    monkeypatch.setattr(replay_buffer.tq, "kv_list", lambda *args: content.value)
    monkeypatch.setattr(replay_buffer.tq, "kv_clear", lambda **kwargs: None)
    made = trainer("sinternal.rollout.poll_s=0.01", "sinternal.rollout.no_progress_s=0.3").replay_buffer
    made.content = content
    return made


def prompt(status: str) -> dict:
    return {"is_prompt": True, "status": status, "global_steps": 1}


def test_a_wait_in_which_nothing_moves_ends_and_says_what_it_waited_for(buffer):
    from sinternal_verl.training.waiting import NoProgress

    buffer.content.value = {"train": {"a": prompt("running"), "b": prompt("finished"), "b_0_0": {}}}
    with pytest.raises(NoProgress, match=r"0 pending, 1 running, 1 finished, 0 failure; rollouts here: 1"):
        buffer.sample(global_steps=1, partition_id="train", batch_size=2)


def test_a_wait_in_which_rollouts_still_arrive_goes_on(buffer):
    arrived: list[float] = []

    def more(*args):
        if not arrived or time.monotonic() - arrived[-1] > 0.2:
            arrived.append(time.monotonic())
        rows = {f"a_{n}_0": {} for n in range(len(arrived))}
        return {"train": {"a": prompt("finished" if len(arrived) > 5 else "running"), **rows}}

    from verl.trainer.ppo.v1 import replay_buffer

    replay_buffer.tq.kv_list = more
    batch, _ = buffer.sample(global_steps=1, partition_id="train", batch_size=1)

    assert arrived[-1] - arrived[0] > 0.9  # three times the deadline
    assert len(batch) == 6


def test_time_between_two_waits_does_not_count(buffer):
    buffer.content.value = {"train": {"a": prompt("finished"), "a_0_0": {}}}
    buffer.sample(global_steps=1, partition_id="train", batch_size=1)
    time.sleep(0.5)
    buffer.sample(global_steps=2, partition_id="train", batch_size=1)


def test_validation_counts_no_failure_as_a_wrong_answer(trainer):
    ours = trainer()
    metrics = ours._val_metrics_update(
        ["math"] * 4,
        ["p", "p", "q", "q"],
        {
            "reward": [1.0, 0.0, 0.0, 1.0],
            "score": [1.0, 0.0, 0.0, 1.0],
            "outcome": [1, 9, 2, 1],
            "scored": [1, 0, 1, 1],
        },
        [2] * 4,
        expected_acc_counts={("math", "p"): 2, ("math", "q"): 2, ("math", "r"): 2},
    )

    assert metrics["val/math/reward/mean"] == pytest.approx(2 / 3)
    assert (metrics["val/math/scored"], metrics["val/math/outcome/failed"]) == (0.75, 1)
    assert metrics["val/math/missing"] == 2  # the session of prompt r died
    assert metrics["val-core/math/reward/mean@2"] == 0.5  # of the one prompt without a failure
    assert not [name for name in metrics if name.startswith("val-aux/math") and "reward" not in name]


def test_an_accuracy_of_the_users_own_function_leaves_prompts_with_a_failure_out(trainer):
    metrics = trainer()._val_metrics_update(
        ["math"] * 4,
        ["p", "p", "q", "q"],
        {"reward": [1.0, 0.0, 0.0, 1.0], "acc": [1.0, 0.0, 0.0, 1.0], "outcome": [1, 9, 2, 1], "scored": [1, 0, 1, 1]},
        [2] * 4,
        expected_acc_counts={("math", "p"): 2, ("math", "q"): 2},
    )

    assert metrics["val-core/math/acc/mean@2"] == 0.5
