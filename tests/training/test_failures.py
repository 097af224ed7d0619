"""Which rows a policy sets aside, and when a run has failed too much."""

import json
import math
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from sinternal_verl.reward_fns.boxed_math import compute_score

from sinternal_verl.doctor.checkpoints import ACCEPT
from sinternal_verl.runs.identity import Change, accepted_by
from sinternal_verl.scoring.score import UNSCORED, Outcome, Sample, Score
from sinternal_verl.training.failures import MIN_ROWS, FailurePolicy, TooManyFailures
from sinternal_verl.training.rollouts import Row, make_row
from sinternal_verl.training.source_curves import SourceCurves
from sinternal_verl.training.wire import to_wire


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


class TestNotApplicable:
    """A function that returns None for a source on purpose."""

    def none(self, count, source="chat"):
        return many(0, count, source, Outcome.NOT_APPLICABLE)

    def test_a_source_that_is_not_scored_never_ends_the_run(self):
        policy = FailurePolicy(min_share=1, abort_after=1)
        for _ in range(3):
            assert policy.check([*many(64), *self.none(200)], {"math": 64, "chat": 200}) == {"math": 0, "chat": 0}
        assert policy.failed == 0 and not policy._recent["chat"]

    def test_of_a_source_that_is_scored_in_part_only_the_others_are_judged(self):
        expected = {"chat": 164}
        FailurePolicy().check([*many(32, 32, "chat"), *renamed(self.none(100))], expected)
        with pytest.raises(TooManyFailures) as raised:
            FailurePolicy().check([*many(31, 33, "chat"), *renamed(self.none(100))], expected)
        words = "chat: 31 of 64 responses have a score: 33 FAILED, 100 NOT_APPLICABLE, which do not count. "
        assert words in str(raised.value)

    def test_those_that_never_came_are_still_failures(self):
        with pytest.raises(TooManyFailures, match=r"chat: 0 of 64 responses have a score: 64 never came, 36 NOT_APPL"):
            FailurePolicy().check([*many(64), *self.none(36)], {"math": 64, "chat": 100})

    def test_a_step_of_nothing_else_ends_the_run_since_it_teaches_nothing(self):
        with pytest.raises(TooManyFailures, match=r"no response of this step has a score: chat: 0 of 0 .*: 8 NOT_APPL"):
            FailurePolicy(min_share=0).check(self.none(8), {"chat": 8})


def renamed(rows: list[Row]) -> list[Row]:
    """The same rows as responses of other prompts."""
    return [replace(row, key=f"other{row.key}") for row in rows]


class TestCut:
    """Where the guard saw only a part of the answers, the log shows no cause: two settings are named."""

    SETTINGS = (
        "Most failures of safety/x are responses that are too long for the guard. Raise "
        "sinternal.guard.engine.max_model_len or lower data.max_response_length; where the folder holds a checkpoint, "
        "add 'sinternal.accept_changes=[the changed key]'"
    )

    def said(self, rows, check="check"):
        expected = Counter(row.source for row in rows)
        with pytest.raises(TooManyFailures) as raised:
            getattr(FailurePolicy(), check)(rows, expected)
        return str(raised.value)

    def test_by_the_share(self):
        cut = many(20, 44, "safety/x", Outcome.CUT)
        said = self.said([*many(64), *cut])
        assert said.endswith(f": 44 CUT. {self.SETTINGS}") and "The log" not in said

    def test_in_a_step_without_a_score(self):
        said = self.said(many(0, 8, "safety/x", Outcome.CUT))
        assert said.endswith(f": 8 CUT. {self.SETTINGS}")

    def test_at_the_first_validation(self):
        said = self.said([*many(4), *many(0, 4, "safety/x", Outcome.CUT)], "check_held_out")
        assert f": 4 CUT. {self.SETTINGS}. Or give sinternal.failures.min_share=0 to go on without" in said
        assert "The log" not in said

    def test_other_failures_are_in_the_log_too(self):
        said = self.said([*many(0, 8), *many(0, 8, "safety/x", Outcome.CUT)])
        assert "The log above shows the cause. Mend it and" in said and said.endswith(self.SETTINGS)

    def test_half_is_not_most(self):
        said = self.said([*many(0, 4, "s", Outcome.CUT), *renamed(many(0, 4, "s"))])
        assert "max_model_len" not in said and "The log above shows the cause. Mend it and" in said


def test_where_no_share_is_asked_for_none_is_named():
    with pytest.raises(TooManyFailures) as raised:
        FailurePolicy(min_share=0).check(many(0, 32), {"math": 32})
    said = str(raised.value)
    assert said.startswith("no response of this step has a score: math: 0 of 32 responses have a score: 32 FAILED. ")
    assert "min_share" not in said


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

    def test_the_way_to_go_on_holds_in_a_folder_with_a_checkpoint_too(self):
        """`min_share` counts in the run's identity."""
        with pytest.raises(TooManyFailures) as raised:
            self.check([*many(8), *many(0, 4, "safety/x")])
        said = str(raised.value)
        assert ". The log above shows the cause. Mend it and start again. Or give " in said
        settings = dict(re.findall(r"(sinternal\.[\w.]+)=(\S*[\w\]])", said))
        change = Change("sinternal.failures.min_share", 0.5, 0)
        assert settings == {change.key: "0", ACCEPT: f"[{change.key}]"}
        assert accepted_by(change, settings[ACCEPT].strip("[]").split(","))

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


