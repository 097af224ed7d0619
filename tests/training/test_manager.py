"""One sample in, one score out, on every path: the manager as verl's reward worker runs it."""

import asyncio
import json
import time

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from rollouts import rollout
from transformers import AutoTokenizer

from sinternal_verl.scoring import registry
from sinternal_verl.scoring.registry import ScorerError
from sinternal_verl.scoring.score import Outcome, Score
from sinternal_verl.training.rollouts import make_row
from sinternal_verl.training.wire import MarkValidation

RIGHT = "7+8=15, carry 1.\n</think>\n\n\\boxed{85}"
KEYS = {"score", "outcome", "scored", "cut", "response_length"}


@pytest.fixture(scope="module")
def tokenizer(world):
    return AutoTokenizer.from_pretrained(world["policy"])


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))


@pytest.fixture
def score(tokenizer):
    """A function from a response to what the manager returns for it."""

    def run(response=RIGHT, truth="85", source="math", scorers=None, compute_score=None, timeout_s=5.0, times=1):
        async def all_of_them():
            manager = make_manager(tokenizer, scorers, compute_score, timeout_s)
            rows = [rollout(tokenizer, response, truth, source) for _ in range(times)]
            return await asyncio.gather(*(manager.run_single(row) for row in rows))

        results = asyncio.run(all_of_them())
        return results if times > 1 else results[0]

    return run


def make_manager(tokenizer, scorers=None, compute_score=None, timeout_s=5.0, **others):
    from sinternal_verl.training.manager import SInternalRewardManager

    config = OmegaConf.create(
        {
            "reward": {"custom_reward_function": {"path": "mine.py" if compute_score else None}},
            "sinternal": {
                "scorers": {"boxed_math": {"sources": ["*"]}} if scorers is None else scorers,
                "score_timeout_s": timeout_s,
            },
            "data": {},
            **others,
        }
    )
    # verl passes a compute_score in every case, its own when the user set none
    return SInternalRewardManager(config, tokenizer, compute_score or (lambda **kwargs: 1 / 0))


def info(result) -> tuple[float, Outcome, bool]:
    extra = result["reward_extra_info"]
    assert extra["score"] == result["reward_score"]
    return result["reward_score"], Outcome(int(extra["outcome"])), bool(extra["scored"])


@pytest.mark.parametrize(
    ("response", "truth", "expected"),
    [
        (RIGHT, "85", (1.0, Outcome.CORRECT, True)),
        (RIGHT, "75", (0.0, Outcome.MISMATCH, True)),
        (r"\boxed{85}", "85", (0.0, Outcome.THOUGHT_UNCLOSED, True)),
        (RIGHT, None, (0.0, Outcome.BAD_GOLD, False)),
        ("", "85", (0.0, Outcome.THOUGHT_UNCLOSED, True)),
    ],
)
def test_boxed_math_through_the_manager(score, response, truth, expected):
    assert info(score(response, truth)) == expected


def test_every_path_returns_the_same_numeric_keys(score):
    registry.scorer("fails")(lambda sample: 1 / 0)
    results = [
        score(),
        score("", None),
        score(scorers={"fails": {"sources": ["*"]}}),
        score(source="x", scorers={"boxed_math": {"sources": ["y"]}}),
    ]

    for result in results:
        assert result["reward_extra_info"].keys() == KEYS
        assert all(isinstance(value, float) for value in result["reward_extra_info"].values())


def test_a_thought_end_that_is_a_special_token_is_kept(world):
    """Decoding without special tokens would lose it, and with it every answer."""
    tokenizer = AutoTokenizer.from_pretrained(world["policy"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["</think>"]})
    assert "</think>" not in tokenizer.decode(tokenizer.encode(RIGHT), skip_special_tokens=True)

    result = asyncio.run(_single(tokenizer))

    assert result["reward_score"] == 1.0


async def _single(tokenizer):
    return await make_manager(tokenizer).run_single(rollout(tokenizer, RIGHT, "85", "math"))


def test_a_scorer_sees_the_response_without_its_end_and_padding(score, tokenizer):
    seen = []
    registry.scorer("sees")(lambda sample: seen.append(sample) or Score(0.5, Outcome.SCORED))
    score(scorers={"sees": {"sources": ["*"]}})

    assert seen[0].response == RIGHT
    assert (seen[0].source, seen[0].ground_truth, seen[0].extra["index"]) == ("math", "85", "7")


