"""Which rows a policy sets aside, and when a run has failed too much."""

import json
import math
from collections import Counter

import numpy as np
import pytest

from sinternal_verl.scoring.score import Outcome
from sinternal_verl.training.failures import MIN_ROWS, FailurePolicy, TooManyFailures
from sinternal_verl.training.rollouts import Row, make_row


def rows(**groups: str) -> list[Row]:
    """Groups by name: a letter a response, ``s`` scored and ``f`` failed."""
    return [
        Row(f"{name}_{n}_0", "math", 0.0, Outcome.CORRECT if letter == "s" else Outcome.FAILED, letter == "s")
        for name, letters in groups.items()
        for n, letter in enumerate(letters)
    ]


@pytest.mark.parametrize("policy", ["drop", "neutral"])
def test_failed_rows_and_what_remains_of_a_group_of_one_are_set_aside(policy):
    aside = FailurePolicy(policy).set_aside(rows(a="ssss", b="sfsf", c="sfff", d="ffff"), responses=4)

    assert aside == {"b_1_0", "b_3_0", *(f"{group}_{n}_0" for group in "cd" for n in range(4))}


def many(scored: int, failed: int = 0, source: str = "math", outcome: Outcome = Outcome.FAILED) -> list[Row]:
    """Responses of one source, each of a prompt of its own."""
    good = [Row(f"{source}{n}_0_0", source, 1.0, Outcome.CORRECT, True) for n in range(scored)]
    return good + [Row(f"{source}{n}_0_0", source, 0.0, outcome, False) for n in range(scored, scored + failed)]


def test_under_zero_a_failure_is_a_response_like_others():
    assert FailurePolicy("zero").set_aside(rows(a="sfff", b="ff"), responses=4) == set()


@pytest.mark.parametrize("policy", ["drop", "neutral", "zero"])
@pytest.mark.parametrize("lone", ["s", "f"])
def test_a_response_that_came_alone_teaches_nothing_under_any_policy(policy, lone):
    """verl takes the reward of a group of one for its advantage."""
    assert FailurePolicy(policy).set_aside(rows(a=lone, b="ss"), responses=4) == {"a_0_0"}


@pytest.mark.parametrize("policy", ["drop", "neutral", "zero"])
def test_a_step_of_lone_responses_ends_the_run(policy):
    with pytest.raises(TooManyFailures, match=r"no prompt of this step has 2 scored responses"):
        FailurePolicy(policy).set_aside(rows(a="s", b="s"), responses=4)


def test_with_one_response_a_prompt_there_is_no_group_to_be_alone_in():
    assert FailurePolicy("drop").set_aside(rows(a="s", b="f"), responses=1) == {"b_0_0"}


def test_several_outputs_of_one_session_are_one_response():
    outputs = [Row(f"a_0_{n}", "math", 1.0, Outcome.CORRECT, True) for n in range(3)]

    assert FailurePolicy("drop").set_aside([*outputs, *rows(b="ss")], responses=4) == {row.key for row in outputs}
    assert FailurePolicy("drop", min_share=0).check(outputs, {"math": 4}) == {"math": 3}


def test_a_step_in_which_every_group_is_left_with_one_ends_the_run():
    with pytest.raises(TooManyFailures, match=r"no prompt of this step has 2 scored.*math: .*: 2 FAILED"):
        FailurePolicy("neutral").set_aside(rows(a="sf", b="fs"), responses=2)


def test_too_small_a_share_of_a_source_ends_the_run_and_says_what_failed():
    with pytest.raises(TooManyFailures, match=r"min_share=0.5: math: 20 of 64 responses have a score: 40 FAILED, 4 "):
        FailurePolicy("drop", min_share=0.5).check(many(20, 40), {"math": 64})


def test_a_dead_source_is_not_hidden_by_another_that_is_scored():
    with pytest.raises(TooManyFailures) as raised:
        FailurePolicy().check([*many(448), *many(0, 64, "safety/x", Outcome.UNPARSABLE)], {"math": 448, "safety/x": 64})

    assert "safety/x: 0 of 64 responses have a score: 64 UNPARSABLE" in str(raised.value)
    assert "math" not in str(raised.value)


