"""Strict boxed-answer matching: what earns 1, what does not, and how long it may take."""

import json
import threading
import time

import pytest
from benchmark_sets import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st
from sinternal_verl.reward_fns.boxed_math import compute_score

from sinternal_verl.scoring.boxed_math import score_boxed
from sinternal_verl.scoring.score import Outcome, Score


@pytest.mark.parametrize(
    "response",
    [
        r"7+8=15</think>\boxed{85}",
        "a thought\n</think>\n\nThe answer is \\boxed{ 85 }.",
        r"\boxed{1}</think>\boxed{2} and then \boxed{85}",
        r"one</think>two</think>\boxed{85}",
        r"</think>Answer: 4, no: \boxed{85}",
        r"</think>\boxed 4 or \boxed{85}",
        r"</think>\boxed{4} so \boxed {85}",
        "</think>\\boxed{4} so \\boxed\n {85}",
        r"</think>\boxed{85} and \boxed 4",
        r"</think>\boxed{85}" + " and on" * 500,
    ],
)
def test_the_last_box_of_the_answer_counts(response):
    assert score_boxed(response, "85") == Score(1.0, Outcome.CORRECT)


@pytest.mark.parametrize(
    ("response", "outcome"),
    [
        (r"\boxed{85}", Outcome.THOUGHT_UNCLOSED),
        ("", Outcome.THOUGHT_UNCLOSED),
        (r"\boxed{85}</think>", Outcome.NO_BOX),
        ("</think>Answer: 85", Outcome.NO_BOX),
        ("</think>the answer is 85", Outcome.NO_BOX),
        (r"</think>\fbox{85}", Outcome.NO_BOX),
        (r"</think>\boxed 85", Outcome.NO_BOX),
        (r"</think>\boxed{85", Outcome.UNCLOSED),
        (r"</think>\boxed{85} and \boxed{8", Outcome.UNCLOSED),
        (r"</think>\boxed{85\}", Outcome.UNCLOSED),
        (r"</think>\boxed{85} no, \boxed{86}", Outcome.MISMATCH),
        (r"</think>\boxed{}", Outcome.MISMATCH),
        (r"</think>\boxed{" + "8" * 2000 + "}", Outcome.TOO_LONG),
        (r"</think>\boxed{" + "{" * 2000, Outcome.TOO_LONG),
    ],
)
def test_nothing_else_does_and_the_outcome_says_why(response, outcome):
    assert score_boxed(response, "85") == Score(0.0, outcome)


@pytest.mark.parametrize("gold", ["", "  ", None, 85, "8" * 2000])
def test_a_bad_ground_truth_is_no_verdict(gold):
    score = score_boxed(r"</think>\boxed{85}", gold)

    assert score.outcome is Outcome.BAD_GOLD and "is no answer" in score.reason
    assert score.value == 0.0 and not score.scored


def test_thought_none_takes_the_whole_text():
    assert score_boxed(r"\boxed{85}", "85", thought="none").value == 1.0


def test_literal_takes_nothing_but_the_same_characters():
    assert score_boxed(r"</think>\boxed{\dfrac12}", r"\frac{1}{2}", mode="literal").outcome is Outcome.MISMATCH
    assert score_boxed(r"</think>\boxed{\{1, 2\}}", r"\{1, 2\}", mode="literal").outcome is Outcome.CORRECT


def test_the_reward_function_has_the_same_numeric_keys_for_every_sample():
    right, cut = compute_score("any", r"</think>\boxed{85}", "85"), compute_score("any", "cut", "85")

    assert right == {"score": 1.0, "acc": 1.0, "outcome": 1.0}
    assert cut == {"score": 0.0, "acc": 0.0, "outcome": float(Outcome.THOUGHT_UNCLOSED)}
    assert compute_score("any", r"\boxed{.5}", "1/2", thought="none")["score"] == 1.0
    assert compute_score("any", r"\boxed{.5}", "1/2", thought="none", mode="literal")["score"] == 0.0


@pytest.mark.parametrize("setting", [{"mode": "normalised"}, {"thought": "None"}, {"thought": None}])
def test_a_setting_that_does_not_exist_is_refused(setting):
    with pytest.raises(ValueError, match="choose of"):
        score_boxed("</think>", "1", **setting)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the real sets in ../shared/data")
def test_all_gold_solutions_of_math500_are_correct():
    rows = [json.loads(line) for line in (SHARED / "math500.jsonl").read_text().splitlines()]

    assert sum(score_boxed(row["solution"], row["answer"], thought="none").value for row in rows) == len(rows) == 500


PATHOLOGICAL = [
    r"</think>\boxed{" + "{" * 100_000,
    r"</think>\boxed{" + "}" * 100_000,
    r"</think>\boxed{" + "\\" * 100_000,
    r"</think>" + r"\boxed{" * 14_000,
    "</think>" * 12_500,
    r"</think>\boxed{" + " " * 100_000 + "}",
    r"</think>\boxed{" + "1," * 499 + "}",
    r"</think>\boxed{" + "9" * 998 + "}",
    r"</think>\boxed{" + r"\frac1" * 160 + "}",
    r"</think>\boxed{" + r"\text{" * 160 + "}" * 161,
    r"</think>\boxed{" + "1 " * 499 + "}",
    r"</think>\boxed{" + "^{" * 300 + "}" * 301,
    r"</think>\boxed{" + r"\left" * 190 + "}",
    r"</think>" + r"\boxed " * 14_000,
    r"</think>" + r"\boxed {" * 12_500,
    r"</think>\boxed{" + "½" * 990 + "}",
    r"</think>\boxed{" + "1,000" * 190 + "}",
    r"</think>\boxed{" + "{1\\over" * 120 + "}" * 121,
    "<think>" + "a" * 100_000,
]


@pytest.mark.parametrize("response", PATHOLOGICAL, ids=lambda text: repr(text[8:30]))
def test_no_string_takes_more_than_ten_milliseconds(response):
    def seconds() -> float:
        start = time.perf_counter()
        score_boxed(response, "85x")
        return time.perf_counter() - start

    assert min(seconds() for _ in range(3)) < 0.010


pieces = st.sampled_from([*r"\{}$^_0123456789.,/-+ ", "\\boxed{", "</think>", "\\frac", "\\text{", "\\,"])
anything = st.lists(st.one_of(pieces, st.characters()), max_size=80).map("".join)


@settings(max_examples=500, deadline=None)
@given(anything, anything)
def test_no_string_raises(response, gold):
    for text in (response, rf"</think>\boxed{{{response}}}"):
        assert score_boxed(text, gold).value in (0.0, 1.0)
        assert score_boxed(text, gold, thought="none").value in (0.0, 1.0)


def test_lone_surrogates_do_not_raise():
    assert score_boxed("</think>\\boxed{\ud800}", "\ud800").outcome is Outcome.CORRECT
    assert score_boxed("</think>\\boxed{\ud800}", "8").outcome is Outcome.MISMATCH


def test_the_result_does_not_depend_on_the_thread():
    cases = [(rf"</think>\boxed{{{n}}}", rf"\frac{{{2 * n}}}{{2}}") for n in range(200)]
    expected, found = [score_boxed(*case) for case in cases], {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: [score_boxed(*case) for case in cases]})) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert all(found[i] == expected for i in range(8))
