"""Can the data files be read, do they have the right schema, and do they have enough rows for a batch?"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import DictConfig, ListConfig

from sinternal_verl.config import get, is_ppo
from sinternal_verl.data.adapter import misnamed
from sinternal_verl.data.contents import what_is_wrong
from sinternal_verl.data.readers import repeated
from sinternal_verl.data.rendering import BUILT_COLUMNS, is_built
from sinternal_verl.data.schema import RL_SCHEMA
from sinternal_verl.did_you_mean import did_you_mean_file
from sinternal_verl.doctor.imports import check_importable
from sinternal_verl.doctor.problem import Problem

MESSAGES = "a list of {role: string, content: string}"
STRING = "a string"
STRUCT = "a struct, or not be there"
OWN_DATASETS = "pkg://sinternal_verl."
GROUND_TRUTH = "reward_model.ground_truth"
EXTRA = "extra_info"


@dataclass(frozen=True)
class DataFile:
    """A parquet file that can be read."""

    path: str
    schema: pa.Schema
    rows: int


def check_data(config: DictConfig) -> Iterator[Problem]:
    """Check the dataset class and the training and validation files of either main; URLs are left to verl."""
    dataset = get(config, "data.custom_cls.path")
    if dataset:
        key = "data.custom_cls"
        yield from check_importable(f"{key}.path", dataset, f"{key}.name", get(config, f"{key}.name", "null"))
    columns = _required_columns(config)
    for key in ("data.train_files", "data.val_files"):
        value = get(config, key)
        paths = [str(path) for path in (value if isinstance(value, list | ListConfig) else [value] if value else [])]
        files, problems = open_files(key, paths, is_ppo(config))
        yield from problems
        if is_ppo(config) and not dataset:
            yield from _patterns(key, [file.path for file in files])
        for file in files:
            for column, wanted in columns.items():
                yield from _column(file, column, wanted)
        if is_ppo(config) and (not dataset or dataset.startswith(OWN_DATASETS)):
            yield from _check_joined(files)
        if key == "data.train_files" and files and len(files) == len(paths):
            yield from _enough(config, sum(file.rows for file in files))
            if not dataset or dataset.startswith(OWN_DATASETS):  # another dataset may make many samples of a row
                yield from _reached(config, sum(file.rows for file in files))


def _patterns(key: str, paths: list[str]) -> Iterator[Problem]:
    """Files that are there, and that verl's RL dataset does not find: it reads them with datasets, whose paths are
    patterns. (datasets 4)"""
    for path in paths:
        if re.search(r"\[|::", path):
            reason = "verl reads it with datasets, to which [ and :: in a path have a meaning"
            yield Problem(key, path, reason, "rename the file or its folder")


def _required_columns(config: DictConfig) -> dict[str, str]:
    """Column (a struct's field with a dot) -> what it must hold."""
    dataset = get(config, "data.custom_cls.path")
    if dataset == "pkg://sinternal_verl.data.sft":
        return {"prompt": MESSAGES, "completion": STRING}
    if dataset == "pkg://sinternal_verl.data.dataset" and not is_ppo(config):
        return {name: MESSAGES if name == "prompt" else STRING for name in BUILT_COLUMNS}
    if dataset is not None:
        return {}
    if is_ppo(config):
        return rl_columns(*rl_keys(config))
    return {get(config, "data.messages_key", "messages"): MESSAGES}


def rl_keys(config: DictConfig) -> tuple[str, str]:
    """The columns in which verl's RL main looks for the prompt and for the data source."""
    return get(config, "data.prompt_key", "prompt"), get(config, "data.reward_fn_key", "data_source")


def rl_columns(prompt: str, source: str) -> dict[str, str]:
    """The columns that verl's RL dataset and the scorers read, and what each must hold."""
    return {prompt: MESSAGES, source: STRING, GROUND_TRUTH: STRING, EXTRA: STRUCT}


def open_files(key: str, paths: list[str], json_too: bool) -> tuple[list[DataFile], list[Problem]]:
    """The parquet files, and what is wrong with the other files. For JSON only the existence is checked, because
    its columns show only when verl reads it."""
    files, problems = [], []
    endings = (".parquet", ".json", ".jsonl") if json_too else (".parquet",)
    for path in paths:
        if "://" in path:
            continue
        if not path.endswith(endings):
            step = f"give a file that ends in {' or '.join(endings)}"
            problems.append(Problem(key, path, "verl does not read this kind of file", step))
            continue
        if not path.endswith(".parquet") and Path(path).expanduser().is_file():
            continue
        try:
            parquet = pq.ParquetFile(Path(path).expanduser())
            if twice := repeated(parquet.schema_arrow.names):
                problems.append(Problem(key, path, f"it has the column {twice} twice", "rename or drop one"))
                continue
            files.append(DataFile(path, parquet.schema_arrow, parquet.metadata.num_rows))
        except FileNotFoundError:
            step = f"give an absolute path{did_you_mean_file(path)}"
            problems.append(Problem(key, path, "this file does not exist", step))
        except (pa.ArrowException, OSError) as error:
            what, _, step = (what_is_wrong(Path(path).expanduser(), ".parquet") or "").partition("; ")
            what = what or f"cannot be read: {getattr(error, 'strerror', None) or error}"
            step = step or "write the file again: it is no complete parquet file"
            problems.append(Problem(key, path, what, step))
    return files, problems


def _column(file: DataFile, column: str, wanted: str) -> Iterator[Problem]:
    problem = check_type(file, column, wanted)
    if problem:
        yield problem
    elif wanted == STRING and (empty := _first_null(file, column)) is not None:
        yield Problem(file.path, column, f"row {empty} holds no value", "every row needs one: fill it or drop the row")


def check_type(file: DataFile, column: str, wanted: str) -> Problem | None:
    """The problem of a column, or of a struct's field by its dotted name: it is missing, or does not hold ``wanted``
    (`MESSAGES`, `STRING` or `STRUCT`). None where there is no problem."""
    kind = type_of(file.schema, column)
    if kind is None and wanted == STRUCT:
        return None
    head = column.partition(".")[0]
    if kind is None and head != column and (holder := type_of(file.schema, head)) and not pa.types.is_struct(holder):
        step = f"it must hold a struct with {column.removeprefix(f'{head}.')}{_NOT_TEXT if _is_string(holder) else ''}"
        return Problem(file.path, head, f"this column holds {holder}", step)
    if kind is None and head != column and column in file.schema.names:
        step = f"write a struct {head} with the field {column.removeprefix(f'{head}.')}"
        return Problem(file.path, column, "this column has a dot in its name, and is no field of a struct", step)
    if kind is None:
        step = f"add the column; the file has {', '.join(map(repr, file.schema.names))}"
        near = misnamed(column, _names(file.schema))
        return Problem(file.path, column, "this column is missing", near or step)
    if not _CHECKS[wanted](kind):
        as_text = {STRUCT: _NOT_TEXT, MESSAGES: _NO_MESSAGES}.get(wanted, "") if _is_string(kind) else ""
        return Problem(file.path, column, f"this column holds {kind}", f"it must hold {wanted}{as_text}")
    return None


def type_of(schema: pa.Schema, column: str) -> pa.DataType | None:
    """The type of a column, or of a struct's field by its dotted name; None when it is not there."""
    head, _, field = column.partition(".")
    if head not in schema.names:
        return None
    kind = schema.field(head).type
    if not field:
        return kind
    return kind.field(field).type if pa.types.is_struct(kind) and kind.get_field_index(field) >= 0 else None


def _names(schema: pa.Schema) -> Iterator[str]:
    """The names of the columns, and of the fields of those that are structs."""
    for column in schema:
        yield column.name
        if pa.types.is_struct(column.type):
            yield from (f"{column.name}.{field.name}" for field in column.type)


def _is_string(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_messages(kind: pa.DataType) -> bool:
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)) or not pa.types.is_struct(kind.value_type):
        return False
    return {"role", "content"} <= {kind.value_type.field(i).name for i in range(kind.value_type.num_fields)}


