"""Rows are counted in tokens, and steps against the epochs, before a model loads."""

import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sinternal_verl.doctor import lengths
from sinternal_verl.doctor.checks import find_problems
from sinternal_verl.doctor.lengths import check_row_lengths
from sinternal_verl.doctor.problem import Note, Problem

WORDS = "9 " * 20
ROWS = [{"prompt": [{"role": "user", "content": "1+1?"}], "completion": f"</think>{WORDS * n}"} for n in (1, 5, 1, 3)]


@pytest.fixture
def config(sft_config, tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    file = f"data.train_files={tmp_path / 'rows.parquet'}"
    return lambda *overrides: sft_config(file, "data.train_batch_size=2", *overrides)


def test_rows_that_are_too_long_are_named_with_their_tokens(config):
    (problem,) = check_row_lengths(config("data.max_length=100"))

    assert isinstance(problem, Problem) and problem.value == 100
    assert "2 rows are too long" in problem.reason
    assert "row 1: " in problem.reason and "row 3: " in problem.reason and "row 0" not in problem.reason
    assert "data.truncation=right" in problem.next_step


def test_the_count_is_the_datasets_own(config, world):
    """At the length that the problem names for the longest row, nothing is too long; one less, and it is."""
    (problem,) = check_row_lengths(config("data.max_length=40"))
    longest = int(problem.reason.partition("row 1: ")[2].split()[0])

    assert list(check_row_lengths(config(f"data.max_length={longest}"))) == []
    assert len(list(check_row_lengths(config(f"data.max_length={longest - 1}")))) == 1


def test_rows_that_are_cut_are_warned_of(config):
    (note,) = check_row_lengths(config("data.max_length=100", "data.truncation=right"))

    assert isinstance(note, Note) and note.reason.startswith("2 rows")


def test_a_large_file_is_looked_at_for_so_long_and_its_longest_rows_first(config, monkeypatch):
    monkeypatch.setattr(lengths, "MAX_COUNT_S", 0.0)

    (note,) = check_row_lengths(config("data.max_length=400"))
    assert isinstance(note, Note) and "1 longest rows of 4" in note.reason
    (problem,) = check_row_lengths(config("data.max_length=100"))
    assert "row 1: " in problem.reason


def test_a_file_of_many_rows_ends_in_time(sft_config, tmp_path, monkeypatch):
    monkeypatch.setattr(lengths, "MAX_COUNT_S", 0.5)
    rows = [{"prompt": [{"role": "user", "content": "1+1?"}], "completion": f"</think>{WORDS * 20}"}] * 20_000
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    started = time.monotonic()
    found = list(
        check_row_lengths(sft_config(f"data.train_files={tmp_path / 'rows.parquet'}", "data.max_length=100000"))
    )

    assert [type(finding) for finding in found] == [Note]
    assert time.monotonic() - started < 20


def test_only_the_samples_that_are_taken_count(config):
    assert list(check_row_lengths(config("data.max_length=100", "data.train_max_samples=1"))) == []


@pytest.mark.parametrize("epochs", [1, 3])
def test_steps_that_the_epochs_never_reach(config, epochs):
    """Four rows are two steps an epoch."""
    reached = [f"trainer.total_epochs={epochs}", f"trainer.total_training_steps={2 * epochs}"]
    assert find_problems(config("data.max_length=400", *reached)) == []

    (problem,) = find_problems(config("data.max_length=400", *reached[:1], "trainer.total_training_steps=9"))
    assert f"ends after step {2 * epochs}" in problem.reason
    assert problem.next_step == f"trainer.total_epochs=5, or trainer.total_training_steps={2 * epochs}"
    assert (
        find_problems(config("data.max_length=400", "trainer.total_epochs=5", "trainer.total_training_steps=9")) == []
    )


OWN = """
from sinternal_verl.data.sft import PromptCompletionDataset

class Own(PromptCompletionDataset):
    def __init__(self, parquet_files, tokenizer, config, processor=None, max_samples=-1):
        super().__init__(parquet_files, tokenizer, config)
"""


def test_a_class_of_the_users_own_is_left_to_the_run(config, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    own = (f"data.custom_cls.path={tmp_path / 'own.py'}", "data.custom_cls.name=Own")

    assert list(check_row_lengths(config(*own, "data.max_length=100"))) == []
    # A row may be any number of its samples.
    assert not find_problems(config(*own, "trainer.total_training_steps=999"))
