"""Real sets become one schema; each bad row is reported; what is written is whole or not there."""

import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from transformers import AutoTokenizer

from sinternal_verl import __version__
from sinternal_verl.data import math as math_module
from sinternal_verl.data.adapter import Labels
from sinternal_verl.data.convert import convert, rejected_path
from sinternal_verl.data.math import INSTRUCTION, MathReader
from sinternal_verl.data.readers import SourceError, open_source
from sinternal_verl.data.schema import RL_SCHEMA, read_provenance
from sinternal_verl.scoring.boxed_math import score_boxed

REAL = {"math500": "math500.jsonl", "aime2024": "aime2024.jsonl", "dapo": "dapo_aime2024_x32.parquet"}


def convert_file(source, out, labels=None, **options):
    return convert(open_source(str(source)), out, lambda first, _: MathReader(first, labels), **options)


@pytest.fixture(scope="module")
def real(benchmark_sets, tmp_path_factory):
    """Of each file: its path, what it became, and the result."""
    folder = tmp_path_factory.mktemp("real")
    converted = {}
    for name, file in REAL.items():
        source, out = benchmark_sets / file, folder / f"{name}.parquet"
        converted[name] = (source, out, convert_file(source, out))
    return converted


class TestRealFiles:
    @pytest.mark.parametrize(
        ("name", "read", "written", "duplicates"),
        [("math500", 500, 500, 0), ("aime2024", 30, 30, 0), ("dapo", 960, 30, 930)],
    )
    def test_every_row_is_written_or_counted(self, real, name, read, written, duplicates):
        _, out, result = real[name]

        assert (result.read, result.written, result.duplicates, result.bad.count) == (read, written, duplicates, 0)
        assert pq.read_metadata(out).num_rows == written
        assert not rejected_path(out).exists()

    def test_all_have_one_schema_and_can_be_joined(self, real):
        tables = [pq.read_table(out) for _, out, _ in real.values()]

        assert all(table.schema.equals(RL_SCHEMA) for table in tables)
        assert pa.concat_tables(tables).num_rows == 560

    def test_every_gold_answer_of_math500_is_the_box_of_its_own_solution(self, real):
        source, out, _ = real["math500"]
        solutions = {row["unique_id"]: row["solution"] for row in map(json.loads, source.read_text().splitlines())}
        rows = pq.read_table(out).to_pylist()
        scores = [
            score_boxed(solutions[row["extra_info"]["index"]], row["reward_model"]["ground_truth"], thought="none")
            for row in rows
        ]

        assert [score.value for score in scores] == [1.0] * 500

    def test_a_prompt_is_the_problem_and_the_one_instruction(self, real):
        source, out, _ = real["aime2024"]
        problem = json.loads(source.read_text().splitlines()[0])["problem"]
        (message,) = pq.read_table(out)["prompt"][0].as_py()

        assert message == {"role": "user", "content": f"{problem}\n{INSTRUCTION}"}

    def test_nothing_of_dapos_instruction_is_left(self, real):
        source, out, _ = real["dapo"]
        problems = {row["extra_info"]["raw_problem"] for row in pq.read_table(source).to_pylist()}
        contents = [prompt[0]["content"] for prompt in pq.read_table(out)["prompt"].to_pylist()]

        assert {content.removesuffix(f"\n{INSTRUCTION}") for content in contents} == problems

    def test_provenance_says_what_was_read(self, real):
        source, out, _ = real["dapo"]
        provenance = read_provenance(out)

        assert len(provenance.pop("sha256")) == 64
        assert provenance == {
            "source": str(source),
            "adapter": "dapo_math",
            "version": __version__,
            "rows": {"read": 960, "written": 30, "duplicates": 930, "without_truth": {}, "bad": 0},
        }

    def test_verls_own_dataset_loads_them_together(self, real, world, tmp_path, monkeypatch):
        from verl.utils.dataset.rl_dataset import RLHFDataset

        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
        config = OmegaConf.create({"max_prompt_length": 1024, "filter_overlong_prompts": False})
        files = [str(world["train"]), *(str(out) for _, out, _ in real.values())]
        rows = RLHFDataset(files, AutoTokenizer.from_pretrained(world["policy"]), config)

        assert len(rows) == pq.read_metadata(world["train"]).num_rows + 560
        assert rows[-1]["raw_prompt"][0]["content"].endswith(INSTRUCTION)
        assert rows[-1]["data_source"] == "dapo_math"
        assert isinstance(rows[-1]["index"], str)


GOOD = {"problem": "1+1?", "answer": 2}
GOOD_PROMPT = f"1+1?\n{INSTRUCTION}"


