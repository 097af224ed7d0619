"""The check of the types of several files says what verl's own dataset says when it joins them."""

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from transformers import AutoTokenizer

from sinternal_verl.doctor.data import check_data
from sinternal_verl.doctor.rows import check_file
from sinternal_verl.scoring.registry import Router

TEXT = pa.string()


def messages(*names, of=pa.list_):
    return of(pa.struct([(name, TEXT) for name in names]))


def struct(**kinds):
    return pa.struct(list(kinds.items()))


BASE = {
    "data_source": TEXT,
    "prompt": messages("role", "content"),
    "ability": TEXT,
    "reward_model": struct(style=TEXT, ground_truth=TEXT),
    "extra_info": struct(index=TEXT, split=TEXT),
}
# Change of a column's type -> the field that the two files cannot agree on; None where verl joins them.
CASES = {
    "the same": ({}, None),
    "an integer index": ({"extra_info": struct(index=pa.int64(), split=TEXT)}, "extra_info.index"),
    "a shorter integer index": ({"extra_info": struct(index=pa.int32())}, "extra_info.index"),
    "a large string in a struct": ({"extra_info": struct(index=pa.large_string())}, "extra_info.index"),
    "another ability": ({"ability": pa.int64()}, "ability"),
    "a large string": ({"ability": pa.large_string()}, "ability"),
    "a list of abilities": ({"ability": pa.list_(TEXT)}, "ability"),
    "extra_info as JSON text": ({"extra_info": TEXT}, "extra_info"),
    "messages of another order": ({"prompt": messages("content", "role")}, None),
    "messages with a name": ({"prompt": messages("role", "content", "name")}, "prompt"),
    "a large list": ({"prompt": messages("role", "content", of=pa.large_list)}, "prompt"),
    "a struct of another order": ({"extra_info": struct(split=TEXT, index=TEXT)}, None),
    "more fields": ({"extra_info": struct(index=TEXT, split=TEXT, question=TEXT)}, None),
    "fewer fields": ({"extra_info": struct(index=TEXT)}, None),
    "nulls alone": ({"ability": pa.null()}, None),
    "nulls alone in a struct": ({"extra_info": struct(index=pa.null(), split=TEXT)}, None),
    "another column": ({"level": pa.int64()}, None),
    "no extra_info": ({"extra_info": None}, None),
}


def value(kind):
    """Some value of a type."""
    if pa.types.is_struct(kind):
        return {field.name: value(field.type) for field in kind}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [value(kind.value_type)]
    return None if pa.types.is_null(kind) else 1 if pa.types.is_integer(kind) else "user"


def write(file, rows=1, **changes):
    kinds = {name: kind for name, kind in (BASE | changes).items() if kind is not None}
    row = {name: value(kind) for name, kind in kinds.items()}
    pq.write_table(pa.Table.from_pylist([row] * rows, schema=pa.schema(list(kinds.items()))), file)
    return str(file)


def check(*files):
    """The columns and reasons of the problems of these training files."""
    config = {"data": {"train_files": list(files), "train_batch_size": 1}, "actor_rollout_ref": {}, "algorithm": {}}
    return [(problem.value, problem.reason) for problem in check_data(OmegaConf.create(config))]


@pytest.mark.parametrize("name", CASES)
def test_it_says_what_verls_own_dataset_says(tmp_path, monkeypatch, world, name):
    from verl.utils.dataset.rl_dataset import RLHFDataset

    changes, wrong = CASES[name]
    files = [write(tmp_path / "a.parquet"), write(tmp_path / "b.parquet", **changes)]
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    config = OmegaConf.create({"max_prompt_length": 1024, "filter_overlong_prompts": False})
    tokenizer = AutoTokenizer.from_pretrained(world["policy"])

    joined = [(column, reason) for column, reason in check(*files) if "cannot join" in reason]
    assert [column for column, _ in joined] == ([wrong] if wrong else [])
    if wrong:
        assert f"in {files[0]}: verl cannot join the two" in joined[0][1]
        with pytest.raises(ValueError, match="features can't be aligned"):
            RLHFDataset(files, tokenizer, config)
    else:
        assert check(*files) == []
        rows = RLHFDataset(files, tokenizer, config)
        assert [row["raw_prompt"][0]["content"] for row in (rows[0], rows[1])] == ["user", "user"]


def test_a_file_without_rows_is_passed_over_as_verl_does(tmp_path):
    assert check(write(tmp_path / "a.parquet"), write(tmp_path / "b.parquet", rows=0, ability=pa.int64())) == []


def test_two_later_files_that_differ_are_found_too(tmp_path):
    kinds = [None, TEXT, pa.int64()]
    files = [write(tmp_path / f"{number}.parquet", ability=kind) for number, kind in enumerate(kinds)]

    assert [column for column, _ in check(*files)] == ["ability"]
    assert files[1] in check(*files)[0][1]


def test_extra_info_as_text_is_a_problem_of_one_file_alone(tmp_path):
    """verl asks it for its index at the first batch, and a string has no such method."""
    file = write(tmp_path / "a.parquet", extra_info=TEXT)
    checked = check_file(file, Router.from_config({"boxed_math": {"sources": ["*"]}}))

    assert check(file) == [("extra_info", "this column holds string")]
    (line,) = checked.problems.lines()
    assert line == (
        f"{file}: extra_info: this column holds string; it must hold a struct, or not be there; "
        "write its fields, not their JSON as text"
    )


def test_reward_model_as_text_is_named_as_text(tmp_path):
    file = write(tmp_path / "a.parquet", reward_model=TEXT)
    (line,) = check_file(file, Router.from_config({"boxed_math": {"sources": ["*"]}})).problems.lines()

    assert line == (
        f"{file}: reward_model: this column holds string; it must hold a struct with ground_truth; "
        "write its fields, not their JSON as text"
    )


