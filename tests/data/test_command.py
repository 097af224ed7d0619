"""The commands as a user types them: what they print, write and return."""

import json
import subprocess
import sys

import datasets
import pyarrow.parquet as pq
import pytest

from sinternal_verl.cli import main

ROWS = [{"problem": f"{number}+1?", "answer": str(number + 1)} for number in range(3)]


@pytest.fixture
def source(tmp_path):
    def write(rows):
        file = tmp_path / "math.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(file)

    return write


def test_a_converted_file_passes_the_check(source, tmp_path):
    """One real process of each command."""
    out = tmp_path / "new" / "train.parquet"
    commands = (["math", "--source", source([*ROWS, ROWS[0]]), "--out", str(out)], ["check", str(out)])
    done = [
        subprocess.run(
            [sys.executable, "-m", "sinternal_verl.cli", "data", *command], capture_output=True, text=True, timeout=100
        )
        for command in commands
    ]

    assert [(each.returncode, each.stderr) for each in done] == [(0, ""), (0, "")]
    assert done[0].stdout.splitlines() == [
        "data_source math, index from the row number",
        "rows: read 4, good 3, duplicates 1 (the first of each is good), bad 0",
        f"wrote {out}",
    ]
    assert done[1].stdout.splitlines() == [
        "math: 3 rows, scorer boxed_math",
        f"sinternal_verl: {out} is fit for training",
    ]


def test_bad_rows_end_with_two_and_say_what_to_type(source, tmp_path, capsys):
    code = main(["data", "math", "--source", source([*ROWS, {}]), "--out", str(tmp_path / "a.parquet")])
    printed = capsys.readouterr()

    assert code == 2
    row, end = printed.err.splitlines()
    assert row == f"{tmp_path}/math.jsonl, line 4: problem is missing or null"
    assert end.endswith("a.parquet was not written: correct the bad rows, or leave them out with --skip-bad")
    assert f"{tmp_path}/a.parquet.rejected.jsonl" in printed.out


def test_skip_bad_ends_with_zero_and_still_names_them(source, tmp_path, capsys):
    code = main(["data", "math", "--source", source([*ROWS, {}]), "--out", str(tmp_path / "a.parquet"), "--skip-bad"])
    printed = capsys.readouterr()

    assert code == 0
    assert printed.err == f"{tmp_path}/math.jsonl, line 4: problem is missing or null\n"
    assert "rows: read 4, good 3, duplicates 0 (the first of each is good), bad 1" in printed.out


def test_labels_reach_the_rows(source, tmp_path):
    out = str(tmp_path / "a.parquet")
    options = ["--data-source", "mine", "--index", "answer", "--split", "dev"]

    assert main(["data", "math", "--source", source(ROWS), "--out", out, *options]) == 0
    row = pq.read_table(out).to_pylist()[0]
    assert row["data_source"] == "mine" and row["extra_info"] == {"index": "1", "split": "dev"}


@pytest.mark.parametrize(("revision", "noted"), [([], True), (["--revision", "abc123"], False)])
def test_a_hub_dataset_is_read_and_an_open_revision_noted(monkeypatch, tmp_path, capsys, revision, noted):
    monkeypatch.setattr(datasets, "load_dataset", lambda path, **options: {options["revision"] or "main": ROWS})
    out = tmp_path / "a.parquet"

    assert main(["data", "math", "--source", "org/set", "--out", str(out), *revision]) == 0
    assert pq.read_metadata(out).num_rows == 3
    assert ("give --revision" in capsys.readouterr().out) is noted


def test_another_number_of_problems_than_the_set_has_is_noted(source, tmp_path, capsys):
    rows = [row | {"subject": "Algebra", "level": 1, "unique_id": f"train/{number}"} for number, row in enumerate(ROWS)]

    assert main(["data", "math", "--source", source(rows), "--out", str(tmp_path / "a.parquet")]) == 0
    assert "note: math500 has 500 problems, these are 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("out", "message"),
    [("a.jsonl", "end it in .parquet"), ("folder.parquet", "is a folder"), ("same.parquet", "is the source itself")],
)
def test_a_target_that_cannot_be_is_refused(tmp_path, capsys, out, message):
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "same.parquet").write_text("kept")

    assert main(["data", "math", "--source", str(tmp_path / "same.parquet"), "--out", str(tmp_path / out)]) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "same.parquet").read_text() == "kept"


@pytest.mark.parametrize("overrides", [["+recipe=none"], ["sinternal.scorers.boxed_math.mode=x"]])
def test_a_configuration_that_cannot_be_used_is_an_error_without_traceback(world, capsys, overrides):
    assert main(["data", "check", str(world["train"]), *overrides]) == 2
    assert capsys.readouterr().err.startswith("sinternal_verl: ")


def test_an_unfit_file_ends_with_two_and_the_number_of_problems(world, capsys):
    assert main(["data", "check", str(world["sft"])]) == 2
    assert capsys.readouterr().err.endswith("sft.parquet is not fit for training (problems: 2)\n")


def test_the_small_world_is_fit(world, capsys):
    assert main(["data", "check", str(world["train"])]) == 0
    assert "world/addition: 3,581 rows, scorer boxed_math" in capsys.readouterr().out