@pytest.mark.parametrize("listed", [True, False])
def test_a_scorer_sees_no_end_token_of_the_models_generation_config(tokenizer, tmp_path, listed):
    """Gemma ends a turn with <end_of_turn>, Llama 3 with <|eot_id|>, and neither is the tokenizer's end token."""
    (turn,) = tokenizer.encode("<|User|>", add_special_tokens=False)
    assert turn != tokenizer.eos_token_id
    ends = [tokenizer.eos_token_id, turn] if listed else tokenizer.eos_token_id
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    seen = []
    registry.scorer("sees")(lambda sample: seen.append(sample) or Score(0.5, Outcome.SCORED))
    row = rollout(tokenizer, f"{RIGHT}<|User|>", "85", "math")

    async def single():
        model = {"model": {"path": str(tmp_path)}}
        manager = make_manager(tokenizer, {"sees": {"sources": ["*"]}}, actor_rollout_ref=model)
        return await manager.run_single(row)

    result = asyncio.run(single())
    assert seen[0].response == (RIGHT if listed else f"{RIGHT}<|User|>")
    assert result["reward_extra_info"]["response_length"] == len(tokenizer.encode(RIGHT, add_special_tokens=False)) + 2


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("dumped", [None, "rollout_data_dir", "validation_data_dir"])
def test_text_goes_where_rows_of_its_kind_are_dumped_and_a_vote_with_validation_rows(tokenizer, validation, dumped):
    row = rollout(tokenizer, RIGHT, "85", "math")
    if validation:
        marked = MarkValidation(lambda rows: {})([{}])
        row.non_tensor_batch |= marked

    async def single():
        function = lambda **kwargs: {"score": 1.0, "pred": "85", "why": "so", "marks": np.arange(2)}  # noqa: E731
        trainer = {dumped: "/dumps"} if dumped else {}
        return await make_manager(tokenizer, compute_score=function, trainer=trainer).run_single(row)

    found = asyncio.run(single())["reward_extra_info"]
    assert found.get("pred") == ("85" if validation else None)
    assert ("details" in found) == (dumped == ("validation_data_dir" if validation else "rollout_data_dir"))
    assert found.keys() <= KEYS | {"pred", "details"}


def test_a_scorer_may_return_whatever_it_likes_beside_its_score(score):
    strange = {"tensor": torch.zeros(3), "made": lambda: 1, "uid": 5, "nan": float("nan"), "style": np.float32(0.5)}
    registry.scorer("strange")(lambda sample: Score(np.float32(1.0), Outcome.SCORED, strange))
    result = score(scorers={"strange": {"sources": ["*"]}})

    assert info(result) == (1.0, Outcome.SCORED, True) and type(result["reward_score"]) is float
    assert result["reward_extra_info"].keys() == KEYS | {"style"}


def test_a_scorer_that_raises_is_an_outcome_and_the_log_says_why_ever_more_rarely(score, caplog):
    registry.scorer("fails")(lambda sample: 1 / 0)
    results = score(scorers={"fails": {"sources": ["*"]}}, times=9)

    assert {info(result) for result in results} == {(0.0, Outcome.FAILED, False)}
    said = [record for record in caplog.records if record.name == "sinternal_verl.scoring.run"]
    assert [record.args[2] for record in said] == [1, 2, 4, 8]
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), StopIteration(), TimeoutError()])
def test_whatever_a_blocking_scorer_raises_ends_neither_worker_nor_wait(score, raised):
    def raises(sample):
        raise raised

    registry.scorer("raises")(raises)
    outcome = Outcome.TIMED_OUT if isinstance(raised, TimeoutError) else Outcome.FAILED

    assert info(score(scorers={"raises": {"sources": ["*"]}})) == (0.0, outcome, False)


def test_a_scorer_that_returns_no_score_has_failed(score):
    registry.scorer("number")(lambda sample: 1.0)

    assert info(score(scorers={"number": {"sources": ["*"]}})) == (0.0, Outcome.FAILED, False)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_finite_number_has_failed(score, value):
    registry.scorer("nan")(lambda sample: Score(value, Outcome.SCORED))

    assert info(score(scorers={"nan": {"sources": ["*"]}})) == (0.0, Outcome.FAILED, False)


def test_a_timeout_of_the_scorers_own_keeps_its_words(score, caplog):
    def waits(sample):
        raise TimeoutError("replica 0 did not answer")

    registry.scorer("waits")(waits)

    assert info(score(scorers={"waits": {"sources": ["*"]}})) == (0.0, Outcome.TIMED_OUT, False)
    assert "replica 0 did not answer" in caplog.text


def test_a_score_that_is_no_verdict_is_in_the_log_with_its_reason(score, caplog):
    registry.scorer("undecided")(lambda sample: Score(0.0, Outcome.UNPARSABLE, reason="2 Safety lines"))

    assert info(score(scorers={"undecided": {"sources": ["*"]}})) == (0.0, Outcome.UNPARSABLE, False)
    assert "UNPARSABLE, 1 so far: 2 Safety lines" in caplog.text


def test_the_length_that_verl_names_wins_over_a_mask_padded_apart(tokenizer):
    row = rollout(tokenizer, RIGHT, "85", "math")
    length = len(tokenizer.encode(RIGHT, add_special_tokens=False)) + 1
    row.batch["attention_mask"][:, -length:] = 0
    row.non_tensor_batch["response_len"] = np.array([length])

    async def single():
        return await make_manager(tokenizer).run_single(row)

    assert asyncio.run(single())["reward_score"] == 1.0


