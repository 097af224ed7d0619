"""Whole answers of a set: what is kept, what is left out and why."""

import json
from itertools import product

import pytest
from transformers import AutoTokenizer

from sinternal_verl.data.answers import Answers, whole_answer
from sinternal_verl.data.contamination import read_evaluation
from sinternal_verl.data.readers import SourceError, open_source
from sinternal_verl.data.turn import TurnEncoder


@pytest.fixture
def write(tmp_path):
    def make(*rows, name="rows.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return open_source(str(tmp_path / name))

    return make


def row(request, response="<think>\nHm.\n</think>\n\nNo."):
    return {"question": request, "response": response}


@pytest.mark.parametrize(
    ("response", "thinks", "answer"),
    [
        ("<think>\nHm.\n</think>\n\nNo.", True, "<think>\nHm.\n</think>\n\nNo."),
        ("<think>Hm.</think>No. ", True, "<think>\nHm.\n</think>\n\nNo."),
        ("Hm.</think>No.", True, "<think>\nHm.\n</think>\n\nNo."),
        ("<think>\nHm.\n</think>\n\nNo.", False, "No."),
        ("No.", False, "No."),
        ("No.", True, None),
        ("</think>No.", True, None),
        ("<think>\n</think>No.", True, None),
        ("Hm.</think>", True, None),
        ("Hm.</think> \n", False, None),
        ("", False, None),
        ("Hm.</think>No.</think>Yes.", True, None),
        ("Hm.</think>No.</think>Yes.", False, None),
        ("Hm.<think>Well.</think>No.", True, None),
        ("Hm.<think>Well.</think>No.", False, None),
        ("Hm.</think>No. <think>Well.</think>Yes.", True, None),
        ("Hm.</think>No. <think>Well.", True, None),
        ("<think>Hm.", False, None),
        ("Hm.</think><|im_end|>", True, None),
        ("Hm.</think>\n</s>\n", True, None),
        ("<|return|>", False, None),
        ("<end_of_turn>\n<eos>", False, None),
        (
            "Hm.</think>\uff5c <\uff5cend\u2581of\u2581sentence\uff5c>",
            True,
            "<think>\nHm.\n</think>\n\n\uff5c <\uff5cend\u2581of\u2581sentence\uff5c>",
        ),
        ("Hm.</think><\uff5cend\u2581of\u2581sentence\uff5c>", True, None),
        ("<|im_end|></think>No.", True, None),
        ("Hm.</think>No.<|im_end|>", True, "<think>\nHm.\n</think>\n\nNo.<|im_end|>"),
    ],
)
def test_a_whole_answer_is_one_thought_and_an_answer(response, thinks, answer):
    assert whole_answer(response, thinks) == answer


def test_a_row_becomes_a_prompt_and_its_completion(write):
    answers = Answers(write(row(" Lend it? ")), thinks=True, seed=1)

    assert list(answers) == [
        {
            "prompt": [{"role": "user", "content": "Lend it?"}],
            "completion": "<think>\nHm.\n</think>\n\nNo.",
            "request": "Lend it?",
        }
    ]
    assert answers.counts == {"answers/kept": 1}


@pytest.mark.parametrize("request_column", ["question", "instruction", "prompt"])
@pytest.mark.parametrize("response_column", ["response", "completion"])
def test_the_columns_of_the_sets_there_are(write, request_column, response_column):
    answers = Answers(write({request_column: "Lend it?", response_column: "No."}), thinks=False, seed=1)

    assert [(made["request"], made["completion"]) for made in answers] == [("Lend it?", "No.")]


def test_an_input_belongs_to_its_instruction(write):
    rows = [{"instruction": "Answer.", "input": text, "response": "No."} for text in ("Lend it?", "Mend it?", "")]
    answers = Answers(write(*rows, rows[0] | {"system": "Be brief."}), thinks=False, seed=1)

    assert [made["request"] for made in answers] == ["Answer.\n\nLend it?", "Answer.\n\nMend it?", "Answer."]
    assert answers.bad[0]["reason"].startswith("system stands beside instruction")


def test_what_is_left_out_is_counted_by_its_reason_each_time_anew(write):
    evaluation = read_evaluation(write({"prompt": "May I sell it?"}, name="eval.jsonl").name)
    source = write(row("Lend it?"), row("Lend  it?"), row("Mend it?", "Cut"), row("may i SELL it"), row("Burn it?"))
    answers = Answers(source, thinks=True, seed=1, evaluations=(evaluation,))

    for _ in range(2):
        assert [made["request"] for made in answers] == ["Lend it?", "Burn it?"]
        assert answers.counts == {
            "answers/kept": 2,
            "answers/duplicate request": 1,
            "answers/no whole thought and answer": 1,
            "answers/contaminated": 1,
        }


def test_a_whole_answer_is_kept_behind_a_broken_one_of_the_same_request(write):
    evaluation = read_evaluation(write({"prompt": "May I sell it?"}, name="eval.jsonl").name)
    source = write(row("Lend it?", "Cut"), row("Lend it?"), row("Lend it?"), row("May I sell it?"))
    answers = Answers(source, thinks=True, seed=1, evaluations=(evaluation,))

    assert [made["request"] for made in answers] == ["Lend it?"]
    assert answers.counts == {
        "answers/kept": 1,
        "answers/duplicate request": 1,
        "answers/no whole thought and answer": 1,
        "answers/contaminated": 1,
    }


def test_every_row_that_is_kept_can_be_trained_on(write, world):
    """An answer may be anything; what is written, the dataset takes."""
    tokenizer = AutoTokenizer.from_pretrained(world["policy"])
    parts = ["<think>", "</think>", "Hm.", " ", "<|end|>"]
    made = ["".join(chosen) for length in range(6) for chosen in product(parts, repeat=length)]
    source = write(*(row(f"Lend lamp {number}?", text) for number, text in enumerate(made) if text.strip()))
    encoder = TurnEncoder(tokenizer)
    kept = list(Answers(source, thinks=True, seed=1))

    assert kept
    for each in kept:
        if "<|end|>" not in each["completion"].rstrip().removesuffix("<|end|>"):  # a tokenizer's own
            encoder.encode(each["prompt"], each["completion"])


def test_a_fraction_of_those_that_could_be_kept_by_the_seed(write):
    source = write(*(row(f"Lend lamp {number}?") for number in range(20)), row("Cut", "Cut"))

    def kept(seed, fraction):
        answers = Answers(source, thinks=True, seed=seed, fraction=fraction)
        made = {made["request"] for made in answers}
        assert answers.counts["answers/left out by fraction"] == 20 - len(made)
        return made

    assert len(kept(1, 0.5)) == 10 and len(kept(1, 0.01)) == 1 and len(kept(1, 1.0)) == 20
    assert kept(1, 0.25) < kept(1, 0.5) == kept(1, 0.5) != kept(2, 0.5)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"text": "x"}, "question is missing or null"),
        ({"question": "x"}, "response is missing or null"),
        ({"question": "x", "response": None}, "response is missing or null"),
        ({"question": 5, "response": "x"}, "question is 5, not a string"),
        (["x"], "holds a list, not an object"),
    ],
)
def test_a_row_without_request_or_response_is_named_and_the_others_are_kept(write, bad, reason):
    answers = Answers(write(row("Lend it?"), bad, row("Mend it?")), thinks=True, seed=1)

    assert [made["request"] for made in answers] == ["Lend it?", "Mend it?"]
    assert answers.counts == {"answers/kept": 2, "answers/bad": 1}
    assert answers.bad == [{"row": 1, "place": "line 2", "reason": reason}]


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ({"text": "x"}, r"line 1: there is no question or instruction or prompt; the columns are text"),
        ({"question": "x"}, r"line 1: there is no response or completion; the columns are question"),
    ],
)
def test_a_file_without_these_columns_is_refused(write, first, reason):
    with pytest.raises(SourceError, match=reason):
        list(Answers(write(first), thinks=True, seed=1))
