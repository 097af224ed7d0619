r"""A text that says there is no ground truth is told from one; a control character is named with its command."""

import json

import pytest

from sinternal_verl.data.adapter import NoTruth, RowError
from sinternal_verl.data.truth import absent, after_hashes, boxed, boxed_or_all, damage


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("proof", ["proof", "Proof", "PROOF.", "proved", r"\text{Proof}", "(proof)", "Q.E.D."]),
        (
            "proof",
            [
                "Proof by induction",
                "proof required",
                "证明",
                "证明见解析",
                "证明略",
                "∎",
                r"\square",
                r"$\blacksquare$.",
            ],
        ),
        ("not found", ["notfound", "not found", "Not Found", "not_found", "No answer found.", "no answer"]),
        ("nan", ["nan", "NaN", "NAN", float("nan")]),
        ("none", ["None", "none", "null", "NULL"]),
        ("n/a", ["N/A", "n/a", "NA", "n.a.", "<NA>", "#N/A", "#REF!", "#DIV/0!", "Not Applicable"]),
        ("empty", [None, "", " ", "\n", "-", "--", "—", "?", "...", "…", '""', "“”"]),
        ("empty", ["$$", "{}", r"\text{}", r"\,", r"$\text{ }$"]),
        (
            "see solution",
            ["see solution", "See the solution.", "see above", "Refer to the explanation", "见解析", "答案略"],
        ),
        ("unknown", ["unknown", "not available", "not provided", "TBD"]),
    ],
)
def test_what_says_that_there_is_none(kind, values):
    assert {str(value): absent(value) for value in values} == {str(value): kind for value in values}


@pytest.mark.parametrize(
    "value",
    [
        *("0", 0, 7, "no", "yes", "No solution", "does not exist", r"\text{None}", r"\emptyset", r"\varnothing", "∅"),
        *(
            "undefined",
            "infinite",
            "∞",
            ">",
            "<",
            "=",
            "+",
            r"\text{no real solutions}",
            "A",
            "n",
            "nano",
            "a proof of 5",
        ),
        *("-1", "--1", "N", "{1}", r"\{\}", "()", r"\text{(A)}", "true", "False", "the solution is 5", "see 5"),
    ],
)
def test_what_may_be_an_answer(value):
    assert absent(value) is None


def test_every_gold_of_the_benchmarks_is_one(benchmark_sets):
    for name in ("math500", "aime2024"):
        for line in (benchmark_sets / f"{name}.jsonl").read_text().splitlines():
            answer = json.loads(line)["answer"]
            assert absent(answer) is None and damage(str(answer)) is None


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (r"\frac{1}{2}", "frac"),
        (r"\theta", "theta"),
        (r"2\times 5", "times"),
        (r"\tan x", "tan"),
        (r"\text{yes}", "text"),
        (r"\beta", "beta"),
        (r"\binom{5}{2}", "binom"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", "begin"),
        (r"x \neq 5", "neq"),
        (r"\nu", "nu"),
        (r"\rho", "rho"),
        (r"\rightarrow", "rightarrow"),
        (r"5 \rm{cm}", "rm"),
    ],
)
def test_a_backslash_that_json_has_eaten_is_named_with_its_command(text, command):
    reason = damage(json.loads(f'"{text}"'.replace(r"\\", r"\\\\").replace(r"\e", r"\\e")))

    assert rf"where \{command} was meant" in reason and "a backslash is written twice" in reason


@pytest.mark.parametrize(("text", "command"), [("\alpha", "alpha"), ("\vec a", "vec"), ("\varphi", "varphi")])
def test_so_is_one_that_python_has_eaten(text, command):
    assert rf"where \{command} was meant" in damage(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("5\f", "a form feed"),
        ("\b5", "a backspace"),
        ("5\x00", "U+0000"),
        ("5\x1b", "U+001B"),
        ("\x7f", "U+007F"),
        ("5\x85", "U+0085"),
        ("5\ufffd", "a replacement"),
    ],
)
def test_a_control_character_without_a_command_is_named(text, name):
    assert name in damage(text) and "which no answer holds" in damage(text)


@pytest.mark.parametrize(
    "text",
    [
        *("5", r"\frac{1}{2}", "x\n+1", "1\t2", "\n5\n", "a\r\nb", "\\begin{pmatrix}\n1 \\\\\n2\n\\end{pmatrix}"),
        *("\\begin{cases}\nx\\\\\nu\\end{cases}", "\\begin{array}{l}a\\\\\no\\end{array}"),
    ],
)
def test_blanks_between_lines_and_columns_belong_to_an_answer(text):
    assert damage(text) is None


def test_in_a_problem_only_a_command_that_was_eaten_is_damage():
    assert r"\frac" in damage("Find \frac{1}{2}.", prose=True)
    for text in ("First page.\fSecond page", "A line\no more", "a\tan apple", "Find $x$.\nu is even."):
        assert damage(text, prose=True) is None


@pytest.mark.parametrize(
    ("answer", "truth"),
    [
        ("a\n#### 5", "5"),
        ("1+1=2 #### 2\n#### 1,234,567 ", "1234567"),
        ("#### -3", "-3"),
        ("####12.50", "12.50"),
        ("#### 1,2", "1,2"),
        ("#### 1,0000", "1,0000"),
    ],
)
def test_gsm8ks_truth_stands_behind_hashes(answer, truth):
    assert after_hashes(answer) == truth


def test_an_answer_without_hashes_is_bad():
    with pytest.raises(RowError, match="there is no ####"):
        after_hashes("It is 5.")


def test_a_solutions_truth_is_its_last_box():
    assert boxed(r"First \boxed{1}, then \boxed{\text{two}}.") == r"\text{two}"
    assert boxed_or_all(r"\boxed{3}") == boxed_or_all("3") == "3"
    with pytest.raises(NoTruth, match="no box"):
        boxed("It follows.")
    with pytest.raises(RowError, match=r"the last \\boxed is unclosed"):
        boxed(r"\boxed{3")


@pytest.mark.parametrize(
    ("box", "truth"),
    [
        (r"\boxed 2", "2"),
        (r"\boxed2", "2"),
        ("$\\boxed 2$.", "2"),
        ("\\boxed\n7 is what was asked", "7"),
        (r"\boxed\frac12", r"\frac12"),
        (r"$\boxed \dfrac{1}{2}$", r"\dfrac{1}{2}"),
        (r"$$\boxed\sqrt3.$$", r"\sqrt3"),
        (r"\boxed\pi", r"\pi"),
        (r"\boxed{\boxed x}", "x"),
        (r"First \boxed{1}, at last \boxed 2.", "2"),
        (r"First \boxed 1, at last \boxed {2}.", "2"),
    ],
)
def test_a_box_without_a_brace_holds_one_token(box, truth):
    assert boxed(box) == boxed_or_all(box) == truth


@pytest.mark.parametrize(
    "box",
    [r"\boxed 12", r"\boxed 2.5", r"\boxed -1", r"\boxed", r"\boxed$2$", r"\boxed 2x", r"\boxed 2 + 3", r"\boxed2\pi"],
)
def test_a_box_without_a_brace_that_may_hold_more_is_bad(box):
    with pytest.raises(RowError, match="no brace follows") as error:
        boxed(rf"First \boxed{{1}}, then {box}")
    assert not isinstance(error.value, NoTruth)


def test_another_command_is_no_box():
    with pytest.raises(NoTruth, match="no box"):
        boxed(r"\boxedtext 2")
