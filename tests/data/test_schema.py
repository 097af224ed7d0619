"""A file of ours has one schema, is whole or not there, and says where its rows are from."""

import pyarrow.parquet as pq
import pytest

from sinternal_verl.data.schema import RL_SCHEMA, ROW_GROUP, RowWriter, read_provenance, rl_row


def row(number):
    return rl_row(data_source="math", content=f"{number}?", ground_truth=str(number), index=str(number), split="train")


def test_rows_come_back_as_they_were_across_row_groups(tmp_path):
    rows = [row(number) for number in range(ROW_GROUP + 1)]
    with RowWriter(tmp_path / "rows.parquet") as writer:
        for each in rows:
            writer.add(each)
        writer.finish()

    assert pq.read_table(tmp_path / "rows.parquet").to_pylist() == rows
    assert pq.read_schema(tmp_path / "rows.parquet").equals(RL_SCHEMA)


def test_provenance_comes_back_and_is_none_for_other_files(tmp_path, world):
    with RowWriter(tmp_path / "rows.parquet") as writer:
        writer.finish({"source": "math.jsonl"})

    assert read_provenance(tmp_path / "rows.parquet") == {"source": "math.jsonl"}
    assert read_provenance(world["sft"]) is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, None])
def test_without_finish_nothing_is_left_and_an_earlier_file_stays(tmp_path, error):
    target = tmp_path / "rows.parquet"
    target.write_text("earlier")

    with pytest.raises(error or ZeroDivisionError), RowWriter(target) as writer:
        for number in range(ROW_GROUP + 1):
            writer.add(row(number))
        raise error if error else ZeroDivisionError

    assert target.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [target]


def test_others_may_read_the_file_as_the_umask_says(tmp_path):
    (tmp_path / "plain").touch()
    with RowWriter(tmp_path / "rows.parquet") as writer:
        writer.finish()

    assert (tmp_path / "rows.parquet").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_small_world_has_the_same_schema(world):
    assert all(pq.read_schema(world[name]).equals(RL_SCHEMA) for name in ("train", "held_out"))
