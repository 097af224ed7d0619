r"""The math sets that users know, in small files of their publishers' columns and types."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sinternal_verl.data.convert import convert
from sinternal_verl.data.math import DAPO_PREFIX, DAPO_SUFFIX, INSTRUCTION, VERL_SUFFIXES, MathReader, ask
from sinternal_verl.data.readers import SourceError, open_source

TEXT, MESSAGES = pa.string(), pa.list_(pa.struct([("content", pa.string()), ("role", pa.string())]))
TRUTH, INDEX = (pa.struct([(name, pa.string()) for name in names]) for names in (("ground_truth", "style"), ("index",)))


def schema(text="", **others):
    return pa.schema([*((name, TEXT) for name in text.split()), *others.items()])


def framed(problem):
    return [{"content": f"{DAPO_PREFIX}{problem}{DAPO_SUFFIX}", "role": "user"}]


NUMINA = {"problem_is_valid": "Yes", "solution_is_valid": "Yes", "source": "olympiads", "synthetic": False}
NUMINA |= {"problem_type": "Algebra", "question_type": "math-word-problem", "solution": "It is so."}
DAPO = {"data_source": "math_dapo", "ability": "MATH", "reward_model": {"ground_truth": "34", "style": "rule"}}
DAPO |= {"extra_info": {"index": "9a9b6eb4"}}
VERL_INFO = pa.struct([("answer", TEXT), ("index", pa.int64()), ("question", TEXT), ("split", TEXT)])
VERL = {"ability": "math", "reward_model": {"ground_truth": "72", "style": "rule"}}
LONG = {"difficulty": 4.5, "topic": "Precalculus", **{f"r1_solution_{n}": r"So \boxed{0}." for n in (1, 2, 3)}}

# Set: its schema; its rows; of each row that is written the problem, the ground truth and the index.
SETS = {
    "numinamath": (
        schema(
            "problem solution answer problem_type question_type problem_is_valid solution_is_valid source",
            synthetic=pa.bool_(),
        ),
        [
            NUMINA | {"problem": "How many ducks?", "answer": r"\frac{1}{2}"},
            NUMINA | {"problem": "Show it.", "answer": "proof"},
            NUMINA | {"problem": "Show it, too.", "answer": "5", "question_type": "proof"},
            NUMINA | {"problem": "Which one?", "answer": "notfound"},
            NUMINA | {"problem": "Which duck?", "answer": "B", "question_type": "MCQ"},
            NUMINA | {"problem": "Which pond?", "answer": None},
            NUMINA | {"problem": "Which bridge?", "answer": "5", "problem_is_valid": "Incomplete"},
            NUMINA | {"problem": "Which oar?", "answer": "5", "solution_is_valid": "Problem not solved"},
            NUMINA | {"problem": "Which boat?", "answer": "5", "solution_is_valid": None},
        ],
        [("How many ducks?", r"\frac{1}{2}", "0"), ("Which duck?", "B", "4")],
    ),
    "dapo_math": (
        schema(
            "prompt solution data_source", source_prompt=MESSAGES, ability=TEXT, reward_model=TRUTH, extra_info=INDEX
        ),
        [DAPO | {"prompt": "How many ducks?", "solution": "34", "source_prompt": framed("How many ducks?")}],
        [("How many ducks?", "34", "9a9b6eb4")],
    ),
    "gsm8k": (
        schema("question answer"),
        [
            {"question": "How many ducks?", "answer": "There are <<600*2=1200>>1200.\n#### 1,200"},
            {"question": "How many geese?", "answer": "None is left.\n#### 0"},
        ],
        [("How many ducks?", "1200", "0"), ("How many geese?", "0", "1")],
    ),
    "mgsm": (
        schema("question answer equation_solution", answer_number=pa.int32()),
        [{"question": "桥上有几只鸭子", "answer": None, "answer_number": 18, "equation_solution": None}],
        [("桥上有几只鸭子", "18", "0")],
    ),
    "hendrycks_math": (
        schema("problem level type solution"),
        [
            {
                "problem": "How many?",
                "level": "Level 5",
                "type": "Algebra",
                "solution": r"\boxed{1}, or $\boxed{\frac12}$.",
            },
            {"problem": "Why?", "level": "Level ?", "type": "Geometry", "solution": "It follows."},
        ],
        [("How many?", r"\frac12", "0")],
    ),
    "deepmath": (
        schema("question final_answer topic r1_solution_1 r1_solution_2 r1_solution_3", difficulty=pa.float64()),
        [LONG | {"question": "What is the limit?", "final_answer": "0"}],
        [("What is the limit?", "0", "0")],
    ),
    "big_math": (
        schema("problem answer source", domain=pa.list_(TEXT), llama8b_solve_rate=pa.float64()),
        [
            {"problem": p, "answer": "18", "source": "orca_math", "domain": ["Algebra"], "llama8b_solve_rate": rate}
            for p, rate in (("How many ducks?", 0.5), ("How many geese?", None))
        ],
        [("How many ducks?", "18", "0"), ("How many geese?", "18", "1")],
    ),
    "gsm8k as verl prepares it": (
        schema("data_source ability", prompt=MESSAGES, reward_model=TRUTH, extra_info=VERL_INFO),
        [
            VERL
            | {
                "data_source": "openai/gsm8k",
                "prompt": [{"content": f"How many ducks? {VERL_SUFFIXES[0]}", "role": "user"}],
                "extra_info": {"answer": "#### 72", "index": 3, "question": "How many ducks?", "split": "train"},
            }
        ],
        [("How many ducks?", "72", "3")],
    ),
    "math as verl prepares it": (
        schema("data_source ability", prompt=MESSAGES, reward_model=TRUTH, extra_info=VERL_INFO),
        [
            VERL
            | {
                "data_source": "DigitalLearningGmbH/MATH-lighteval",
                "prompt": [{"content": f"How many ducks? {VERL_SUFFIXES[1]}", "role": "user"}],
                "extra_info": {"answer": None, "index": 4, "question": None, "split": "train"},
            }
        ],
        [("How many ducks?", "72", "4")],
    ),
}


def written(file, tmp_path):
    result = convert(open_source(str(file)), tmp_path / "out.parquet", lambda first, _: MathReader(first))
    assert result.saved and result.bad.count == 0
    assert result.written + result.without_truth.total() == result.read
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert {row["data_source"] for row in rows} == {result.reader.name}
    return result.reader.name, [
        (row["prompt"][0]["content"], row["reward_model"]["ground_truth"], row["extra_info"]["index"]) for row in rows
    ]


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
@pytest.mark.parametrize("name", SETS)
def test_a_set_is_recognised_by_its_columns(tmp_path, name, kind):
    columns, rows, expected = SETS[name]
    file = tmp_path / f"set.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows, schema=columns), file)
    else:
        whole = [{column: row.get(column) for column in columns.names} for row in rows]
        file.write_text("".join(json.dumps(row) + "\n" for row in whole))

    assert written(file, tmp_path) == (
        name.partition(" ")[0],
        [(ask(problem), truth, index) for problem, truth, index in expected],
    )


def test_another_set_in_verls_schema_keeps_its_own_instruction_where_that_asks_for_a_box(tmp_path):
    content = r"How many ducks?" + "\n\nPlease output the final answer within \\boxed{}."
    row = VERL | {"data_source": "math", "prompt": [{"content": content, "role": "user"}], "extra_info": None}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))

    assert written(tmp_path / "a.jsonl", tmp_path) == ("math", [(content, "72", "0")])


def test_one_whose_instruction_is_not_known_is_refused_and_is_not_taken_for_dapo(tmp_path):
    row = VERL | {"data_source": "x", "prompt": [{"content": "How many? Write it as <answer>.", "role": "user"}]}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    result = convert(open_source(f"{tmp_path}/a.jsonl"), tmp_path / "out.parquet", lambda first, _: MathReader(first))

    assert not result.saved
    assert "ends with no instruction that is known" in result.bad.lines()[0] and "--adapter" in result.bad.lines()[0]


@pytest.mark.parametrize(
    ("row", "made"),
    [
        ({"problem": "1+1?", "solution": r"It is \boxed{2}."}, ("math", "2")),
        ({"question": "1+1?", "final_answer": "2"}, ("math", "2")),
        ({"prompt": "1+1?", "solution": "2"}, ("math", "2")),
        ({"prompt": "1+1?", "solution": r"It is \boxed{2}."}, ("math", "2")),
    ],
)
def test_any_other_set_needs_a_problem_and_an_answer_or_a_solution(row, made):
    reader = MathReader(row)

    assert (reader.name, reader.read(row, 0)["reward_model"]["ground_truth"]) == made


def test_a_field_of_a_solution_above_pythons_limit_is_read(tmp_path):
    (tmp_path / "a.csv").write_text(f'problem,solution,answer\n"How many?","{"so " * 100_000}",5\n"Next?",x,nan\n')

    assert written(tmp_path / "a.csv", tmp_path) == ("math", [(f"How many?\n{INSTRUCTION}", "5", "0")])


def test_a_field_beyond_ours_says_so(tmp_path, monkeypatch):
    import csv

    from sinternal_verl.data import csv_rows

    before = csv.field_size_limit(10)
    monkeypatch.setattr(csv_rows, "FIELD_LIMIT", 10)
    (tmp_path / "a.csv").write_text(f"problem,answer\n1+1?,{'2' * 20}\n")
    try:
        with pytest.raises(SourceError, match=r"a\.csv.*field larger than field limit \(10\)"):
            list(open_source(f"{tmp_path}/a.csv").rows())
    finally:
        csv.field_size_limit(before)