def _is_struct(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) or pa.types.is_null(kind)


_CHECKS = {MESSAGES: _is_messages, STRING: _is_string, STRUCT: _is_struct}
_NOT_TEXT = "; write its fields, not their JSON as text"
_NO_MESSAGES = "; write each as a list of messages, such as [{'role': 'user', 'content': TEXT}], and no JSON as text"


def _first_null(file: DataFile, column: str) -> int | None:
    """Index of a column's first null. Rows are read only where the file's footer does not rule a null out."""
    parquet, start = pq.ParquetFile(Path(file.path).expanduser()), 0
    for group in range(parquet.num_row_groups):
        metadata = parquet.metadata.row_group(group)
        leaf = next(
            metadata.column(i) for i in range(metadata.num_columns) if metadata.column(i).path_in_schema == column
        )
        if leaf.statistics is None or not leaf.statistics.has_null_count or leaf.statistics.null_count:
            values = parquet.read_row_group(group, columns=[column]).flatten().column(0).to_pylist()
            if None in values:
                return start + values.index(None)
        start += metadata.num_rows
    return None


def _check_joined(files: list[DataFile]) -> Iterator[Problem]:
    """verl's RL dataset joins all files, by `datasets.concatenate_datasets`; a file without rows is passed over.

    The same function joins one row of nulls of each file here, because its rule is of many parts: the order of a
    struct's fields and a column of nulls alone do not matter, a large string and a string are two types.
    """
    schemas = [(file, _read_schema(file)) for file in files if file.rows]
    for number, (file, schema) in enumerate(schemas):
        for column in schema.names:
            there = ((first, other.field(column)) for first, other in schemas[:number] if column in other.names)
            wrong = next(((first, field) for first, field in there if not _join(field, schema.field(column))), None)
            if wrong:
                first, field = wrong
                name, kind, other = _difference(column, schema.field(column).type, field.type)
                reason = f"this column holds {kind}, but {other} in {first.path}: verl cannot join the two"
                yield Problem(file.path, name, reason, "write both files with one schema")


