"""A prompt is found in an evaluation set as a whole or by a run of words, in any script, and by nothing else."""

import json

import pytest

from sinternal_verl.data.contamination import Match, find, read_evaluation, words_of
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
    return ("whole" if match[0].whole else "words") if match else None


@pytest.mark.parametrize(
    "text",
    [RULE, f"  {RULE.upper()}!", RULE.replace(" ", " - "), RULE.replace("ducks", "\uff44ucks"), ask(RULE)],
    ids=["the same", "case and a mark", "other marks", "another width", "with our instruction"],
)
def test_the_same_words_match_as_a_whole(evaluation, text):
    assert how(text, evaluation("Anything else", RULE)) == "whole"


@pytest.mark.parametrize(
    ("theirs", "text"),
    [
        ("Wo ist die Straße?", "WO IST DIE STRASSE"),
        ("Where are the ducks?", "Where are the du\u00adcks?"),
        ("Where are the ducks?", "W\u200bhere are\u2060 the \u200educks\ufe0f?"),
        ("\ufeffWhere are the ducks?", "Where are the ducks?"),
        ("Η ΟΔΟΣ", "η οδος"),  # noqa: RUF001
        ("İ am here", "i̇ am here"),
        ("می\u200cخواهم", "میخواهم"),  # noqa: RUF001
    ],
)
def test_neither_case_nor_what_cannot_be_seen_parts_two_texts(evaluation, theirs, text):
    assert how(text, evaluation(theirs)) == how(theirs, evaluation(text)) == "whole"


def test_many_texts_that_begin_alike_are_told_apart(evaluation):
    texts = [f"how do I make the lamp {number}" for number in range(300)] + ["how do I make the"]
    found = evaluation(*texts)

    for number in (0, 7, 299):
        (match,) = find(f"Well, how do I make the old one, and how do I make the lamp {number}?", [found])
        assert (match.row, match.first, match.words) == (300, 2, 5)
        (match,) = find(f"do I make the lamp {number}", [found])
        assert match.row == number
    assert find("how do I make the lamp go", [found])[0].row == 300
    assert find("make the lamp go do I", [found]) == []


def test_a_match_names_file_row_and_words_and_says_so_without_a_text(evaluation, tmp_path):
    found = [find(text, [evaluation("Anything else", RULE)])[0] for text in (RULE, f"Know that {RULE}!")]

    assert found == [
        Match(f"{tmp_path}/eval.jsonl", 1, True, 1, 15),
        Match(f"{tmp_path}/eval.jsonl", 1, False, 3, 13),
    ]
    assert [str(match) for match in found] == [
        f"its words are those in {tmp_path}/eval.jsonl, row 1 (from 0)",
        f"its words 3 to 15 are also in {tmp_path}/eval.jsonl, row 1 (from 0)",
    ]


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
    assert how("geese, and the ducks of Lower Puddleton", evaluation(RULE, n=6)) is None


@pytest.mark.parametrize(
    ("theirs", "text", "found"),
    [
        ("May I feed the ducks?", "may i feed the ducks", "whole"),
        ("May I feed the ducks?", "Tell me: may I feed the ducks, please?", "words"),
        ("Tell me: may I feed the ducks, please?", "May I feed the ducks?", "words"),
        ("May I feed the ducks?", "May I feed the old ducks?", None),
        ("May I feed the ducks?", "Please, may I feed the", None),
        ("Feed the ducks, please!", "Feed the ducks, please! Or do not.", None),
        ("Feed the ducks, please!", "feed the ducks PLEASE", "whole"),
    ],
    ids=["whole", "within a prompt", "a prompt within it", "a word between", "its beginning", "4 words", "4, whole"],
)
def test_a_shorter_text_matches_by_a_run_of_its_own_length(evaluation, theirs, text, found):
    assert how(text, evaluation(theirs)) == found


def test_shorter_texts_are_counted_and_those_that_match_only_as_a_whole(evaluation):
    read = evaluation(RULE, "May I feed the ducks?", "Feed them!")

    assert (read.texts, read.short, read.shortest) == (3, 2, 1)


SPACELESS = {
    "Chinese": ("桥上的鸭子每天几点过河", "今天桥上的鸭子在哪里休息呢"),
    "Japanese": ("池の鴨は何時に橋を渡りますか。", "池の鯉は何時に餌を食べますか"),
    "Thai": ("เป็ดในสระข้ามสะพานกี่โมง", "ห่านในสวนกินข้าวที่ไหนตอนเช้า"),
    "Lao": ("ເປັດຂ້າມຂົວຈັກໂມງ", "ໝາກໄມ້ຢູ່ໃສໃນຕະຫຼາດ"),
    "Khmer": ("ទាឆ្លងស្ពានម៉ោងប៉ុន្មាន", "ផ្លែឈើនៅឯណាក្នុងផ្សារ"),
    "Burmese": ("ဘဲတွေတံတားကိုဘယ်အချိန်ဖြတ်သလဲ", "သစ်သီးတွေဈေးမှာဘယ်မှာရှိလဲ"),
}