def convert_rows(tmp_path, rows, labels=None, **options):
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" if isinstance(row, dict) else row + "\n" for row in rows))
    out = tmp_path / "out.parquet"
    return out, convert_file(source, out, labels, **options)


def written(out):
    return [
        (row["prompt"][0]["content"].split("\n")[0], row["extra_info"]["index"])
        for row in pq.read_table(out).to_pylist()
    ]


class TestBadRows:
    ROWS = [GOOD, '{"problem": ', {"problem": "2+2?"}, {"problem": "1 + 1?\n", "answer": "2"}, {"x": 1}]  # noqa: RUF012
    REASONS = {  # noqa: RUF012
        2: "is no JSON: Expecting value at character 12",
        3: "answer is missing",
        5: "problem is missing or null",
    }

    def test_each_is_named_by_file_row_and_reason(self, tmp_path):
        _, result = convert_rows(tmp_path, self.ROWS)

        assert result.bad.lines() == [f"{tmp_path}/rows.jsonl, line {n}: {why}" for n, why in self.REASONS.items()]

    def test_all_are_in_the_file_of_rejected_rows_and_nothing_else_is_written(self, tmp_path):
        out, result = convert_rows(tmp_path, self.ROWS)
        rejected = [json.loads(line) for line in rejected_path(out).read_text().splitlines()]

        assert not result.saved
        assert rejected == [
            {"row": line - 1, "place": f"line {line}", "reason": reason} for line, reason in self.REASONS.items()
        ]
        assert {file.name for file in tmp_path.iterdir()} == {"rows.jsonl", "out.parquet.rejected.jsonl"}

    def test_skip_bad_writes_the_others(self, tmp_path):
        out, result = convert_rows(tmp_path, self.ROWS, skip_bad=True)

        assert result.saved and (result.read, result.written, result.duplicates, result.bad.count) == (5, 2, 0, 3)
        assert written(out) == [("1+1?", "0"), ("1 + 1?", "3")]
        assert read_provenance(out)["rows"]["bad"] == 3

    def test_beyond_the_first_twenty_they_are_counted(self, tmp_path):
        out, result = convert_rows(tmp_path, [GOOD, *[{"x": 1}] * 30])

        assert len(result.bad.lines()) == 21 and result.bad.lines()[-1] == "and 10 more"
        assert len(rejected_path(out).read_text().splitlines()) == 30

    def test_no_problem_text_is_in_the_reports(self, tmp_path):
        rows = [{"problem": "secret", "answer": a} for a in ("1", "2", None, {"secret": 1}, ["secret"])]
        out, result = convert_rows(tmp_path, rows)

        assert result.bad.count == 3 and result.without_truth == {"empty": 1}
        assert "secret" not in rejected_path(out).read_text() + "".join(result.bad.lines())

    def test_a_later_run_without_bad_rows_removes_the_list(self, tmp_path):
        convert_rows(tmp_path, self.ROWS)
        out, _ = convert_rows(tmp_path, [GOOD])

        assert out.exists() and not rejected_path(out).exists()

    def test_bad_rows_leave_an_earlier_file_as_it_was(self, tmp_path):
        out, _ = convert_rows(tmp_path, [GOOD])
        before = out.read_bytes()
        convert_rows(tmp_path, self.ROWS)

        assert out.read_bytes() == before

    def test_only_bad_rows_write_nothing_even_with_skip_bad(self, tmp_path):
        out, result = convert_rows(tmp_path, ["{", "{"], skip_bad=True)

        assert not result.saved and not out.exists() and result.bad.count == 2


class TestDuplicates:
    def test_white_space_makes_no_other_problem(self, tmp_path):
        out, result = convert_rows(
            tmp_path, [GOOD, {"problem": "1+1?\n\n", "answer": "2"}, {"problem": "1+ 1?", "answer": "2"}]
        )

        assert result.duplicates == 1
        assert written(out) == [("1+1?", "0"), ("1+ 1?", "2")]

    def test_another_ground_truth_is_a_conflict_that_names_the_first_row(self, tmp_path):
        rows = [{"problem": "0?", "answer": 0}, GOOD, GOOD | {"answer": "2"}, GOOD | {"answer": 3}, GOOD]
        out, result = convert_rows(tmp_path, rows, skip_bad=True)

        assert result.bad.lines() == [
            f"{tmp_path}/rows.jsonl, line 4: the prompt of line 2 with another ground truth, '3': one is wrong"
        ]
        assert result.duplicates == 2
        assert written(out) == [("0?", "0"), ("1+1?", "1")]

    @pytest.mark.parametrize(
        "spellings",
        [
            ["1/2", r"\frac12", "0.5", r"$\dfrac{1}{2}$"],
            [r"5\text{ cm}", "5", "5 cm"],
            [r"\text{Even}", "even"],
            ["x=7", "7"],
            [" ".join(["x +"] * 150) + " 1"] * 2,
        ],
        ids=["a half", "a unit", "a word", "a name", "a long one"],
    )
    def test_another_spelling_of_the_ground_truth_is_no_conflict(self, tmp_path, spellings):
        out, result = convert_rows(tmp_path, [GOOD | {"answer": spelling} for spelling in spellings])

        assert (result.duplicates, result.bad.count) == (len(spellings) - 1, 0)
        assert result.saved and pq.read_table(out).num_rows == 1

    @pytest.mark.parametrize(
        ("first", "other"),
        [
            ("(1,2)", "[1,2]"),
            ("5 cm", "5 km"),
            ("x=7", "y=7"),
            ("x + " * 100 + "1", "x + " * 100 + "2"),
            ("1,5", "1.5"),
        ],
    )
    def test_two_answers_that_look_alike_are_one(self, tmp_path, first, other):
        _, result = convert_rows(tmp_path, [GOOD | {"answer": first}, GOOD | {"answer": other}])

        assert result.bad.count == 1 and "with another ground truth" in result.bad.lines()[0]


