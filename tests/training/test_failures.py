"""Which rows a policy sets aside, and when a run has failed too much."""

import math

import pytest

from sinternal_verl.scoring.score import Outcome
from sinternal_verl.training.failures import FailurePolicy, TooManyFailures
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


def test_zero_sets_nothing_aside():
    assert FailurePolicy("zero").set_aside(rows(a="sfff"), responses=4) == set()


def test_with_one_response_a_prompt_there_is_no_group_to_be_alone_in():
    assert FailurePolicy("drop").set_aside(rows(a="s", b="f"), responses=1) == {"b_0_0"}


def test_several_outputs_of_one_session_are_one_response():
    outputs = [Row(f"a_0_{n}", "math", 1.0, Outcome.CORRECT, True) for n in range(3)]

    assert FailurePolicy("drop").set_aside([*outputs, *rows(b="ss")], responses=4) == {row.key for row in outputs}
    assert FailurePolicy("drop", min_share=0).check(outputs, expected=4) == 3


def test_a_step_in_which_every_group_is_left_with_one_ends_the_run():
    with pytest.raises(TooManyFailures, match=r"no prompt of this step has 2 scored.*2 FAILED \(math\)"):
        FailurePolicy("neutral").set_aside(rows(a="sf", b="fs"), responses=2)


def test_too_small_a_share_ends_the_run_and_says_what_failed():
    with pytest.raises(TooManyFailures, match=r"2 of 8 responses.*min_share=0.5: 2 FAILED \(math\), 4 never came"):
        FailurePolicy("drop", min_share=0.5).check(rows(a="ssff"), expected=8)


@pytest.mark.parametrize("policy", ["drop", "neutral", "zero"])
def test_a_step_without_any_score_ends_the_run_even_if_no_share_is_asked_for(policy):
    with pytest.raises(TooManyFailures):
        FailurePolicy(policy, min_share=0).check(rows(a="ffff"), expected=4)


def test_abort_after_counts_failed_and_missing_rows_over_steps():
    policy = FailurePolicy("drop", abort_after=5)
    policy.check(rows(a="sssf"), expected=5)
    policy.check(rows(a="sssf"), expected=5)
    with pytest.raises(TooManyFailures, match=r"5 responses .*abort_after=5"):
        policy.check(rows(a="sssf"), expected=4)


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
    policy = FailurePolicy("drop", min_share=0.5, abort_after=4)

    assert policy.check(rows(a="ssff"), expected=4) == 0
    assert policy.check(rows(a="sss"), expected=4) == 1
    assert policy.failed == 3


def test_the_share_is_of_what_was_asked_for_and_not_of_what_came():
    with pytest.raises(TooManyFailures, match=r"2 of 5 responses have a score.*: 3 never came\."):
        FailurePolicy("drop", min_share=0.5).check(rows(a="ss"), expected=5)


def test_outputs_beyond_what_was_asked_for_are_no_negative_failures():
    policy = FailurePolicy("drop")

    assert policy.check(rows(a="sss"), expected=2) == 0 and policy.failed == 0


def test_what_failed_is_said_by_outcome_and_source():
    timed_out = Row("b_0_0", "chat", 0.0, Outcome.TIMED_OUT, False)

    with pytest.raises(TooManyFailures, match=r": 2 FAILED \(math\), 1 TIMED_OUT \(chat\)\."):
        FailurePolicy("drop").check([*rows(a="ff"), timed_out], expected=3)


@pytest.mark.parametrize("share", [0, 1, 0.5])
def test_shares_from_none_to_all_are_taken(share):
    assert FailurePolicy(min_share=share).min_share == share


def test_one_failure_may_end_the_run():
    with pytest.raises(TooManyFailures, match=r"1 responses .*abort_after=1; in this step: 1 FAILED"):
        FailurePolicy(abort_after=1).check(rows(a="sssf"), expected=4)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(ValueError, match=r"it is a share, 0 to 1"):
        FailurePolicy(min_share=share)


def test_without_words_rows_are_dropped_half_of_them_must_be_scored_and_no_count_ends_the_run():
    assert FailurePolicy() == FailurePolicy("drop", 0.5, None, 0)


def test_a_manager_that_names_no_outcome_has_scored_its_row():
    row = make_row("a_0_0", "math", 1.0, {"acc": 1.0})

    assert row == Row("a_0_0", "math", 1.0, Outcome.SCORED, True, extra={"acc": 1.0})


def test_a_row_holds_what_its_manager_says():
    info = {"outcome": 16.0, "scored": 1.0, "cut": 7.0, "safe_probability": 0.75, "acc": 0.0}
    row = make_row("a_0_0", "safety/x", 0.5, info, length=20, truncated=True)

    assert row == Row("a_0_0", "safety/x", 0.5, Outcome.REFUSED, True, 20, True, 7, 0.75, info)


def test_a_failure_is_no_score_and_its_placeholders_are_no_measurements():
    info = {"outcome": 9, "scored": 0.0, "cut": 0.0, "safe_probability": math.nan}
    row = make_row("a_0_0", "math", 0.0, info)

    assert row == Row("a_0_0", "math", 0.0, Outcome.FAILED, False, extra=row.extra)


def test_prompt_and_response_of_a_row_whatever_the_prompts_uid_holds():
    row = Row("9f_3_a_12_0", "math", 1.0, Outcome.CORRECT, True)

    assert (row.group, row.session) == ("9f_3_a", "9f_3_a_12")
