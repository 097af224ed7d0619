"""What of a score reaches verl, on whatever a scorer returns."""

import json
import math
import pickle

import numpy as np
import pytest
import torch

from sinternal_verl.scoring.function import to_score
from sinternal_verl.scoring.score import GUARD_NUMBERS, Outcome, Sample, Score
from sinternal_verl.training import wire
from sinternal_verl.training.wire import DETAILS, MAX_DETAILS, OWN_NAMES, VERLS_NAMES, to_wire

SAMPLE = Sample("math", "text", "5", extra={"index": 7})
STRANGE = {
    "text": "so",
    "array": np.arange(3),
    "tensor": torch.eye(2),
    "nan": math.nan,
    "inf": np.inf,
    "none": None,
    "made": lambda: 1,
}


def sent(extra, validation=False, dumped=False, sample=SAMPLE, **score) -> dict:
    return to_wire(Score(1.0, Outcome.SCORED, extra, **score), sample, length=9, validation=validation, dumped=dumped)


def numbers_of(extra, **how) -> dict:
    """Of the scorer's own."""
    return {name: value for name, value in sent(extra, **how).items() if name not in OWN_NAMES}


def test_our_own_numbers_say_how_the_score_came_about():
    assert sent({}) == {"score": 1.0, "outcome": 12.0, "scored": 1.0, "response_length": 9.0, "cut": 0.0}


@pytest.mark.parametrize("validation", [False, True])
def test_numbers_of_any_kind_travel_as_floats(validation):
    extra = {"acc": True, "half": torch.tensor([0.5]), "one": np.float32(1), 5: 2}

    assert numbers_of(extra, validation=validation) == {"acc": 1.0, "half": 0.5, "one": 1.0, "5": 2.0}


@pytest.mark.parametrize("validation", [False, True])
def test_nothing_else_travels_where_nothing_is_dumped(validation):
    assert numbers_of(STRANGE, validation=validation) == {}


@pytest.mark.parametrize("name", sorted(VERLS_NAMES | OWN_NAMES - set(GUARD_NUMBERS)))
def test_no_extra_takes_a_name_of_verls_or_ours(name, monkeypatch):
    warned = []
    monkeypatch.setattr(wire.logger, "warning", lambda message, *arguments: warned.append(message % arguments))
    wire._warned.clear()
    plain = sent({}, dumped=True)
    found = sent({name: 77.0}, dumped=True)

    assert {**found, DETAILS: None} == {**plain, DETAILS: None}
    assert json.loads(found[DETAILS])["extra"] == {name: 77.0}
    assert len(warned) == 1 and repr(name) in warned[0]


def test_what_the_guard_measured_travels_and_what_it_did_not_is_absent():
    assert sent({"cut": 3.0, "safe_probability": 0.25}).items() >= {"cut": 3.0, "safe_probability": 0.25}.items()
    assert "safe_probability" not in sent({"cut": 3.0, "safe_probability": math.nan})


@pytest.mark.parametrize(
    ("truth", "benign"), [("benign", 1.0), ("harmful", 0.0), ("5", None), (None, None), ([], None)]
)
def test_the_label_of_a_safety_prompt_travels(truth, benign):
    assert sent({}, sample=Sample("x", "text", truth)).get("benign") == benign


@pytest.mark.parametrize(
    ("value", "vote"), [("5", "5"), (5, "5"), (np.int64(5), "5"), (np.array([1, 2]), "[1, 2]"), ({"a": 1}, '{"a": 1}')]
)
def test_a_vote_travels_as_text_with_validation_rows_only(value, vote):
    assert numbers_of({"pred": value}, validation=True) == {"pred": vote}
    assert numbers_of({"pred": value}) == {}
    for validation in (False, True):
        assert json.loads(sent({"pred": value}, validation, dumped=True)[DETAILS])["extra"]["pred"] is not None


def test_a_scorer_without_a_vote_sends_none():
    assert numbers_of({"pred": None}, validation=True) == {} == numbers_of({}, validation=True)


@pytest.mark.parametrize("validation", [False, True])
def test_the_dumps_get_the_rest_as_json(validation):
    found = json.loads(sent(STRANGE, validation, dumped=True, reason="why")[DETAILS])

    assert (found["index"], found["reason"]) == (7, "why")
    assert found["extra"].items() >= {"text": "so", "array": [0, 1, 2], "tensor": [[1.0, 0.0], [0.0, 1.0]]}.items()
    assert found["extra"]["nan"] is None and found["extra"].keys() == STRANGE.keys()


@pytest.mark.parametrize("extra", [STRANGE, None, [1], "text", {("a", 1): torch.zeros(10**6)}, {"t": "x" * 10**7}])
def test_whatever_the_extras_are_what_is_sent_is_small_and_can_be_pickled(extra):
    found = sent(extra, dumped=True)

    assert len(pickle.dumps(found)) < 2 * MAX_DETAILS
    assert all(isinstance(value, float) for name, value in found.items() if name != DETAILS)


def test_too_many_details_are_left_out_by_name():
    extra = {f"field{n}": "x" * 9000 for n in range(50)}
    found = json.loads(sent(extra, dumped=True)[DETAILS])["extra"]

    assert found.keys() == extra.keys() and "left out" in found["field0"]


def test_a_users_function_and_a_scorer_class_are_filtered_alike():
    fields = {"score": 1, "reward": 3, "acc": True, "why": "so", "marks": torch.ones(2), "pred": "5"}
    of_function = to_score(fields)
    of_class = Score(1.0, Outcome.SCORED, {name: value for name, value in fields.items() if name != "score"})

    for validation in (False, True):
        found = [to_wire(score, SAMPLE, 9, validation=validation, dumped=True) for score in (of_function, of_class)]
        assert found[0] == found[1]


def test_every_column_of_a_rollout_is_a_name_of_verls():
    """Where a reward model stands beside the trainer, verl writes extras among the columns of the batch."""
    from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics, AgentLoopOutput

    output = AgentLoopOutput(
        prompt_ids=[1],
        response_ids=[2],
        response_mask=[1],
        response_logprobs=[0.0],
        reward_score=1.0,
        num_turns=2,
        metrics=AgentLoopMetrics(),
    )

    assert set(output.as_dict()) <= VERLS_NAMES
