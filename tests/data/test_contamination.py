"""A prompt is found in an evaluation set as a whole or by a run of words, and by nothing else."""

import json

import pytest

from sinternal_verl.data.contamination import Fingerprint, Match, find, read_evaluation, words_of
from sinternal_verl.data.math import DAPO_PREFIX, DAPO_SUFFIX, ask
from sinternal_verl.data.readers import SourceError
from sinternal_verl.data.schema import rl_row

RULE = "On market days the ducks of Lower Puddleton may cross the old bridge before noon"  # 15 words


@pytest.fixture
def evaluation(tmp_path):
    def read(*rows, n=13, column=""):
        file = tmp_path / "eval.jsonl"
        file.write_text("".join(json.dumps({"prompt": row} if isinstance(row, str) else row) + "\n" for row in rows))
        return read_evaluation(f"{file}{column}", n)

    return read


def how(text, evaluation):
    match = find(text, [evaluation])
    return match[0].how if match else None


@pytest.mark.parametrize(
    "text",
    [RULE, f"  {RULE.upper()}!", RULE.replace(" ", " - "), RULE.replace("ducks", "\uff44ucks"), ask(RULE)],
    ids=["the same", "case and a mark", "other marks", "another width", "with our instruction"],
)
def test_the_same_words_match_as_a_whole(evaluation, text):
    assert how(text, evaluation("Anything else", RULE)) == "whole"


def test_a_match_names_file_and_row(evaluation, tmp_path):
    assert find(RULE, [evaluation("Anything else", RULE)]) == [Match(f"{tmp_path}/eval.jsonl", 2, "whole")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"As a poet, tell me why {RULE.lower()}, in rhyme", "words"),
        ("days the ducks of Lower Puddleton may cross the old bridge before noon, it says", "words"),
        ("the ducks of Lower Puddleton may cross the old bridge before noon, it says", None),
        ("On market days the ducks of Lower Puddleton may NOT cross the old bridge before noon", None),
    ],
    ids=["other surroundings", "a run of 13", "a run of 12", "a word between"],
)
def test_a_run_of_words_matches(evaluation, text, found):
    assert how(text, evaluation(RULE)) == found


def test_the_length_of_the_run_is_chosen(evaluation):
    assert how("the ducks of Lower Puddleton", evaluation(RULE, n=5)) == "words"
    assert how("the ducks of Lower Puddleton", evaluation(RULE, n=6)) is None


def test_a_shorter_text_matches_only_as_a_whole(evaluation):
    short = evaluation("May I feed the ducks?")

    assert how("may i feed the ducks", short) == "whole"
    assert how(f"May I feed the ducks? {RULE}", short) is None
    assert (short.texts, short.short) == (1, 1)


def test_a_text_without_words_matches_only_itself(evaluation):
    symbols = evaluation("?!")

    assert how("?!", symbols) == "whole"
    assert how("!!", symbols) is None


def test_an_instruction_is_no_common_run(evaluation):
    """DAPO's is of more than 13 words, ours of fewer; both would join problems that have nothing in common."""
    dapo = evaluation(f"{DAPO_PREFIX}How many ducks are there?{DAPO_SUFFIX}")

    assert how(f"{DAPO_PREFIX}How many geese?{DAPO_SUFFIX}", dapo) is None
    assert how(ask("How many ducks are there?"), dapo) == "whole"


def test_words_are_letters_and_digits_of_any_script():
    assert words_of("Ducks_2, Straße;\n鴨の池 №5") == ["ducks", "2", "straße", "鴨の池", "no5"]


def test_a_hash_is_the_same_in_every_process():
    assert Fingerprint("the ducks", 13).whole == 14977566200932765751


class TestColumns:
    def test_every_known_one_is_compared_and_may_be_empty_in_a_row(self, evaluation):
        rows = {"vanilla": "The ducks", "adversarial": ""}, {"vanilla": "The geese", "adversarial": RULE}
        found = evaluation(*rows)

        assert found.columns == ("vanilla", "adversarial") and found.texts == 3
        assert how(RULE, found) == how("The ducks", found) == how("The geese", found) == "whole"

    def test_one_may_be_named(self, evaluation):
        rows = {"prompt": "The ducks", "notes": {"rule": RULE}}

        assert how(RULE, evaluation(rows)) is None
        assert how(RULE, evaluation(rows, column="#notes.rule")) == "whole"

    def test_a_prompt_of_messages_is_what_the_user_says(self, evaluation):
        row = rl_row(data_source="x", content=ask("How many ducks?"), ground_truth="1", index="1", split="test")
        row["prompt"].insert(0, {"role": "system", "content": RULE})

        found = evaluation(row)
        assert how("How many ducks?", found) == "whole" and how(RULE, found) is None

    def test_a_file_whose_name_holds_the_mark_is_read(self, tmp_path):
        (tmp_path / "a#prompt").mkdir()
        (tmp_path / "a#prompt" / "b.csv").write_text("prompt\nThe ducks\n")

        assert read_evaluation(f"{tmp_path}/a#prompt/b.csv").texts == 1
        assert read_evaluation(f"{tmp_path}/a#prompt/b.csv#prompt").texts == 1


@pytest.mark.parametrize(
    ("rows", "column", "message"),
    [
        ([{"text": RULE}], "", r"line 1: the columns are text; none is known to hold a prompt; .*FILE#column"),
        ([{"prompt": RULE}], "#text", "line 1: there is no text; the columns are prompt"),
        ([{"prompt": RULE}, {"prompt": None}], "", "line 2: there is no text in prompt; repair the row"),
        ([{"prompt": RULE}, {"prompt": " "}], "", "line 2: prompt is empty"),
        ([{"prompt": RULE}, {"prompt": 3}], "", "line 2: prompt is 3, not a string"),
        ([{"prompt": RULE}, {"prompt": ["May I?"]}], "", "line 2: there is no text in prompt"),
        ([], "", r"eval\.jsonl holds no rows"),
    ],
)
def test_what_would_leave_a_text_unseen_is_an_error(evaluation, rows, column, message):
    with pytest.raises(SourceError, match=message):
        evaluation(*rows, column=column)


def test_a_line_that_is_no_json_is_an_error(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt": "The ducks"}\n{"prompt": \n')

    with pytest.raises(SourceError, match="line 2: is no JSON"):
        read_evaluation(f"{tmp_path}/a.jsonl")


def test_a_file_that_is_not_there_is_an_error():
    with pytest.raises(SourceError, match=r"none\.jsonl does not exist"):
        read_evaluation("none.jsonl#prompt")
