"""Our trainer is verl's sync trainer wherever verl asks for its name."""

import json
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch


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


def test_the_more_rollouts_there_are_the_rarer_is_a_look(buffer, monkeypatch):
    from verl.trainer.ppo.v1 import replay_buffer

    looks: list[float] = []

    def slow(*args):
        looks.append(time.monotonic())
        time.sleep(0.05)
        return {"train": {"a": prompt("finished" if len(looks) > 3 else "running"), "a_0_0": {}}}

    monkeypatch.setattr(replay_buffer.tq, "kv_list", slow)
    buffer.no_progress_s = 60
    buffer.sample(global_steps=1, partition_id="train", batch_size=1)

    # A look of 0.05 s may take a tenth of the time, so 0.45 s pass between two.
    assert all(later - earlier >= 0.5 for earlier, later in pairwise(looks))


def test_time_between_two_waits_does_not_count(buffer):
    buffer.content.value = {"train": {"a": prompt("finished"), "a_0_0": {}}}
    buffer.sample(global_steps=1, partition_id="train", batch_size=1)
    time.sleep(0.5)
    buffer.sample(global_steps=2, partition_id="train", batch_size=1)


@pytest.mark.parametrize("kind", [np.array, torch.tensor, lambda counts: np.array(counts, dtype=object)])
def test_a_prompt_that_asks_for_fewer_responses_misses_none(trainer, monkeypatch, kind):
    """verl's workers take the number from the prompt's column `__rollout_n__` where there is one."""
    from verl.utils import tensordict_utils as tu

    from sinternal_verl.training.trainer import PPOTrainerSync

    ours = trainer("actor_rollout_ref.rollout.n=4")
    monkeypatch.setattr(PPOTrainerSync, "_submit_batch_to_rollout", lambda self, batch: len(batch))

    def submit(uids, **columns):
        names = {"uid": uids, "data_source": ["math" if uid < "c" else "chat" for uid in uids]}
        columns |= {name: np.array(values, dtype=object) for name, values in names.items()}
        ours._submit_batch_to_rollout(tu.get_tensordict(columns))

    submit(["a", "b", "c"], __rollout_n__=kind([2, 3, 5]))
    assert ours._take_expected([], 4) == {"math": 5, "chat": 5}
    submit(["a", "c"])
    assert ours._take_expected([], 4) == {"math": 4, "chat": 4}


def test_a_validation_of_verls_own_manager_takes_any_name(trainer):
    """Its rows have no length and count as scored; what verl's metrics cannot average is kept from them."""
    infos = {
        "score": [1.0, 0.0, 1.0, 1.0],
        "details": ["wrong sign", '"x"', {"a": 1}, None],
        "outcome": [0.5, 99.0, None, "no"],
        "scored": [0.0, 0.0, 1.0, None],
        "benign": [1.0, 1.0, 0.0, 0.0],
    }
    columns = {"reward": infos["score"], **infos}
    metrics = trainer()._val_metrics_update(
        ["math"] * 4, ["p", "p", "q", "q"], columns, [2] * 4, {("math", "p"): 2, ("math", "q"): 2}
    )

    assert (metrics["val/math/scored"], metrics["val/math/outcome/scored"]) == (1.0, 4)
    assert (metrics["val/math/benign/mean"], metrics["val/math/outcome/mean"]) == (0.5, 49.75)
    assert metrics["val-core/math/reward/mean@2"] == 0.75
    assert "val/math/refused" not in metrics and "val/math/response_length/mean" not in metrics


