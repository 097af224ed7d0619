"""A user's own reward function: what it may return, and what its score becomes."""

import asyncio

import numpy as np
import pytest
import torch
from sinternal_verl.reward_fns import boxed_math

from sinternal_verl.scoring.function import FunctionScorer, to_score
from sinternal_verl.scoring.score import Outcome, Sample


@pytest.mark.parametrize(
    "result", [1, 1.0, True, np.float32(1), torch.tensor(1.0), {"score": 1}, {"score": np.int64(1)}]
)
def test_numbers_of_any_kind_are_scores(result):
    assert to_score(result).value == 1.0
    assert to_score(result).outcome is Outcome.SCORED


def test_none_has_nothing_to_say_and_is_no_zero():
    assert not to_score(None).scored
    assert to_score(None).outcome is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize("result", [float("nan"), float("inf"), {"score": float("nan")}])
def test_what_is_no_finite_number_is_a_failure(result):
    assert to_score(result).outcome is Outcome.FAILED


@pytest.mark.parametrize("result", ["1.0", {"reward": 1.0}, [1.0], {"score": None}])
def test_anything_else_is_refused(result):
    with pytest.raises(TypeError, match="a number or a dict with 'score'"):
        to_score(result)


def test_all_but_score_and_outcome_is_extra_whatever_it_is():
    marks = np.arange(3)
    extra = to_score({"score": 1, "acc": 1, "pred": "5", "reward": 3, "scored": 0, "marks": marks}).extra

    assert extra == {"acc": 1, "pred": "5", "reward": 3, "marks": marks}


@pytest.mark.parametrize("result", [np.arange(3), torch.zeros(2), {"score": np.arange(3)}])
def test_several_numbers_are_no_score(result):
    with pytest.raises(TypeError, match="a number or a dict with 'score'"):
        to_score(result)


def test_a_function_may_name_one_of_our_outcomes():
    score = FunctionScorer(boxed_math.compute_score)(Sample("", r"\boxed{5} was a thought", "5"))

    assert score.outcome is Outcome.THOUGHT_UNCLOSED
    assert to_score({"score": 1.0, "outcome": 99}).outcome is Outcome.SCORED


def test_the_function_gets_what_verl_gives_and_cannot_change_the_row():
    seen = {}

    def compute_score(data_source, solution_str, ground_truth, extra_info, limit):
        seen.update(source=data_source, text=solution_str, truth=ground_truth, limit=limit)
        extra_info["mine"] = 1
        return 0.5

    sample = Sample("math", "text", "5", extra={"index": "7"})
    FunctionScorer(compute_score, limit=3)(sample)

    assert seen == {"source": "math", "text": "text", "truth": "5", "limit": 3}
    assert sample.extra == {"index": "7"}


def test_an_async_function_is_awaited():
    async def compute_score(**kwargs):
        return {"score": 0.5}

    function = FunctionScorer(compute_score)

    assert function.is_async
    assert asyncio.run(function(Sample("", ""))).value == 0.5