@pytest.mark.parametrize(
    ("info", "numbers", "others"),
    [
        ({"details": "wrong sign"}, {}, {"details": "wrong sign"}),
        ({"details": '"x"'}, {}, {"details": '"x"'}),
        ({"details": {"sign": -1}, "pred": "5"}, {}, {"details": {"sign": -1}, "pred": "5"}),
        ({"outcome": 0.5, "acc": True}, {"outcome": 0.5, "acc": 1.0}, {}),
        ({"outcome": 99.0}, {"outcome": 99.0}, {}),
        ({"outcome": "wrong"}, {}, {"outcome": "wrong"}),
        ({"scored": 0, "cut": 7, "benign": 0}, {"scored": 0.0, "cut": 7.0, "benign": 0.0}, {}),
        ({"cut": "no", "safe_probability": 5, 3: 1}, {"safe_probability": 5.0, "3": 1.0}, {"cut": "no"}),
        ({"guard_s": 1, "guard_wait_s": 2, "guard_at": 3}, {"guard_s": 1.0, "guard_wait_s": 2.0, "guard_at": 3.0}, {}),
    ],
)
def test_our_names_in_a_dict_of_a_users_function_are_extras_like_others(info, numbers, others):
    """verl's own managers hand on every key."""
    row = make_row("a_0_0", "math", 1.0, {"score": 1.0, **info})

    assert row == Row("a_0_0", "math", 1.0, Outcome.SCORED, True, extra=numbers, details={"extra": others})


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"scored": 0.0},
        {"scored": 0.0, "response_length": 2.5},
        {"scored": 0.0, "response_length": -1},
        {"scored": 1.0, "response_length": 9.0},
        {"scored": 0.5, "response_length": 9.0},
    ],
)
def test_of_names_that_are_not_all_ours_only_the_outcome_is_told(other):
    """Our plain reward functions return it beside verl's managers; it never says that there is no score."""
    row = make_row("a_0_0", "math", 1.0, {"score": 1.0, "outcome": 9.0, **other})

    assert row == Row("a_0_0", "math", 1.0, Outcome.FAILED, True, extra=other, details={"extra": {}})


def test_our_plain_function_beside_verls_manager():
    row = make_row("a_0_0", "math", 1.0, compute_score("any", r"</think> \boxed{85}", "85"))

    assert row == Row("a_0_0", "math", 1.0, Outcome.CORRECT, True, extra={"acc": 1.0}, details={"extra": {}})


def test_numbers_under_names_that_are_no_text_are_curves_beside_others():
    row = make_row("a_0_0", "math", 1.0, {"score": 1.0, "acc": 0.5, 3: 1})

    assert SourceCurves("train").step([row]).items() >= {"train/math/3/mean": 1.0, "train/math/acc/mean": 0.5}.items()


def test_whatever_we_send_is_known_as_ours():
    sample = Sample("math", "text", "5")
    for outcome in Outcome:
        sent = to_wire(Score(0.5, outcome), sample, 0, validation=False, dumped=False)
        row = make_row("a_0_0", "math", 0.5, sent)
        assert (row.outcome, row.scored, row.length, row.extra) == (outcome, outcome not in UNSCORED, 0, {})


def test_a_row_holds_what_its_manager_says():
    details = json.dumps({"index": 3, "reason": "", "extra": {"why": "so"}})
    info = {"outcome": 16.0, "scored": 1.0, "cut": 7.0, "safe_probability": 0.75, "acc": 0.0, "details": details}
    row = make_row("a_0_0", "safety/x", 0.5, info | {"benign": 1.0, "response_length": 20.0}, length=20, longest=20)

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
    row = make_row("a_0_0", "math", 0.0, info | {"response_length": 5.0})

    assert row == Row("a_0_0", "math", 0.0, Outcome.FAILED, False, 5, details={"extra": {}})


def test_a_validation_row_has_the_length_that_the_worker_counted():
    row = make_row("a_0_0", "math", 0.0, {"outcome": 2.0, "scored": 1.0, "response_length": 16.0}, longest=16)

    assert (row.length, row.truncated) == (16, True)
    assert not make_row("a_0_0", "math", 0.0, {}, longest=16).truncated


def test_prompt_and_response_of_a_row_whatever_the_prompts_uid_holds():
    row = Row("9f_3_a_12_0", "math", 1.0, Outcome.CORRECT, True)

    assert (row.group, row.session) == ("9f_3_a", "9f_3_a_12")