def test_a_field_that_is_nearly_right_is_offered_by_its_whole_name(tmp_path):
    file = write(tmp_path / "train.parquet", reward_modle=pa.struct([("ground_truth", TEXT)]), reward_model=None)
    router = Router.from_config({"boxed_math": {"sources": ["*"]}})

    assert "the file has 'reward_modle.ground_truth': rename it" in check_file(file, router).problems.lines()[0]


def test_a_column_that_is_there_twice_is_a_problem(tmp_path):
    table = pq.read_table(write(tmp_path / "train.parquet"))
    pq.write_table(table.append_column("data_source", table["data_source"]), tmp_path / "train.parquet")
    router = Router.from_config({"boxed_math": {"sources": ["*"]}})

    (line,) = check_file(f"{tmp_path}/train.parquet", router).problems.lines()
    assert "it has the column 'data_source' twice; rename or drop one" in line


def test_names_that_are_nearly_right_are_offered_and_a_files_name_stands_once(tmp_path):
    file = write(tmp_path / "train.parquet", data_sorce=TEXT, data_source=None)
    router = Router.from_config({"boxed_math": {"sources": ["*"]}})

    assert check_file(file, router).problems.lines()[0].endswith("missing; the file has 'data_sorce': rename it")
    (line,) = check_file(f"{tmp_path}/trian.parquet", router).problems.lines()
    assert line.count("trian.parquet") == 1 and line.endswith(f"; did you mean {file}?")


@pytest.mark.parametrize("column", ["extra_info", "reward_model"])
def test_a_column_of_nulls_before_one_of_structs_is_a_problem_and_not_behind_it(tmp_path, monkeypatch, world, column):
    from verl.utils.dataset.rl_dataset import RLHFDataset

    files = [write(tmp_path / "nulls.parquet", **{column: pa.null()}), write(tmp_path / "structs.parquet")]
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    config = OmegaConf.create({"max_prompt_length": 1024, "filter_overlong_prompts": False})
    tokenizer = AutoTokenizer.from_pretrained(world["policy"])

    assert [name for name, reason in check(*files) if "cannot join" in reason] == [column]
    with pytest.raises((AttributeError, ValueError)):
        RLHFDataset(files, tokenizer, config)
    assert not [reason for _, reason in check(*files[::-1]) if "cannot join" in reason]
    assert len(RLHFDataset(files[::-1], tokenizer, config)) == 2


NESTED = {
    "a list": pa.list_(TEXT),
    "a list of structs": pa.list_(struct(ground_truth=TEXT, index=TEXT, role=TEXT, content=TEXT)),
    "a struct of a struct": struct(a=struct(ground_truth=TEXT), ground_truth=struct(a=TEXT), index=struct(a=TEXT)),
    "a struct of lists": struct(ground_truth=pa.list_(TEXT), index=pa.list_(TEXT), role=pa.list_(TEXT)),
    "a map": pa.map_(TEXT, TEXT),
    "nulls": pa.null(),
    "bytes": pa.binary(),
    "numbers": pa.float64(),
    "a category": pa.dictionary(pa.int32(), TEXT),
}


@pytest.mark.parametrize("kind", NESTED)
@pytest.mark.parametrize("column", ["prompt", "data_source", "reward_model", "extra_info"])
def test_a_column_of_any_type_is_named_and_no_error(tmp_path, column, kind):
    good = write(tmp_path / "good.parquet")
    schema = pa.schema(list((BASE | {column: NESTED[kind]}).items()))
    row = {name: value(field) for name, field in BASE.items() if name != column}
    file = str(tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_pylist([row], schema=schema), file)
    checked = check_file(file, Router.from_config({"boxed_math": {"sources": ["*"]}}))

    lines = [*checked.problems.lines(), *checked.warnings.lines()]
    assert lines and all(line.startswith(file) for line in lines)
    for files in ((good, file), (file, good)):
        found = check(*files)
        assert column == "extra_info" or any(name.startswith(column) for name, _ in found)


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), struct(a=TEXT)])
def test_an_index_that_is_neither_a_string_nor_a_number_is_a_problem(tmp_path, kind):
    file = write(tmp_path / "a.parquet", extra_info=struct(index=kind))
    (line,) = check_file(file, Router.from_config({"boxed_math": {"sources": ["*"]}})).problems.lines()

    assert line.startswith(f"{file}: extra_info.index holds {str(kind)[:4]}")
    assert line.endswith("; it must hold a string, or an integer")


def test_a_column_with_a_dot_in_its_name_is_no_field(tmp_path):
    router = Router.from_config({"boxed_math": {"sources": ["*"]}})
    alone = write(tmp_path / "a.parquet", reward_model=None, **{"reward_model.ground_truth": TEXT})
    (line,) = check_file(alone, router).problems.lines()
    beside = write(tmp_path / "b.parquet", **{"reward_model.ground_truth": pa.null(), "extra_info.index": pa.null()})

    assert line == (
        f"{alone}: reward_model.ground_truth: this column has a dot in its name, and is no field of a struct; "
        "write a struct reward_model with the field ground_truth"
    )
    assert check_file(beside, router).problems.lines() == []


def test_prompts_as_json_text_are_named_with_what_to_write(tmp_path):
    file = write(tmp_path / "a.parquet", prompt=TEXT)
    (line,) = check_file(file, Router.from_config({"boxed_math": {"sources": ["*"]}})).problems.lines()

    assert "such as [{'role': 'user', 'content': TEXT}], and no JSON as text" in line
