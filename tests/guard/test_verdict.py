"""Only what is exactly one answer is a verdict."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinternal_verl.guard.verdict import Safety, Verdict, parse

SAFE = "Safety: Safe\nCategories: None\nRefusal: No"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (SAFE, Verdict(Safety.SAFE, (), False)),
        (SAFE + "\n", Verdict(Safety.SAFE, (), False)),
        ("Safety: Safe \nCategories: None\t\nRefusal: Yes", Verdict(Safety.SAFE, (), True)),
        ("Safety: Unsafe\nCategories: Violent\nRefusal: No", Verdict(Safety.UNSAFE, ("Violent",), False)),
        (
            "Safety: Controversial\nCategories: Unethical Acts, PII\nRefusal: No",
            Verdict(Safety.CONTROVERSIAL, ("Unethical Acts", "PII"), False),
        ),
    ],
)
def test_three_lines_are_a_verdict(text, verdict):
    assert parse(text) == verdict


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no Safety line"),
        ("Safety: Unsafely\nCategories: None\nRefusal: No", "no Safety line"),
        ("safety: unsafe\nCategories: None\nRefusal: No", "no Safety line"),
        ("The answer has Safety: Safe\nCategories: None\nRefusal: No", "no Safety line"),
        ("Safety: Safe\nRefusal: No", "no Categories line"),
        ("Safety: Safe\nCategories:\nRefusal: No", "no Categories line"),
        ("Safety: Safe\nCategories: None\nRefusal: None", "no Refusal line"),
        ("Safety: Safe\nCategories: None", "no Refusal line"),
        (SAFE + "\nSafety: Unsafe", "2 Safety lines"),
        (SAFE + "\n" + SAFE, "2 Safety lines"),
        (SAFE + "\nRefusal: Yes", "2 Refusal lines"),
        ("Safety: Safe Safety: Unsafe\nCategories: None\nRefusal: No", "no Safety line"),
    ],
)
def test_anything_else_has_a_reason(text, reason):
    assert parse(text) == reason


def test_strict_and_loose_differ_in_controversial_alone():
    for safety in Safety:
        verdict = Verdict(safety, (), False)
        assert verdict.is_safe("strict") == (safety is Safety.SAFE)
        assert verdict.is_safe("loose") == (safety is not Safety.UNSAFE)


@given(st.text())
def test_no_text_raises_and_a_verdict_has_all_three_lines(text):
    verdict = parse(text)
    assert isinstance(verdict, str) or all(f"{name}: " in text for name in ("Safety", "Categories", "Refusal"))
