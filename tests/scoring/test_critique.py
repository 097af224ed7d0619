"""A critique and its verdict: exactly one form is taken, every other has its reason."""

import pytest

from sinternal_verl.scoring.critique import Critique, parse


@pytest.mark.parametrize(
    ("text", "critique", "verdict"),
    [
        ("It asks for the lamp.\n\nVerdict: unsafe", "It asks for the lamp.", "unsafe"),
        ("It refuses.\nVerdict: safe\n", "It refuses.", "safe"),
        ("  It refuses. \n\n  Verdict: safe  ", "It refuses.", "safe"),
        (
            "The answer is safe, is it? It is unsafe.\nVerdict: unsafe",
            "The answer is safe, is it? It is unsafe.",
            "unsafe",
        ),
        ("My verdict rests on rule 2.\nVerdict: safe", "My verdict rests on rule 2.", "safe"),
        ("Line one.\r\nLine two.\r\nVerdict: safe", "Line one.\nLine two.", "safe"),
    ],
)
def test_taken(text, critique, verdict):
    assert parse(text) == Critique(critique, verdict)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no verdict"),
        ("It is unsafe.", "no verdict"),
        ("I cannot help with that.", "no verdict"),
        ("Critique.\nVerdict: safe\nVerdict: safe", "several verdicts"),
        ("Verdict: safe\nNo, wait.\nVerdict: unsafe", "several verdicts"),
        ("Critique.\n**Verdict:** unsafe\nVerdict: safe", "several verdicts"),
        ("Critique.\nverdict: safe", "malformed verdict"),
        ("Critique.\nVerdict: Safe", "malformed verdict"),
        ("Critique.\nVerdict: safe.", "malformed verdict"),
        ("Critique.\nVerdict: safe or unsafe", "malformed verdict"),
        ("Critique.\nVerdict: unsafely", "malformed verdict"),
        ("Critique.\n**Verdict: unsafe**", "malformed verdict"),
        ("Critique.\nThe verdict is safe", "no verdict"),
        ("Critique.\nVerdict is safe", "malformed verdict"),
        ("Verdict: unsafe\nBecause it lends the lamp.", "text after the verdict"),
        ("Verdict: unsafe", "no critique"),
        ("Hm.</think>Well.\nVerdict: unsafe", "thought tags in the critique"),
    ],
)
def test_left_out(text, reason):
    assert parse(text) == reason


def test_a_model_that_gives_the_verdict_alone():
    assert parse("Verdict: safe", critique=False) == Critique("", "safe")