def test_an_unknown_source_is_an_outcome_that_names_the_known_ones(score, caplog):
    result = score(source="chat", scorers={"boxed_math": {"sources": ["math*"]}})

    assert info(result) == (0.0, Outcome.NO_SCORER, False)
    assert "'chat'" in caplog.text and "math*" in caplog.text


def test_a_blocking_scorer_runs_beside_others(score):
    registry.scorer("waits")(lambda sample: time.sleep(0.5) or Score(1.0, Outcome.SCORED))
    started = time.monotonic()
    results = score(scorers={"waits": {"sources": ["*"]}}, times=8)

    assert time.monotonic() - started < 3
    assert {info(result) for result in results} == {(1.0, Outcome.SCORED, True)}


def test_a_scorer_that_hangs_is_timed_out_and_takes_no_slot_from_later_samples(score):
    registry.scorer("hangs")(lambda sample: time.sleep(20) or Score(1.0, Outcome.SCORED))
    started = time.monotonic()
    results = score(scorers={"hangs": {"sources": ["*"]}}, times=40, timeout_s=0.3)

    assert time.monotonic() - started < 10
    assert {info(result) for result in results} == {(0.0, Outcome.TIMED_OUT, False)}


def test_an_async_scorer_that_hangs_is_timed_out(score):
    async def hangs(sample):
        await asyncio.sleep(100)

    registry.scorer("hangs")(hangs)

    assert info(score(scorers={"hangs": {"sources": ["*"]}}, timeout_s=0.2)) == (0.0, Outcome.TIMED_OUT, False)


def test_the_users_own_function_takes_every_source(score):
    def compute_score(data_source, solution_str, ground_truth, extra_info):
        return {"score": 0.25, "acc": 1.0, "turns": extra_info["num_turns"]}

    result = score(source="anything", compute_score=compute_score)

    assert info(result) == (0.25, Outcome.SCORED, True)
    assert result["reward_extra_info"].items() >= {"acc": 1.0, "turns": 2.0}.items()


def test_without_any_scorer_the_manager_says_what_to_add(tokenizer):
    with pytest.raises(ScorerError, match=r"sinternal\.scorers\.boxed_math"):
        make_manager(tokenizer, scorers={})


def test_verl_finds_the_manager_by_name_and_by_import(tokenizer):
    from verl.trainer.ppo.reward import resolve_reward_manager_cls

    ours = {
        "source": "importlib",
        "name": "SInternalRewardManager",
        "module": {"path": "pkg://sinternal_verl.training.manager"},
    }
    for choice in (ours, {"source": "register", "name": "sinternal"}):
        config = OmegaConf.create({"reward": {"reward_manager": choice}})
        assert resolve_reward_manager_cls(config).__name__ == "SInternalRewardManager"


def test_of_verls_router_the_scorers_learn_the_address_and_the_run_s_configuration_does_not(tokenizer, monkeypatch):
    from sinternal_verl.training import manager

    found = {}
    monkeypatch.setattr(manager.Router, "from_config", lambda scorers: found.update(scorers) or manager.Router([]))
    guard = {"backend": "verl_router", "url": None}
    scorers = {"safety": {"sources": ["safety/*"], "guard": "${sinternal.guard}"}}
    config = OmegaConf.create(
        {
            "reward": {"custom_reward_function": {"path": None}},
            "sinternal": {"scorers": scorers, "guard": guard},
            "data": {},
        }
    )
    manager.SInternalRewardManager(config, tokenizer, None, reward_router_address="10.0.0.1:4000")

    assert found["safety"]["guard"] == guard | {"url": "http://10.0.0.1:4000/v1"}
    assert config.sinternal.guard.url is None


@pytest.mark.parametrize("name", ["naive", "dapo"])
def test_verls_own_managers_hand_on_all_of_a_dict_and_its_row_takes_any_of_it(tokenizer, name):
    from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls

    returned = {"score": 1.0, "details": "wrong sign", "outcome": 0.5, "scored": 0, "benign": "yes", "acc": True}
    config = OmegaConf.create({"reward": {}})

    async def single():
        manager = get_reward_manager_cls(name)(config, tokenizer, lambda **given: returned)
        return await manager.run_single(rollout(tokenizer, RIGHT, "85", "math"))

    result = asyncio.run(single())
    row = make_row("a_0_0", "math", result["reward_score"], result["reward_extra_info"])

    assert result["reward_extra_info"] == returned
    assert (row.reward, row.outcome, row.scored, row.benign) == (1.0, Outcome.SCORED, True, None)
    assert row.extra == {"outcome": 0.5, "scored": 0.0, "acc": 1.0}
    assert row.details == {"extra": {"details": "wrong sign", "benign": "yes"}}