def test_a_source_of_which_nothing_came_has_failed_too():
    with pytest.raises(TooManyFailures, match=r"safety/x: 0 of 64 responses have a score: 64 never came"):
        FailurePolicy().check(many(64), {"math": 64, "safety/x": 64})


def test_few_rows_of_a_source_are_judged_together_with_those_of_the_steps_before():
    policy, step = FailurePolicy(), [*many(60), *many(1, 3, "rare")]
    expected = {"math": 60, "rare": 4}
    for _ in range(MIN_ROWS // 4 - 1):
        policy.check(step, expected)
    with pytest.raises(TooManyFailures, match=r"rare: 16 of 64 responses have a score: 48 FAILED"):
        policy.check(step, expected)


def test_a_source_that_has_recovered_is_judged_by_its_last_rows():
    policy = FailurePolicy()
    policy.check(many(32, 32), {"math": 64})
    policy.check(many(40, 24), {"math": 64})
    with pytest.raises(TooManyFailures, match=r"math: 31 of 64"):
        policy.check(many(31, 33), {"math": 64})


def test_many_small_sources_are_judged_together():
    rows = [row for n in range(16) for row in many(1, 3, f"s{n:02}")]
    with pytest.raises(TooManyFailures, match=r"all sources: 16 of 64 responses have a score: 48 FAILED"):
        FailurePolicy().check(rows, {f"s{n:02}": 4 for n in range(16)})


@pytest.mark.parametrize("policy", ["drop", "neutral", "zero"])
def test_a_step_without_any_score_ends_the_run_even_if_no_share_is_asked_for(policy):
    with pytest.raises(TooManyFailures):
        FailurePolicy(policy, min_share=0).check(rows(a="ffff"), {"math": 4})


def test_abort_after_counts_failed_and_missing_rows_over_steps():
    policy = FailurePolicy("drop", abort_after=5)
    policy.check(rows(a="sssf"), {"math": 5})
    policy.check(rows(a="sssf"), {"math": 5})
    with pytest.raises(TooManyFailures, match=r"5 responses .*abort_after=5"):
        policy.check(rows(a="sssf"), {"math": 4})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"policy": "skip"}, "policy = skip: choose one of drop, neutral, zero"),
        ({"min_share": 2}, "min_share = 2"),
        ({"abort_after": 0}, "abort_after = 0"),
        ({"abort_after": 0.5}, "abort_after = 0.5"),
    ],
)
def test_settings_that_do_not_exist_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        FailurePolicy(**settings)


def test_exactly_the_share_and_one_failure_less_than_the_limit_go_on():
    policy = FailurePolicy("drop", min_share=0.5, abort_after=34)

    assert policy.check(many(32, 32), {"math": 64}) == {"math": 0}
    assert policy.check(many(63), {"math": 64}) == {"math": 1}
    assert policy.failed == 33


def test_the_share_is_of_what_was_asked_for_and_not_of_what_came():
    with pytest.raises(TooManyFailures, match=r"math: 31 of 64 responses have a score: 33 never came"):
        FailurePolicy("drop", min_share=0.5).check(many(31), {"math": 64})


def test_outputs_beyond_what_was_asked_for_are_no_negative_failures():
    policy = FailurePolicy("drop")

    assert policy.check(rows(a="sss"), {"math": 2}) == {"math": 0} and policy.failed == 0


def test_a_sources_missing_responses_are_its_own():
    policy = FailurePolicy("drop", min_share=0)

    assert policy.check([*many(3), *many(1, 1, "chat")], {"math": 4, "chat": 8, "gone": 2}) == {
        "math": 1,
        "chat": 6,
        "gone": 2,
    }
    assert policy.failed == 10


def test_what_failed_is_said_by_outcome_and_source():
    failed = [*many(0, 2), *many(0, 1, "chat", Outcome.TIMED_OUT)]

    with pytest.raises(TooManyFailures, match=r": chat: 0 of 1 .*: 1 TIMED_OUT; math: 0 of 2 .*: 2 FAILED\."):
        FailurePolicy("drop").check(failed, {"math": 2, "chat": 1})


