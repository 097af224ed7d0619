"""Most responses without an end of their thought: a setting may be the cause, and it is named."""

from collections import Counter

from sinternal_verl.scoring.open_thoughts import find_open_thoughts
from sinternal_verl.scoring.score import Outcome

SCORERS = {
    "boxed_math": {"sources": ["*"], "thought": "required"},
    "mine": {"sources": "chat", "path": "mine.py"},
    "off": None,
}


def found(source: str, unclosed: int, others: int, scorers=SCORERS) -> list[str]:
    counts = Counter({Outcome.THOUGHT_UNCLOSED: unclosed, Outcome.NO_BOX: others})
    return find_open_thoughts({source: counts, "well": Counter({Outcome.CORRECT: 9})}, scorers)


def test_the_source_its_share_and_the_setting_of_its_scorer_are_named():
    (said,) = found("gsm8k", 6, 5)

    assert said.startswith("6 of 11 responses of 'gsm8k' never end their thought")
    assert "sinternal.scorers.boxed_math.thought=none" in said


def test_half_of_them_may_be_an_accident():
    assert found("gsm8k", 5, 5) == []


def test_a_scorer_without_the_setting_is_not_said_to_have_it():
    for said in (*found("chat", 9, 0), *found("chat", 9, 0, None)):
        assert "sinternal.scorers" not in said and "thought=none, or its like" in said
