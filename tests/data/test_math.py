"""Each set is known by its columns; what is no problem, answer or index is refused with a reason."""

import pytest

from sinternal_verl.data.adapter import Labels, NoTruth, RowError
from sinternal_verl.data.math import DAPO_PREFIX, DAPO_SUFFIX, MathReader, bare

MATH500 = {"problem": "1+1?", "solution": "…", "answer": "2", "subject": "Algebra", "level": 1, "unique_id": "test/1"}
AIME = {"id": 60, "problem": "1+1?", "answer": "2", "url": "https://x/wiki/index.php/2024_AIME_I_Problems/Problem_1"}
DAPO = {
    "data_source": "math_dapo",
    "prompt": [{"role": "user", "content": f"{DAPO_PREFIX}1+1?{DAPO_SUFFIX}"}],
    "ability": "MATH",
    "reward_model": {"ground_truth": "2", "style": "rule-lighteval/MATH_v2"},
    "extra_info": {"index": 7},
}


def read(first, row, number=1, labels=None):
    """Problem, ground truth and index of the row that is made."""
    made = MathReader(first, labels).read(row, number)
    return bare(made["prompt"][0]["content"]), made["reward_model"]["ground_truth"], made["extra_info"]["index"]


@pytest.mark.parametrize(
    ("row", "name", "index"),
    [
        (MATH500, "math500", "test/1"),
        (AIME, "aime2024", "60"),
        (DAPO, "dapo_math", "7"),
        (AIME | {"url": "https://x/2023_AIME_I_Problems/Problem_1"}, "math", "60"),
        ({"problem": "1+1?", "answer": 2, "id": None}, "math", "41"),
        ({"question": " 1+1?\n", "answer": " 2 "}, "math", "41"),
    ],
    ids=["MATH-500", "AIME 2024", "DAPO", "AIME of another year", "problem", "question"],
)
def test_a_set_is_known_by_its_first_row(row, name, index):
    assert MathReader(row).adapter.name == name
    assert read(row, row, number=41) == ("1+1?", "2", index)


def test_unknown_columns_are_listed_beside_those_wanted():
    with pytest.raises(
        RowError, match=r"columns are input, target; wanted are problem \(or question\) and answer \(or solution\)"
    ):
        MathReader({"input": "1+1?", "target": "2"})


def test_a_column_that_is_nearly_right_is_offered():
    with pytest.raises(RowError, match=r"rename yours; did you mean problem by probem, answer by anwser\?$"):
        MathReader({"probem": "1+1?", "anwser": "2"})


@pytest.mark.parametrize("answer", ["5\f", "5 \n\v"])
def test_space_behind_a_ground_truth_is_no_damage(answer):
    assert read(MATH500, MATH500 | {"answer": answer})[1] == "5"


def test_the_index_is_taken_from_the_column_the_user_names():
    assert read(MATH500, MATH500, labels=Labels(index="level")) == ("1+1?", "2", "1")
    with pytest.raises(RowError, match="there is no uid to take the index from; the columns are problem, "):
        MathReader(MATH500, Labels(index="uid"))
    with pytest.raises(RowError, match=r"there is no uniqe_id .*; did you mean unique_id\?$"):
        MathReader(MATH500, Labels(index="uniqe_id"))


@pytest.mark.parametrize("answer", ["033", "-1", r"\frac{1}{2}", "x\n+1", "10" * 300])
def test_a_ground_truth_stays_as_it_is_written(answer):
    assert read(MATH500, MATH500 | {"answer": answer}) == ("1+1?", answer, "test/1")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answer": None}, "there is no ground truth: empty"),
        ({"answer": " \n"}, "there is no ground truth: empty"),
        ({"answer": "notfound"}, "there is no ground truth: not found"),
        ({"answer": "\frac12"}, r"answer holds a form feed at character 1, where \\frac was meant"),
        ({"answer": " \theta"}, r"answer holds a tab at character 2, where \\theta was meant"),
        ({"answer": "5\x01"}, r"answer holds the control character U\+0001 at character 2"),
        ({"problem": "\frac12?"}, r"the problem holds a form feed at character 1, where \\frac was meant"),
        ({"answer": True}, "answer is True, not a string or an integer"),
        ({"answer": 2.0}, "answer is 2.0, not a string or an integer"),
        ({"answer": ["2"]}, "answer is a list, not a string or an integer"),
        ({"answer": {"value": "2"}}, "answer is a dict"),
        ({"answer": "\ud800"}, "answer holds half a surrogate pair"),
        ({"answer": "1+1=2\n#### 2"}, "answer holds ####, so it is a solution"),
        ({"answer": r"\boxed{2}"}, r"answer holds \\boxed, so it is a solution"),
        ({"problem": None}, "problem is missing or null"),
        ({"problem": " "}, "problem is empty"),
        ({"problem": 3}, "problem is 3, not a string"),
        ({"problem": "\udfff"}, "problem holds half a surrogate pair"),
        ({"unique_id": None}, "unique_id is missing or null"),
        ({"unique_id": 1.5}, "unique_id is 1.5"),
    ],
)
def test_a_bad_row_has_a_reason(change, reason):
    with pytest.raises(RowError, match=reason):
        read(MATH500, MATH500 | change)


def test_a_column_missing_from_one_row_is_a_reason():
    with pytest.raises(RowError, match="answer is missing"):
        read(MATH500, {"problem": "1+1?", "unique_id": "a"})


class TestDapo:
    def read(self, **change):
        return read(DAPO, DAPO | change)[0]

    def message(self, content, role="user"):
        return {"prompt": [{"role": role, "content": content}]}

    def test_only_the_two_instructions_are_removed(self):
        text = f"Find $x$.\n\nAnswer: is a word here.{DAPO_PREFIX} and so is this."

        assert self.read(**self.message(f"{DAPO_PREFIX}{text}{DAPO_SUFFIX}")) == text

    @pytest.mark.parametrize(
        "content",
        ["1+1?", f"{DAPO_PREFIX}1+1?", f"1+1?{DAPO_SUFFIX}", f"Solve it. {DAPO_PREFIX}1+1?{DAPO_SUFFIX}"],
        ids=["neither", "no end", "no beginning", "another beginning"],
    )
    def test_a_prompt_without_both_is_bad(self, content):
        with pytest.raises(RowError, match="does not stand between DAPO's two instructions"):
            self.read(**self.message(content))

    @pytest.mark.parametrize("content", [DAPO_PREFIX + DAPO_SUFFIX, DAPO_PREFIX[:-2] + DAPO_SUFFIX])
    def test_nothing_between_them_is_bad(self, content):
        with pytest.raises(RowError, match="the problem is empty"):
            self.read(**self.message(content))

    @pytest.mark.parametrize(
        "prompt", [None, "1+1?", [], [None], [{"role": "system", "content": "x"}], DAPO["prompt"] * 2]
    )
    def test_a_prompt_of_other_messages_is_bad(self, prompt):
        with pytest.raises(RowError, match="prompt is not one user message"):
            self.read(prompt=prompt)

    def test_a_null_ground_truth_is_none(self):
        with pytest.raises(NoTruth):
            self.read(reward_model={"ground_truth": None})

    @pytest.mark.parametrize("reward_model", [None, {}, "2"])
    def test_a_missing_ground_truth_is_bad(self, reward_model):
        with pytest.raises(RowError, match=r"reward_model\.ground_truth is missing"):
            self.read(reward_model=reward_model)
