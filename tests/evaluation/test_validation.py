"""Validation files of slices of sets: the rows, which are drawn, and what the trainer and the checks see of them."""

import hashlib
import json

import pyarrow.parquet as pq
import pytest
from benchmark_sets import SHARED

from sinternal_verl.cli import main
from sinternal_verl.data.math import INSTRUCTION
from sinternal_verl.data.schema import RL_SCHEMA, read_provenance
from sinternal_verl.evaluation.sets.catalog import SetError
from sinternal_verl.evaluation.sets.validation import Slice

LAMP = "May I lend the lamp of pier {}?"


def sister(number, label):
    return {"prompt": [{"role": "user", "content": LAMP.format(number)}], "label": label}


@pytest.fixture
def sets(tmp_path):
    """A folder with small files of three sets, free of harm."""
    rows = {
        "strongreject.jsonl": [sister(number, "unsafe") for number in range(20)],
        "xstest_safe.jsonl": [sister(number, "safe") for number in range(20)],
        "math500.jsonl": [
            {"problem": f"{n}+1?", "answer": str(n + 1), "subject": "", "level": 1, "unique_id": f"test/{n}"}
            for n in range(20)
        ],
    }
    folder = tmp_path / "sets"
    folder.mkdir()
    for name, lines in rows.items():
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def make(tmp_path, *words):
    """The code, and the rows that were written."""
    out = tmp_path / "val.parquet"
    code = main(["data", "eval", *words, "--out", str(out)])
    return code, pq.read_table(out).to_pylist() if out.exists() else None


def test_each_set_has_a_data_source_of_its_own_and_the_schema_of_training(sets, tmp_path):
    code, rows = make(tmp_path, "strongreject=3", "xstest=2", "math500=2", "--sets", str(sets))

    assert code == 0 and pq.read_schema(tmp_path / "val.parquet").equals(RL_SCHEMA)
    assert [(row["data_source"], row["reward_model"]["ground_truth"]) for row in rows[:5]] == [
        *[("safety/harmful/strongreject", "harmful")] * 3,
        *[("safety/benign/xstest", "benign")] * 2,
    ]
    number = int(rows[5]["reward_model"]["ground_truth"]) - 1
    digest = hashlib.sha256(f"{number}+1?".encode()).hexdigest()[:12]
    assert rows[5]["data_source"] == "math500" and rows[5]["extra_info"]["index"] == digest
    assert rows[5]["prompt"] == [{"role": "user", "content": f"{number}+1?\n{INSTRUCTION}"}]
    assert rows[0]["prompt"][0]["content"] == LAMP.format(rows[0]["extra_info"]["index"])


def test_the_seed_draws_the_rows_and_a_smaller_slice_is_part_of_a_larger_one(sets, tmp_path):
    def drawn(count, seed):
        _, rows = make(tmp_path, f"strongreject={count}", "--sets", str(sets), "--seed", str(seed))
        return [int(row["extra_info"]["index"]) for row in rows]

    five, ten, other = drawn(5, 1), drawn(10, 1), drawn(10, 2)

    assert five == sorted(five) and set(five) < set(ten) and five == drawn(5, 1)
    assert ten != other and drawn("all", 1) == list(range(20))


def test_a_file_of_its_own(sets, tmp_path):
    code, rows = make(tmp_path, f"strongreject={sets / 'strongreject.jsonl'}:all")

    assert code == 0 and len(rows) == 20


def test_where_the_rows_are_from_stands_in_the_file(sets, tmp_path, capsys):
    make(tmp_path, "strongreject=3", "--sets", str(sets), "--seed", "5")
    found = read_provenance(tmp_path / "val.parquet")
    printed = capsys.readouterr()

    (origin,) = found["validation"]
    assert (found["seed"], origin["set"], origin["n"], origin["wanted"]) == (5, "strongreject", 20, 3)
    assert origin["file"] == "strongreject.jsonl" and len(origin["sha256"]) == 64
    assert "warning: strongreject differs from the paper's set: 20 prompts, the paper's set has 313" in printed.err
    assert "safety/harmful/strongreject: 3 rows" in printed.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["strongreject"], "strongreject: write NAME=COUNT or NAME=FILE:COUNT"),
        (["strongreject=0"], "with a positive number or all"),
        (["strongreject=a.csv"], "with a positive number or all"),
        (["strongrejct=5"], "did you mean strongreject?"),
        (["strongreject=21"], "strongreject has 20 rows, 21 are wanted; ask for fewer, or for all"),
        (["xstest=2", "xstest=3"], "xstest is given twice"),
        (["fortress=2"], "holds no file of fortress"),
    ],
)
def test_what_cannot_be_made_is_said_and_nothing_is_written(sets, tmp_path, capsys, words, message):
    code, rows = make(tmp_path, *words, "--sets", str(sets))

    assert code == 2 and rows is None
    printed = capsys.readouterr().err
    assert message in printed and "val.parquet was not written" in printed


def test_all_sets_that_cannot_be_read_are_named_at_once(sets, tmp_path, capsys):
    make(tmp_path, "strongreject=99", "fortress=2", "--sets", str(sets))
    printed = capsys.readouterr().err

    assert "99 are wanted" in printed and "no file of fortress" in printed


def test_the_file_must_be_parquet(sets, tmp_path, capsys):
    assert main(["data", "eval", "strongreject=1", "--sets", str(sets), "--out", str(tmp_path / "a.json")]) == 2
    assert "end it in .parquet" in capsys.readouterr().err


def test_a_source_is_never_overwritten(tmp_path, capsys):
    out = tmp_path / "val.parquet"
    out.write_bytes(b"rows")

    assert main(["data", "eval", f"strongreject={out}:5", "--out", str(out)]) == 2
    assert "is the source itself" in capsys.readouterr().err and out.read_bytes() == b"rows"


def test_a_hub_name_with_a_split_keeps_its_colon():
    assert Slice.parse("hcot=owner/name@main:train:5") == Slice("hcot", 5, "owner/name@main:train")
    with pytest.raises(SetError):
        Slice.parse("hcot=owner/name@main:train")


def test_data_check_takes_the_file_with_the_recipe(sets, tmp_path, capsys):
    make(tmp_path, "strongreject=3", "xstest=2", "math500=2", "--sets", str(sets))

    assert main(["data", "check", str(tmp_path / "val.parquet")]) == 0
    assert "safety/benign/xstest: 2 rows, scorer safety" in capsys.readouterr().out


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the real sets in ../shared/data")
def test_the_real_sets(tmp_path, capsys):
    names = ("strongreject", "jailbreak_r1", "fortress", "wildjailbreak", "hcot", "xstest")
    math = [f"math500={SHARED / 'math500.jsonl'}:50", f"aime2024={SHARED / 'aime2024.jsonl'}:all"]
    code, rows = make(tmp_path, *[f"{name}=50" for name in names], *math, "--sets", str(SHARED / "eval"))

    assert code == 0 and len(rows) == 6 * 50 + 50 + 30
    assert "warning" not in capsys.readouterr().err
    assert main(["data", "check", str(tmp_path / "val.parquet")]) == 0