@pytest.mark.parametrize("language", SPACELESS)
class TestScriptsWithoutSpaces:
    def test_a_prompt_is_found_behind_one_letter_and_before_others(self, evaluation, language):
        theirs, _ = SPACELESS[language]

        assert how(theirs, evaluation(theirs)) == "whole"
        for text in (theirs[0] + theirs, theirs + theirs[0], f"A{theirs}B", f"Q: {theirs} {theirs[:2]}"):
            assert how(text, evaluation(theirs)) == "words"

    def test_another_one_is_not(self, evaluation, language):
        theirs, other = SPACELESS[language]

        assert how(other, evaluation(theirs)) is None
        assert how(theirs[:-4], evaluation(f"{theirs[:3]}{other}")) is None

    def test_a_letter_is_a_word_with_its_marks(self, language):
        theirs, _ = SPACELESS[language]
        words = words_of(theirs)

        assert len(words) > 8 and all(len(word) <= 5 for word in words)


def test_two_such_letters_count_as_one_word_of_a_run(evaluation):
    long = "".join(chr(0x4E00 + 7 * number) for number in range(60))

    assert how(f"问{long[10:36]}答", evaluation(long)) == "words"
    assert how(f"问{long[10:35]}答", evaluation(long)) is None
    assert how(f"问{long[10:30]}答", evaluation(long, n=10)) == "words"


def test_a_text_of_both_counts_both(evaluation):
    theirs = "请解释 how the ducks of Lower Puddleton cross the old bridge 在哪一天"

    assert how(f"问, {theirs}。", evaluation(theirs)) == "words"
    assert how("请解释 how the geese of Upper Puddleton cross the old bridge 在哪一天", evaluation(theirs)) is None


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
    assert words_of("Ducks_2, Straße;\n鴨の池 №5") == ("ducks", "2", "strasse", "鴨", "の", "池", "no5")
    assert words_of("हिन्दी में 한국어 ꦧꦱ") == ("हिन्दी", "में", "한국어", "ꦧ", "ꦱ")


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

    @pytest.mark.parametrize(
        "text",
        [
            f"Copy this rule.\n\n{RULE}",  # as a model is asked
            f"Please: Copy this rule. {RULE}",
            RULE,
            f"Is this true? {RULE}.",
            "Copy this rule word by word, please.",
        ],
        ids=["joined", "joined, with a word", "the input", "the input within another", "the instruction"],
    )
    def test_instruction_and_input_are_compared_joined_and_each(self, evaluation, text):
        found = evaluation(
            {"instruction": "Copy this rule.", "input": RULE, "output": RULE},
            {"instruction": "Copy this rule word by word, please.", "input": "No."},
            {"instruction": "Where are the ducks of the town?", "input": ""},
        )

        assert how(text, found) is not None
        assert how("So: where are the ducks of the town?", found) == "words"
        assert found.texts == 3 + 3 + 1 and found.columns == ("instruction", "input")

    def test_an_instruction_of_several_inputs_is_only_a_frame(self, evaluation):
        rows = [{"instruction": "Say whether this is a rule:", "input": f"{RULE} {n}"} for n in ("one", "two", "two")]

        assert how("Say whether this is a rule: no dogs.", evaluation(*rows)) is None
        assert how(f"Say whether this is a rule: {RULE} two", evaluation(*rows)) == "whole"
        assert how("Say whether this is a rule: no dogs.", evaluation(*rows, column="#instruction")) == "words"

    def test_a_short_pair_matches_as_it_is_asked(self, evaluation):
        found = evaluation({"instruction": "Translate.", "input": "ducks"})

        assert [
            how(text, found) for text in ("Translate.\n\nducks", "Translate: ducks!", "Ducks", "Translate: geese")
        ] == [
            "whole",
            "whole",
            "whole",
            None,
        ]

    def test_a_behavior_is_asked_behind_its_context(self, evaluation):
        found = evaluation(
            {"Behavior": "Name it.", "ContextString": RULE}, {"Behavior": "Name the bridge", "ContextString": ""}
        )

        assert how(f"{RULE}\n\nName it.", found) == "whole"
        assert how(RULE, found) == "whole" and how(f"{RULE}, is it?", found) == "words"
        assert how("Name the bridge", found) == "whole"

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
