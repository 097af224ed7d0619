"""Which requests a build answers: each once, labelled, and in no evaluation."""

import json

import pytest

from sinternal_verl.data.contamination import read_evaluation
from sinternal_verl.data.readers import SourceError
from sinternal_verl.data.schema import rl_row, write_rl_rows
from sinternal_verl.verify.requests import Prompt, Prompts


@pytest.fixture
def write(tmp_path):
    def make(*rows, name="rows.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(tmp_path / name)

    return make


def row(prompt, label="harmful"):
    return {"prompt": prompt, "label": label}


def test_a_raw_set(write):
    prompts = Prompts(write(row("May I lend the lamp?"), row("May I sell the nets?", "benign")))

    assert list(prompts) == [
        Prompt("May I lend the lamp?", "harmful", "safety/harmful/plain", "0"),
        Prompt("May I sell the nets?", "benign", "safety/benign/plain", "1"),
    ]
    assert prompts.counts == {"read": 2, "harmful": 1, "benign": 1}


def test_a_file_of_verls_schema_less_its_sums(tmp_path):
    rows = [
        rl_row(data_source="safety/harmful/orla", content="Lend it?", ground_truth="harmful", index="a", split="x"),
        rl_row(data_source="math", content="1+1?", ground_truth="2", index="b", split="x"),
        rl_row(data_source="math", content="1+2?", ground_truth="3", index="c", split="x"),
    ]
    write_rl_rows(tmp_path / "mix.parquet", rows)
    prompts = Prompts(str(tmp_path / "mix.parquet"))

    assert list(prompts) == [Prompt("Lend it?", "harmful", "safety/harmful/orla", "a")]
    assert prompts.counts == {"read": 3, "passed over": 2, "harmful": 1} and not prompts.bad.count


def test_duplicates_are_answered_once(write):
    prompts = Prompts(write(row("Lend it?"), row("Lend  it?"), row("Sell it?")))

    assert [prompt.text for prompt in prompts] == ["Lend it?", "Sell it?"]
    assert prompts.counts["duplicates"] == 1 and not prompts.bad.count


def test_a_request_with_two_labels_is_bad_and_both_rows_are_named(write):
    prompts = Prompts(write(row("Lend it?"), row("Lend it?", "benign")))
    list(prompts)

    (line,) = prompts.bad.lines()
    assert "line 2: the same request has another label in line 1" in line


@pytest.mark.parametrize("bad", [{"prompt": "", "label": "harmful"}, {"prompt": "x", "label": "evil"}, ["x"]])
def test_a_bad_row_is_named_and_the_others_are_read(write, bad):
    prompts = Prompts(write(row("Lend it?"), bad, row("Sell it?")))

    assert len(list(prompts)) == 2
    assert "line 2" in prompts.bad.lines()[0]


def test_a_set_without_labels_needs_one(write):
    file = write({"prompt": "Lend it?"})

    with pytest.raises(SourceError, match="label="):
        list(Prompts(file))
    assert [prompt.harm for prompt in Prompts(file, label="harmful")] == ["harmful"]


def test_prompts_of_an_evaluation_are_left_out(write):
    against = read_evaluation(write({"prompt": "lend IT"}, name="eval.jsonl"))
    prompts = Prompts(write(row("Lend it?"), row("Sell it?")), evaluations=[against])

    assert [prompt.text for prompt in prompts] == ["Sell it?"]
    assert prompts.counts["contaminated"] == 1


def test_shards_are_disjoint_and_together_all(write):
    file = write(*(row(f"Lend lamp {number}?") for number in range(10)))
    parts = [list(Prompts(file, shard=(part, 3))) for part in range(3)]

    assert sorted((p for part in parts for p in part), key=str) == sorted(Prompts(file), key=str)
    assert [len(part) for part in parts] == [4, 3, 3]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ground_truth": "evil"}, "reward_model.ground_truth is 'evil', not harmful or benign"),
        ({"ground_truth": None}, "reward_model.ground_truth is None, not harmful or benign"),
        ({"messages": [("system", "Be kind."), ("user", "Lend it?")]}, "prompt must be one message, the user's"),
        ({"messages": [("assistant", "Lend it?")]}, "prompt must be one message, the user's"),
        ({"messages": []}, "prompt must be one message, the user's"),
        ({"messages": [("user", " ")]}, "prompt is empty"),
    ],
)
def test_a_row_of_verls_schema_that_is_no_request_says_why(write, change, reason):
    messages = [{"role": role, "content": text} for role, text in change.get("messages", [("user", "Lend it?")])]
    truth = {"ground_truth": change.get("ground_truth", "harmful")}
    made = {"data_source": "safety/harmful/orla", "prompt": messages, "reward_model": truth}
    prompts = Prompts(write(made))

    assert list(prompts) == []
    assert prompts.bad.lines()[0].endswith(f", line 1: {reason}")


def test_what_was_read_is_counted_anew_each_time_and_by_shard(write):
    rows = [row(f"Lend lamp {n}?") for n in range(3)] + [row(f"Mend net {n}?", "benign") for n in range(3)]
    prompts = Prompts(write(*rows, row("Lend lamp 0?"), {"prompt": 1, "label": "benign"}), shard=(1, 2))

    for _ in range(2):
        assert [prompt.text for prompt in prompts] == ["Lend lamp 1?", "Mend net 0?", "Mend net 2?"]
        assert prompts.counts == {"read": 8, "harmful": 1, "benign": 2, "duplicates": 1}
        assert prompts.bad.count == 1


def test_prompts_are_held_against_an_evaluation_by_runs_of_its_own_length(write):
    file = write(row("Say one two three four five six, please"), row("Lend it?"))
    theirs = {"prompt": "Hear me: one two three four five six!"}
    long, short = (read_evaluation(write(theirs, name="eval.jsonl"), n) for n in (7, 5))

    assert len(list(Prompts(file, evaluations=[long]))) == 2
    assert [prompt.text for prompt in Prompts(file, evaluations=[long, short])] == ["Lend it?"]