class TestWithoutTruth:
    ROWS = (
        GOOD,
        *({"problem": f"{n}?", "answer": a} for n, a in enumerate(["proof", "Proof.", None, "N/A", "see solution"])),
    )

    def test_such_rows_are_left_out_counted_by_kind_and_listed(self, tmp_path):
        out, result = convert_rows(tmp_path, self.ROWS)

        assert result.saved and result.written == 1 and result.bad.count == 0
        assert result.without_truth == {"proof": 2, "empty": 1, "n/a": 1, "see solution": 1}
        assert result.read == result.written + result.without_truth.total()
        listed = [json.loads(line) for line in rejected_path(out).read_text().splitlines()]
        assert listed[0] == {"row": 1, "place": "line 2", "reason": "there is no ground truth: proof"}
        assert len(listed) == 5
        assert read_provenance(out)["rows"]["without_truth"] == dict(result.without_truth)

    def test_a_file_of_nothing_else_is_not_written(self, tmp_path):
        out, result = convert_rows(tmp_path, self.ROWS[1:])

        assert not result.saved and not out.exists()

    def test_they_are_no_duplicates_and_contradict_nothing(self, tmp_path):
        _, result = convert_rows(tmp_path, [GOOD, GOOD | {"answer": "notfound"}, GOOD])

        assert (result.written, result.duplicates, result.bad.count, result.without_truth) == (
            1,
            1,
            0,
            {"not found": 1},
        )


class TestLabels:
    def test_are_the_users_where_given(self, tmp_path):
        labels = Labels(name="mine", split="dev", index="answer")
        out, _ = convert_rows(tmp_path, [GOOD], labels)
        (row,) = pq.read_table(out).to_pylist()

        assert row["data_source"] == "mine"
        assert row["extra_info"] == {"index": "2", "split": "dev", "question": GOOD_PROMPT}

    def test_else_the_set_and_the_row_number(self, tmp_path):
        out, _ = convert_rows(tmp_path, [GOOD])
        (row,) = pq.read_table(out).to_pylist()

        assert row["data_source"] == "math"
        assert row["extra_info"] == {"index": "0", "split": "train", "question": GOOD_PROMPT}


def test_an_interruption_leaves_no_file(tmp_path, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(math_module, "rl_row", interrupt)
    with pytest.raises(KeyboardInterrupt):
        convert_rows(tmp_path, ["{", GOOD], skip_bad=True)

    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]


def test_unknown_columns_are_an_error_that_names_file_and_row(tmp_path):
    with pytest.raises(SourceError, match=r"rows\.jsonl, line 1: the columns are x; wanted"):
        convert_rows(tmp_path, [{"x": 1}])


def test_a_file_without_rows_is_an_error(tmp_path):
    with pytest.raises(SourceError, match=r"rows\.jsonl holds no rows"):
        convert_rows(tmp_path, [])

    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]


def test_csv_becomes_the_same_as_parquet(tmp_path):
    rows = [{"problem": 'a "line"\nand, another', "answer": "1"}, {"problem": "b", "answer": "033"}]
    (tmp_path / "a.csv").write_text('problem,answer\n"a ""line""\nand, another",1\nb,033\n')
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    for kind in ("csv", "parquet"):
        convert_file(tmp_path / f"a.{kind}", tmp_path / f"{kind}.out.parquet")
    first, second = (pq.read_table(tmp_path / f"{kind}.out.parquet") for kind in ("csv", "parquet"))

    assert first == second
    assert [extra["index"] for extra in second["extra_info"].to_pylist()] == ["0", "1"]
