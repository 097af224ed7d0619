"""`data check` accepts what the scorers can use, and names every row they cannot."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sinternal_verl.data.readers import SourceError
from sinternal_verl.data.schema import RL_SCHEMA, rl_row
from sinternal_verl.doctor.rows import CheckError, check_file, load_router
from sinternal_verl.scoring.registry import Router, ScorerError

ANY = Router.from_config({"boxed_math": {"sources": ["*"]}})
ROW = rl_row(data_source="math", content="1+1?", ground_truth="2", index="0", split="train")


def check(tmp_path, rows, router=ANY, schema=RL_SCHEMA):
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), file)
    return check_file(str(file), router)


def prompt(*messages):
    return {"prompt": [{"role": role, "content": content} for role, content in messages]}


@pytest.mark.parametrize(
    "change",
    [
        {},
        prompt(("system", "Be brief."), ("user", "1+1?")),
        prompt(("user", "1+1?"), ("assistant", "2"), ("user", "2+2?")),
        {"data_source": "anything/else"},
        {"reward_model": {"style": None, "ground_truth": r"\frac{1}{2}"}},
    ],
)
def test_a_fit_row_passes(tmp_path, change):
    checked = check(tmp_path, [ROW | change])

    assert checked.problems.lines() == [] and checked.warnings.lines() == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"reward_model": {"style": "rule", "ground_truth": None}}, "the ground truth must be a string, not None"),
        ({"reward_model": None}, "the ground truth must be a string, not None"),
        ({"reward_model": {"style": "rule", "ground_truth": " "}}, "the ground truth is empty"),
        ({"reward_model": {"style": "rule", "ground_truth": "1" * 1001}}, "longer than 1000 characters"),
        (
            {"reward_model": {"style": "rule", "ground_truth": "\frac12"}},
            r"holds a form feed at character 1, where \frac",
        ),
        ({"data_source": None}, "its data source is null"),
        ({"prompt": None}, "the prompt holds no message"),
        (prompt(), "the prompt holds no message"),
        (prompt(("system", "Be brief.")), "the prompt has no user message"),
        (prompt(("user", "1+1?"), ("human", "1+1?")), "message 1 of the prompt has the role 'human'"),
        (prompt((None, "1+1?")), "message 0 of the prompt has the role None"),
        (prompt(("user", " ")), "message 0 of the prompt is empty"),
        (prompt(("user", None)), "message 0 of the prompt has a content that is no string"),
        ({"prompt": [None]}, "message 0 of the prompt has the role None"),
    ],
)
def test_an_unfit_row_is_named_by_file_row_and_reason(tmp_path, change, reason):
    checked = check(tmp_path, [ROW, ROW | {"extra_info": {"index": "1", "split": None}} | change])
    (line,) = checked.problems.lines()

    assert line.startswith(f"{tmp_path}/rows.parquet, row 1 (from 0): ")
    assert reason in line


@pytest.mark.parametrize("truth", ["proof", "notfound", "nan", "None", "N/A"])
def test_a_ground_truth_that_says_there_is_none_is_a_warning(tmp_path, truth):
    checked = check(tmp_path, [ROW | {"reward_model": {"style": "rule", "ground_truth": truth}}])

    assert checked.problems.count == 0
    assert f"row 0 (from 0): the ground truth '{truth}' says that there is none" in checked.warnings.lines()[0]


def test_safety_prompts_that_no_guard_judges_are_a_problem(tmp_path):
    checked = check(tmp_path, [ROW | {"data_source": "safety/benign/x"}])

    assert "safety prompts need a guard" in checked.problems.lines()[0]


def test_rows_are_counted_by_source_with_their_scorer(tmp_path):
    rows = [ROW | {"data_source": source, "extra_info": {"index": str(i)}} for i, source in enumerate("aab")]
    checked = check(tmp_path, rows)

    assert checked.rows == {"a": 2, "b": 1}
    assert {source: bound.key for source, bound in checked.scorers.items()} == {"a": "boxed_math", "b": "boxed_math"}


def test_a_source_without_scorer_is_one_problem_that_names_the_known_ones(tmp_path):
    router = Router.from_config({"boxed_math": {"sources": ["math", "aime*"]}})
    rows = [ROW | {"data_source": source, "extra_info": {"index": str(i)}} for i, source in enumerate(["math", *"gg"])]
    (line,) = check(tmp_path, rows, router).problems.lines()

    assert "row 1 (from 0): no scorer takes the data source 'g' of this and 1 more rows; they take math, aime*" in line


class TestIndex:
    def test_twice_with_another_prompt_is_a_warning(self, tmp_path):
        checked = check(tmp_path, [ROW, ROW | prompt(("user", "2+2?"))])

        assert checked.problems.count == 0
        assert "row 1 (from 0): has index '0' of row 0" in checked.warnings.lines()[0]

    def test_twice_with_the_same_prompt_is_a_problem(self, tmp_path):
        checked = check(tmp_path, [ROW, ROW])

        assert checked.warnings.count == 0
        assert "has index and prompt of row 0" in checked.problems.lines()[0]

    def test_the_same_in_another_source_is_neither(self, tmp_path):
        checked = check(tmp_path, [ROW, ROW | {"data_source": "other"}])

        assert (checked.problems.count, checked.warnings.count) == (0, 0)

    def test_a_number_is_a_warning(self, tmp_path):
        checked = check(tmp_path, [ROW | {"extra_info": {"index": 7}}], schema=None)

        assert checked.problems.count == 0
        assert "extra_info.index holds int64" in checked.warnings.lines()[0]

    def test_a_file_without_one_is_a_warning(self, tmp_path):
        checked = check(tmp_path, [{key: value for key, value in ROW.items() if key != "extra_info"}], schema=None)

        assert checked.problems.count == 0
        assert "there is no extra_info.index" in checked.warnings.lines()[0]


class TestColumns:
    def test_all_that_are_missing_or_of_another_type_are_named(self, tmp_path):
        (row := dict(ROW)).pop("data_source")
        rows = [row | {"prompt": "1+1?", "reward_model": {"style": "rule", "ground_truth": 2.0}}]
        lines = check(tmp_path, rows, schema=None).problems.lines()

        assert len(lines) == 3
        assert all(line.startswith(f"{tmp_path}/rows.parquet: ") for line in lines)
        assert "prompt: this column holds string; it must hold a list of {role: string, content: string}" in lines[0]
        assert "data_source: this column is missing; add the column; the file has 'prompt', 'ability'" in lines[1]
        assert "reward_model.ground_truth: this column holds double; it must hold a string" in lines[2]

    @pytest.mark.parametrize(
        ("name", "reason"),
        [("none.parquet", "does not exist"), ("a.csv", "does not read"), ("s3://x.parquet", "a URL is not read here")],
    )
    def test_what_is_no_parquet_file_is_named(self, name, reason):
        (line,) = check_file(name, ANY).problems.lines()

        assert line.startswith(f"{name}: ") and reason in line

    def test_other_names_of_the_columns_are_those_of_the_configuration(self, tmp_path):
        row = {"messages": ROW["prompt"], "source": "math"} | {k: ROW[k] for k in ("reward_model", "extra_info")}
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "rows.parquet")
        checked = check_file(str(tmp_path / "rows.parquet"), ANY, "messages", "source")

        assert checked.problems.lines() == [] and checked.rows == {"math": 1}

    def test_a_file_that_breaks_off_is_an_error(self, tmp_path):
        check(tmp_path, [ROW])
        file = tmp_path / "rows.parquet"
        content = bytearray(file.read_bytes())
        content[4:60] = bytes(56)
        file.write_bytes(content)

        with pytest.raises(SourceError, match=r"rows\.parquet cannot be read from its beginning"):
            check_file(str(file), ANY)

    def test_dapos_own_file_repeats_its_rows(self, benchmark_sets):
        checked = check_file(str(benchmark_sets / "dapo_aime2024_x32.parquet"), ANY)

        assert checked.problems.count == 930 and checked.rows == {"math_dapo": 960}


class TestRouter:
    """The configuration's own scorers are asked, as in a run."""

    def test_without_overrides_it_is_the_grpo_recipes(self):
        router, keys = load_router([])

        assert router.find("math500").key == "boxed_math"
        assert keys == ("prompt", "data_source")

    def test_overrides_are_a_runs(self):
        router, keys = load_router(
            ["+recipe=sinternal_grpo_cpu", "sinternal.scorers.boxed_math.sources=[math]", "data.prompt_key=messages"]
        )

        assert router.find("gsm8k") is None
        assert keys == ("messages", "data_source")

    def test_of_another_hardware_or_guard_the_recipe_is_still_the_default(self):
        assert set(load_router(["hardware=8gpu_14b"])[0].sources) == {"*", "verification/*", "safety/*"}
        assert set(load_router(["guard=none"])[0].sources) == {"*", "verification/*"}

    @pytest.mark.parametrize(
        ("overrides", "error", "message"),
        [
            (["+recipe=sinternal_sft"], CheckError, "SFT main, which scores nothing"),
            (["sinternal.scorers=null"], CheckError, "sinternal.scorers is not set"),
            (["sinternal.scorers.boxed_math.mode=x"], ScorerError, "literal"),
        ],
    )
    def test_what_scores_nothing_is_refused(self, overrides, error, message):
        with pytest.raises(error, match=message):
            load_router(overrides)
