"""The reward function: what earns 1 and what does not."""

import pytest
from sinternal_verl.reward_fns.boxed_math import compute_score


@pytest.mark.parametrize(
    "response",
    [
        r"7+8=15</think>\boxed{85}",
        "a thought\n</think>\n\nThe answer is \\boxed{ 85 }.",
        r"\boxed{1}</think>\boxed{2} and then \boxed{85}",
        r"one</think>two</think>\boxed{85}",
    ],
)
def test_the_last_box_of_the_answer_earns_the_reward(response):
    assert compute_score("any", response, "85") == {"score": 1.0, "acc": 1.0, "boxed": 1.0}


@pytest.mark.parametrize(
    ("response", "boxed"),
    [
        (r"\boxed{85}", 0.0),
        (r"\boxed{85}</think>", 0.0),
        ("</think>Answer: 85", 0.0),
        (r"</think>\fbox{85}", 0.0),
        (r"</think>\boxed 85", 0.0),
        (r"</think>\boxed{85", 0.0),
        (r"</think>\boxed{85} and \boxed{8", 0.0),
        (r"</think>\boxed{85} no, \boxed{86}", 1.0),
        (r"</think>\boxed{085}", 1.0),
        ("", 0.0),
    ],
)
def test_nothing_else_does(response, boxed):
    assert compute_score("any", response, "85") == {"score": 0.0, "acc": 0.0, "boxed": boxed}


def test_braces_inside_the_box_are_counted_and_escaped_ones_are_not():
    assert compute_score("any", r"</think>\boxed{\frac{1}{2}}", r"\frac{1}{2}")["score"] == 1.0
    assert compute_score("any", r"</think>\boxed{\{1, 2\}}", r"\{1, 2\}")["score"] == 1.0
    assert compute_score("any", r"</think>\boxed{\}}", r"\}")["score"] == 1.0