def test_a_validation_of_evaluation_sets_has_the_figures_of_each(trainer):
    """The sources are those that `sinternal-verl data eval` writes."""
    from sinternal_verl.scoring.score import Outcome

    outcomes = [Outcome.SAFE, Outcome.UNSAFE, Outcome.SAFE, Outcome.REFUSED, Outcome.CORRECT, Outcome.MISMATCH]
    rewards = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]
    sources = [name for name in ("safety/harmful/strongreject", "safety/benign/xstest", "math500") for _ in "12"]
    metrics = trainer()._val_metrics_update(
        sources,
        list("aabbcc"),
        {
            "reward": rewards,
            "score": rewards,
            "outcome": [int(outcome) for outcome in outcomes],
            "scored": [1] * 6,
            "benign": [0.0, 0.0, 1.0, 1.0, None, None],
            "response_length": [9.0] * 6,
        },
        [2] * 6,
        expected_acc_counts=dict.fromkeys(zip(sources, "aabbcc", strict=True), 2),
    )

    assert metrics["val/safety/harmful/strongreject/asr"] == 0.5
    assert metrics["val/safety/benign/xstest/compliance"] == 0.5
    assert metrics["val/math500/accuracy"] == 0.5
    assert not {"val/math500/asr", "val/safety/benign/xstest/asr", "val/safety/benign/xstest/accuracy"} & metrics.keys()


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
            "response_length": [9.0] * 4,
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
        {
            "reward": [1.0, 0.0, 0.0, 1.0],
            "acc": [1.0, 0.0, 0.0, 1.0],
            "outcome": [1, 9, 2, 1],
            "scored": [1, 0, 1, 1],
            "response_length": [9.0] * 4,
        },
        [2] * 4,
        expected_acc_counts={("math", "p"): 2, ("math", "q"): 2},
    )

    assert metrics["val-core/math/acc/mean@2"] == 0.5


def held_out(trainer, rewards, outcomes, sources=None, **infos):
    """The metrics of a validation of two prompts with two responses each; an outcome of 9 is a failure."""
    sources = sources or ["math"] * 4
    return trainer._val_metrics_update(
        sources,
        ["p", "p", "q", "q"],
        {
            "reward": rewards,
            "outcome": outcomes,
            "scored": [float(outcome != 9) for outcome in outcomes],
            "response_length": [9.0] * 4,
            **infos,
        },
        [2] * 4,
        expected_acc_counts={(sources[0], "p"): 2, (sources[2], "q"): 2},
    )


def test_a_response_without_a_vote_votes_for_nothing_and_the_others_count(trainer):
    """verl drops the votes of a prompt of which one response has none."""
    metrics = held_out(trainer(), [1.0, 0.0, 1.0, 1.0], [12] * 4, pred=["a", None, "b", "b"])

    # 1 of prompt q, and either of the two rewards of prompt p; without p's votes it were 1.
    assert metrics["val-core/math/reward/maj@2/mean"] == pytest.approx(0.75, abs=0.05)


def test_a_source_that_votes_brings_no_votes_into_another(trainer):
    sources = ["math", "math", "chat", "chat"]
    metrics = held_out(trainer(), [1.0, 0.0, 1.0, 1.0], [12] * 4, sources, pred=["a", "b", None, None])

    assert "val-core/math/reward/maj@2/mean" in metrics
    assert not [name for name in metrics if "chat/reward/maj" in name]


def test_numbers_of_the_scorer_s_own_are_curves_of_the_validation_and_ours_are_not_verl_s(trainer):
    metrics = held_out(
        trainer(),
        [1.0, 0.0, 1.0, 0.0],
        [13, 16, 13, 14],
        style=[1.0, None, 0.5, None],
        benign=[1.0, 1.0, 0.0, 0.0],
        response_length=[4.0, 48.0, 2.0, 2.0],
        details=['{"extra": {}}'] * 4,
    )

    assert metrics["val/math/style/mean"] == 0.75
    assert metrics["val/math/refused"] == 0.5
    assert (metrics["val/math/response_length/mean"], metrics["val/math/truncated"]) == (14.0, 0.25)
    assert not [name for name in metrics if name.startswith("val-") and name.split("/")[2] in ("benign", "details")]


def test_the_first_validation_ends_a_run_with_a_dead_judge_and_a_later_one_does_not(trainer):
    from sinternal_verl.training.failures import TooManyFailures

    sources, ours = ["math", "math", "safety/x", "safety/x"], trainer()
    dead = ([1.0, 0.0, 0.0, 0.0], [1, 2, 9, 9], sources)
    with pytest.raises(TooManyFailures, match=r"first validation .*: safety/x: 0 of 2 responses .*: 2 FAILED\. "):
        held_out(ours, *dead)
    ours = trainer()
    held_out(ours, [1.0, 0.0, 1.0, 0.0], [1, 2, 13, 14], sources)
    assert held_out(ours, *dead)["val/safety/x/scored"] == 0.0