def _read_schema(file: DataFile) -> pa.Schema:
    """What verl reads of a file. `VerificationRLDataset` renders a verification build's rows first."""
    return RL_SCHEMA if is_built(file.schema.names) else file.schema


def _join(*fields: pa.Field) -> bool:
    from datasets import Dataset, concatenate_datasets

    try:
        concatenate_datasets([Dataset(pa.Table.from_pylist([{}], schema=pa.schema([field]))) for field in fields])
    # An AttributeError comes of a struct where another file has nulls only. verl meets the same errors.
    except (ValueError, TypeError, AttributeError, KeyError, pa.ArrowException):
        return False
    return True


def _difference(name: str, kind: pa.DataType, other: pa.DataType) -> tuple[str, pa.DataType, pa.DataType]:
    """The first field in which two types differ, by its dotted name, and its types; the whole where it is no struct."""
    if pa.types.is_struct(kind) and pa.types.is_struct(other):
        for field in kind:
            if other.get_field_index(field.name) >= 0 and not _join(field, other.field(field.name)):
                return _difference(f"{name}.{field.name}", field.type, other.field(field.name).type)
    return name, kind, other


def _enough(config: DictConfig, rows: int) -> Iterator[Problem]:
    rows, batch = _taken(config, rows), get(config, "data.train_batch_size")
    if batch and rows < batch:
        reason = f"the training files hold {rows} rows, less than one batch: verl would make no step"
        yield Problem(
            "data.train_batch_size", batch, reason, f"set data.train_batch_size to at most {rows}, or add rows"
        )


def _reached(config: DictConfig, rows: int) -> Iterator[Problem]:
    """Check that the run reaches ``total_training_steps``. verl saves its last checkpoint only there, and ends
    without a message where its rows run out before."""
    key, wanted = "trainer.total_training_steps", get(config, "trainer.total_training_steps")
    rows, batch, epochs = (
        _taken(config, rows),
        get(config, "data.train_batch_size"),
        get(config, "trainer.total_epochs"),
    )
    if not (wanted and batch and epochs) or rows < batch:
        return
    in_epoch = rows // batch
    if in_epoch * epochs < wanted:
        reason = (
            f"{rows} rows are {in_epoch} steps of {batch} an epoch, and trainer.total_epochs={epochs} ends after step "
            f"{in_epoch * epochs}: verl would save no checkpoint there, and the learning rate would not reach its end"
        )
        step = f"trainer.total_epochs={math.ceil(wanted / in_epoch)}, or {key}={in_epoch * epochs}"
        yield Problem(key, wanted, reason, step)


def _taken(config: DictConfig, rows: int) -> int:
    limit = get(config, "data.train_max_samples", -1)
    return min(rows, limit) if limit > 0 else rows
