"""The same answer written differently is the same in both directions; another answer never is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinternal_verl.scoring.latex import same

SPELLINGS = [
    [r"\frac{1}{2}", r"\dfrac{1}{2}", r"\tfrac12", r"\frac12", "1/2", "0.5", ".5", "0.50", r"$\frac{1}{2}$"],
    [r"\frac{1}{4}", "0.25", r"\frac{2}{8}", "1/4"],
    [r"-\frac{1}{2}", r"\frac{-1}{2}", "-1/2", "-0.5"],
    ["1000", "1,000", r"1{,}000", r"1\,000", r"1,\!000", "01000", "1000.", "1000.0"],
    ["33", "033", " 33 "],
    ["5", r"5\text{ cm}", r"5\,\mathrm{cm}", r"5 \mbox{ cm}"],
    ["90", r"90^\circ", r"90^{\circ}", "90°"],
    ["50", r"50\%", "50%"],
    ["36", r"\$36"],
    [r"\{1, 2\}", r"\{1,2\}", r"\left\{1,\,2\right\}"],
    [r"\left(3,\frac{\pi}{2}\right)", r"(3, \frac{\pi}{2})", r"\big(3,\ \dfrac{\pi}{2}\big)"],
    ["x^2", "x^{2}", "x ^ { 2 }"],
    [r"x\le 5", r"x \leq 5"],
    [r"\text{yes}", "yes", r"\mathrm{yes}"],
    [r"\sqrt2", r"\sqrt{2}"],
]

DIFFERENT = [
    ["1", "-1", "10", "1/3", "(1)", "[1]", "1^2", "x"],
    ["(1,2)", "[1,2]", "(2,1)", "(1,2]", r"\{1,2\}"],
    ["2^{10}", "2^10", "2^1", "2^{-1}", "2^2"],
    ["12_3", "12_4", "12"],
    ["1+x", "x+1", "1-x", "-1+x"],
    ["1 1/2", "11/2"],
    ["1,00", "100", "1,0000", "10000"],
    [r"5\text{ cm}", r"5\text{ m}", r"5\%"],
    [r"\text{yes}", r"\text{no}"],
    [r"\frac{1}{2}", r"\frac{2}{1}", r"\frac{1}{-2}"],
    ["AB", "BA", "ab"],
    ["5", r"5\mathrm{i}", r"5\text{ million}", r"5\mathbf{i}"],
    ["6", r"6\text{ Million}"],
    ["1011", r"1011\text{ (base 2)}", r"1011\text{A}"],
    ["3", r"3\text{ (mod 7)}", r"3\text{ or }4"],
    ["3100", "3, 100"],
    ["3100", r"3,\ 100"],
    ["0.333", "0.333..."],
    ["0.333", r"\frac{1}{3}"],
    [r"\sqrt{2}", r"\sqrt{3}", "2"],
]


@pytest.mark.parametrize("spellings", SPELLINGS, ids=lambda group: group[0])
def test_one_answer_in_any_spelling(spellings):
    for one in spellings:
        for other in spellings:
            assert same(one, other), (one, other)


@pytest.mark.parametrize("answers", DIFFERENT, ids=lambda group: group[0])
def test_different_answers_stay_different(answers):
    for i, one in enumerate(answers):
        for other in answers[i + 1 :]:
            assert not same(one, other) and not same(other, one), (one, other)


numbers = st.integers(-(10**6), 10**6)
atoms = st.sampled_from(["x", "y", r"\pi", "2", "17", r"\sqrt{3}"])
expressions = st.one_of(
    numbers.map(str),
    st.builds(r"\frac{{{}}}{{{}}}".format, atoms, atoms),
    st.builds("{}^{{{}}}".format, atoms, st.integers(2, 99)),
    st.builds("({},{})".format, atoms, atoms),
    st.builds("{}+{}".format, atoms, atoms),
)
respell = st.sampled_from(
    [
        lambda text: text.replace(r"\frac", r"\dfrac"),
        lambda text: text.replace("(", r"\left(").replace(")", r"\right)"),
        lambda text: text.replace(",", r",\ ").replace("+", " + "),
        lambda text: f"  {text} ",
        lambda text: f"${text}$",
    ]
)


@given(expressions, st.lists(respell, max_size=3, unique=True))
def test_equal_spellings_match_in_both_directions(text, changes):
    other = text
    for change in changes:
        other = change(other)

    assert same(text, other) and same(other, text)


@given(numbers, numbers)
def test_integers_are_the_same_only_if_they_are_equal(one, other):
    assert same(str(one), f"{other:,}") == (one == other)
    assert same(f"{one:05d}", str(other)) == (one == other)


@given(atoms, st.integers(2, 99), st.integers(2, 99))
def test_another_exponent_or_base_never_matches(atom, one, other):
    for mark in "^_":
        assert same(f"{atom}{mark}{{{one}}}", f"{atom}{mark}{{{other}}}") == (one == other)


@given(expressions)
def test_another_sign_or_bracket_never_matches(text):
    assert not same(text, f"-({text})")
    assert not same(f"({text},1)", f"[{text},1]")
    assert not same(f"({text},1)", f"(1,{text})") or same(text, "1")