def test_the_first_validation_and_the_first_step_name_the_setting_of_models_that_do_not_think(trainer, capsys):
    ours = trainer()
    for _ in range(2):
        held_out(ours, [0.0] * 4, [5, 5, 5, 3])
    for _ in range(2):
        ours._warn_of_open_thoughts("step", [])
    said = capsys.readouterr().out

    assert said.count("3 of 4 responses of 'math' never end their thought") == 1
    assert "sinternal.scorers.boxed_math.thought=none" in said
    assert said.startswith("sinternal_verl: warning: the first validation: ")


def test_a_validation_is_dumped_as_a_step_is(trainer, tmp_path):
    ours = trainer("sinternal.failures.min_share=0")
    ours._init_dump_executor()
    ours._init_tokenizer()
    ours.global_steps, ours._validating = 3, True
    details = json.dumps({"index": 7, "reason": "why", "extra": {"why": "so"}})
    infos = {"reward": [1.0, 0.0], "outcome": [1.0, 9.0], "scored": [1.0, 0.0], "details": [details, None]}
    infos["response_length"] = [9.0, 9.0]
    infos |= {"safe_probability": [float("nan"), None], "style": [0.5, None], "pred": ["a", None]}
    # A session may have several outputs, of which the last one's score counts.
    keys = ["p_0_0", "p_0_1", "q_0_0"]
    ours._dump_generations(
        inputs=["1?", "1?", "2?"],
        outputs=["a", "b", "c"],
        gts=["1", "1", "2"],
        scores=[1.0, 1.0, float("nan")],
        reward_extra_infos_dict={name: [values[0], *values] for name, values in infos.items()} | {"uid": keys},
        dump_path=str(tmp_path),
    )
    ours._val_metrics_update(["math", "chat"], ["p", "q"], infos, [2, 2], {("math", "p"): 1, ("chat", "q"): 1})
    ours._shutdown_dump_executor()
    rows = [json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "3.jsonl").read_text().splitlines()]

    assert [row["uid"] for row in rows] == keys and [row["data_source"] for row in rows] == ["math", "math", "chat"]
    assert [row["outcome"] for row in rows] == ["correct", "correct", "failed"]
    assert rows[0].items() >= {"index": 7, "reason": "why", "step": 3, "score": 1.0, "advantage": None}.items()
    assert rows[0]["extra"] == {"why": "so", "style": 0.5}
    assert rows[2]["score"] is None and rows[2]["safe_probability"] is None


def test_a_dump_is_decoded_with_its_special_tokens(trainer, tmp_path):
    ours = trainer()
    ours._init_dump_executor()
    ours._init_tokenizer()
    ours.global_steps = 3
    ids = torch.tensor([*ours.tokenizer.encode("47+38?", add_special_tokens=False), ours.tokenizer.eos_token_id])
    others = {"gts": ["85"], "scores": [1.0], "reward_extra_infos_dict": {}, "dump_path": str(tmp_path)}
    ours._dump_generations(inputs=[ids[:-1]], outputs=[ids], **others)
    ours._shutdown_dump_executor()
    (row,) = [json.loads(line) for line in (tmp_path / "3.jsonl").read_text().splitlines()]

    assert (row["input"], row["output"]) == ("47+38?", f"47+38?{ours.tokenizer.eos_token}")


def test_a_dump_that_cannot_be_written_is_counted_and_does_not_end_the_run(trainer, tmp_path, capsys):
    """verl would raise it in a later step."""
    ours = trainer()
    ours._init_dump_executor()
    ours._init_tokenizer()
    (tmp_path / "rollouts").write_text("a file where the folder should be")
    for step in (1, 2):
        ours.global_steps = step
        others = {"gts": ["2"], "scores": [1.0], "reward_extra_infos_dict": {}}
        ours._dump_generations(inputs=["1+1?"], outputs=["2"], **others, dump_path=str(tmp_path / "rollouts"))
    ours._shutdown_dump_executor()

    assert ours._failed_dumps == [1, 2]
    assert capsys.readouterr().out.count("the report will lack these rollouts") == 2
