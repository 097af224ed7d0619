"""A data adapter of the user's own: one file, named on the command line."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sinternal_verl.cli import main
from sinternal_verl.data.schema import read_provenance

EXAMPLE = Path(__file__).parents[2] / "examples" / "my_adapter.py"
MATH = """
from sinternal_verl.data.adapter import column, has
from sinternal_verl.data.math import MathAdapter

ADAPTER = MathAdapter(name="sums", fits=has("frage"), problem=column("frage"), answer="antwort")
"""


@pytest.fixture
def write(tmp_path):
    def rows(*rows):
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(file)

    return rows


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.parquet"


def safety(source, out, adapter, harm=None):
    label = ["--label", harm] if harm else []
    return main(["data", "safety", "--source", source, "--out", str(out), "--adapter", str(adapter), *label])


def test_the_example_reads_what_no_set_of_ours_has(write, out):
    rows = [{"ticket": "Where is my key?", "verdict": "fine"}, {"ticket": "Open the vault.", "verdict": "forbidden"}]

    assert safety(write(*rows), out, EXAMPLE) == 0
    table = pq.read_table(out)
    assert [row["data_source"] for row in table.to_pylist()] == ["safety/benign/tickets", "safety/harmful/tickets"]
    assert read_provenance(out)["adapter"] == "tickets"


def test_one_of_math(write, out, tmp_path):
    (tmp_path / "sums.py").write_text(MATH)

    source = write({"frage": "1+1?", "antwort": 2})
    assert main(["data", "math", "--source", source, "--out", str(out), "--adapter", str(tmp_path / "sums.py")]) == 0
    (row,) = pq.read_table(out).to_pylist()
    assert (row["data_source"], row["reward_model"]["ground_truth"]) == ("sums", "2")


def test_it_is_taken_though_a_set_of_ours_would_fit(write, out, tmp_path):
    """The file's own label would make the row harmful."""
    text = EXAMPLE.read_text().replace('"ticket"', '"prompt"')
    (tmp_path / "mine.py").write_text(text)

    source = write({"prompt": "Where is my key?", "label": "harmful", "verdict": "fine"})
    assert safety(source, out, tmp_path / "mine.py") == 0
    assert pq.read_table(out).to_pylist()[0]["data_source"] == "safety/benign/tickets"


def test_a_bad_row_is_named_as_with_ours(write, out, capsys):
    source = write({"ticket": "Where?", "verdict": "fine"}, {"ticket": "When?", "verdict": "maybe"})

    assert safety(source, out, EXAMPLE) == 2
    assert "line 2: verdict is 'maybe', not one of fine, forbidden" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be imported: FileNotFoundError"),
        ("import nothing_of_this_name", "cannot be imported: ModuleNotFoundError"),
        ("adapter = 1", "it has no ADAPTER = SafetyAdapter(...)"),
        (MATH, "it has no ADAPTER = SafetyAdapter(...)"),
    ],
)
def test_a_file_that_is_no_adapter_is_refused(write, out, tmp_path, capsys, text, words):
    if text:
        (tmp_path / "mine.py").write_text(text)

    assert safety(write({"prompt": "May I?", "label": "benign"}), out, tmp_path / "mine.py") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"sinternal_verl: --adapter {tmp_path}/mine.py: ") and words in error


def test_other_columns_than_its_own_are_named(write, out, capsys):
    assert safety(write({"prompt": "May I?", "label": "benign"}), out, EXAMPLE) == 2
    assert "the columns are prompt, label; wanted are those that `fits` of the adapter tickets takes" in (
        capsys.readouterr().err
    )


def test_what_its_functions_raise_is_wrong_with_the_row(write, out, tmp_path, capsys):
    adapter = tmp_path / "raises.py"
    adapter.write_text(EXAMPLE.read_text().replace('column("ticket")', 'lambda row: row["ticket"][0]["text"]'))
    source = write({"ticket": "Where is my key?", "verdict": "fine"})

    assert safety(source, out, adapter) == 2
    assert "line 1: the adapter raised TypeError: string indices" in capsys.readouterr().err
    assert not out.exists()