class TestFirstValidation:
    def check(self, rows, **settings):
        FailurePolicy(**settings).check_held_out(rows, Counter({"math": 8, "safety/x": 4}))

    @pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.UNPARSABLE, Outcome.TIMED_OUT])
    def test_a_source_of_which_nothing_is_scored_ends_the_run_and_is_named(self, outcome):
        with pytest.raises(TooManyFailures) as raised:
            self.check([*many(8), *many(0, 4, "safety/x", outcome)])

        assert f"safety/x: 0 of 4 responses have a score: 4 {outcome.name}. " in str(raised.value)
        assert "math" not in str(raised.value)

    def test_so_does_a_source_of_which_nothing_came(self):
        with pytest.raises(TooManyFailures, match=r"safety/x: 0 of 4 .*: 4 never came"):
            self.check(many(8))

    @pytest.mark.parametrize("settings", [{"policy": "zero"}, {"policy": "neutral"}, {"min_share": 0.01}])
    def test_whatever_the_policy(self, settings):
        with pytest.raises(TooManyFailures):
            self.check([*many(8), *many(0, 4, "safety/x")], **settings)

    def test_one_score_is_enough(self):
        self.check([*many(8), *many(1, 3, "safety/x")])

    def test_a_source_that_a_function_does_not_score_is_no_dead_judge(self):
        self.check([*many(8), *many(0, 4, "safety/x", Outcome.NOT_APPLICABLE)])

    def test_the_user_may_go_on_without(self):
        self.check([*many(8), *many(0, 4, "safety/x")], min_share=0)


@pytest.mark.parametrize("share", [0, 1, 0.5])
def test_shares_from_none_to_all_are_taken(share):
    assert FailurePolicy(min_share=share).min_share == share


def test_one_failure_may_end_the_run():
    with pytest.raises(TooManyFailures, match=r"1 responses .*abort_after=1; in this step: math: 3 of 4 .*: 1 FAILED"):
        FailurePolicy(abort_after=1).check(rows(a="sssf"), {"math": 4})


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(ValueError, match=r"it is a share, 0 to 1"):
        FailurePolicy(min_share=share)


def test_without_words_rows_are_dropped_half_of_them_must_be_scored_and_no_count_ends_the_run():
    assert FailurePolicy() == FailurePolicy("drop", 0.5, None, 0)


def test_a_manager_that_names_no_outcome_has_scored_its_row():
    row = make_row("a_0_0", "math", 1.0, {"acc": 1.0, "why": "so", "marks": np.arange(2)})

    assert row.scored and row.outcome is Outcome.SCORED
    assert row.extra == {"acc": 1.0} and row.details == {"extra": {"why": "so", "marks": [0, 1]}}


def test_a_row_holds_what_its_manager_says():
    details = json.dumps({"index": 3, "reason": "", "extra": {"why": "so"}})
    info = {"outcome": 16.0, "scored": 1.0, "cut": 7.0, "safe_probability": 0.75, "acc": 0.0, "details": details}
    row = make_row("a_0_0", "safety/x", 0.5, info | {"benign": 1.0}, length=20, longest=20)

    assert row == Row(
        "a_0_0",
        "safety/x",
        0.5,
        Outcome.REFUSED,
        True,
        20,
        True,
        7,
        0.75,
        benign=True,
        extra={"acc": 0.0},
        details=json.loads(details),
    )


def test_a_failure_is_no_score_and_its_placeholders_are_no_measurements():
    info = {"outcome": 9, "scored": 0.0, "cut": 0.0, "safe_probability": math.nan, "benign": None}
    row = make_row("a_0_0", "math", 0.0, info)

    assert row == Row("a_0_0", "math", 0.0, Outcome.FAILED, False, details={"extra": {}})


def test_a_validation_row_has_the_length_that_the_worker_counted():
    row = make_row("a_0_0", "math", 0.0, {"response_length": 16.0}, longest=16)

    assert (row.length, row.truncated) == (16, True)
    assert not make_row("a_0_0", "math", 0.0, {}, longest=16).truncated


def test_prompt_and_response_of_a_row_whatever_the_prompts_uid_holds():
    row = Row("9f_3_a_12_0", "math", 1.0, Outcome.CORRECT, True)

    assert (row.group, row.session) == ("9f_3_a", "9f_3_a_12")
