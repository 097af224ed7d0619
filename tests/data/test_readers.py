"""Each kind of source yields its rows with the numbers a user finds them by."""

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from local_hub import LocalHub

from sinternal_verl.data import json_rows
from sinternal_verl.data.hub import Hub
from sinternal_verl.data.readers import BATCH, SourceError, Unreadable, open_source, read_parquet


def rows_of(path, content, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(open_source(str(path), **options).rows())


def reasons(rows):
    return {number: row.reason for number, row in rows if isinstance(row, Unreadable)}


class TestJsonLines:
    def test_lines_count_from_one_and_blank_ones_hold_no_row(self, tmp_path):
        assert rows_of(tmp_path / "a.jsonl", '{"a": 1}\n\n{"a": 2}\n') == [(1, {"a": 1}), (3, {"a": 2})]

    def test_a_byte_order_mark_and_windows_line_ends_are_no_content(self, tmp_path):
        assert rows_of(tmp_path / "a.json", b'\xef\xbb\xbf{"a": 1}\r\n{"a": 2}') == [(1, {"a": 1}), (2, {"a": 2})]

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b'{"a": 1', "is no JSON: Expecting ',' delimiter at character 8"),
            (b"[1]", "holds a list, not an object"),
            (b'{"a": "\xff"}', "is not UTF-8: byte 0xff at 7"),
            (b'{"a": ' + b"9" * 5000 + b"}", "JSON that Python does not read"),
            (b"[" * 100_000, "JSON that Python does not read"),
        ],
        ids=["cut", "a list", "not UTF-8", "huge number", "deeply nested"],
    )
    def test_a_bad_line_is_named_and_the_next_one_is_read(self, tmp_path, line, reason):
        rows = rows_of(tmp_path / "a.jsonl", b'{"a": 0}\n' + line + b'\n{"a": 2}\n')

        assert reason in reasons(rows)[2]
        assert rows[2] == (3, {"a": 2})

    def test_gz_is_read(self, tmp_path):
        assert rows_of(tmp_path / "a.jsonl.gz", gzip.compress(b'{"a": 1}')) == [(1, {"a": 1})]

    def test_a_cut_gz_is_an_error_that_says_how_far_it_was_read(self, tmp_path):
        lines = b"".join(b'{"a": %d}\n' % number for number in range(100_000))

        with pytest.raises(SourceError, match=r"a\.jsonl\.gz cannot be read after line \d+"):
            rows_of(tmp_path / "a.jsonl.gz", gzip.compress(lines)[:-100])


class TestJsonArray:
    def test_rows_count_from_zero(self, tmp_path):
        rows = rows_of(tmp_path / "a.json", '[\n  {"a": 1},\n  {"a": 2}\n]')

        assert rows == [(0, {"a": 1}), (1, {"a": 2})]
        assert open_source(str(tmp_path / "a.json")).where(1) == f"{tmp_path}/a.json, row 1 (from 0)"

    def test_gz_and_a_byte_order_mark_are_read(self, tmp_path):
        assert rows_of(tmp_path / "a.json.gz", gzip.compress(b'\xef\xbb\xbf\n[{"a": 1}]')) == [(0, {"a": 1})]

    def test_what_is_no_object_is_named_and_the_next_one_is_read(self, tmp_path):
        rows = rows_of(tmp_path / "a.json", '[{"a": 0}, "x", {"a": 2}]')

        assert reasons(rows) == {1: "holds a str, not an object"} and rows[2] == (2, {"a": 2})

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b'[{"a": 1}, {"a"', r"a\.json holds no whole JSON array: .*; repair the file"),
            (b"[" * 100_000, "holds no whole JSON array"),
            (b'[{"a": 1}, \xff]', "holds no whole JSON array"),
        ],
        ids=["cut", "deeply nested", "a bad byte outside of a text"],
    )
    def test_a_broken_one_is_an_error(self, tmp_path, content, message):
        with pytest.raises(SourceError, match=message):
            rows_of(tmp_path / "a.json", content)

    def test_a_bad_byte_spoils_one_row(self, tmp_path):
        rows = rows_of(tmp_path / "a.json", b'[{"a": "\xff"}, {"a": ["b"]}, {"b": {"\xe9": 1}}]')

        assert reasons(rows) == {0: "is not UTF-8: byte 0xff", 2: "is not UTF-8: byte 0xe9"}
        assert isinstance(rows[1][1], dict)
        assert rows_of(tmp_path / "b.json", b'[{"a": "\\udc80"}]') == [(0, {"a": "\udc80"})]

    def test_one_too_long_to_be_read_whole_is_refused_with_what_to_type(self, tmp_path, monkeypatch):
        monkeypatch.setattr(json_rows, "WHOLE_LIMIT", 8)

        with pytest.raises(SourceError, match=r"JSON over lines of more than 8 .*jq -c"):
            rows_of(tmp_path / "a.json", '[{"a": 1}]')


class TestCsv:
    def test_a_quoted_field_may_span_lines_so_records_are_counted(self, tmp_path):
        rows = rows_of(tmp_path / "a.csv", 'problem,answer\n"one\ntwo, ""three""",1\n\nfour,2\n')

        assert rows == [(0, {"problem": 'one\ntwo, "three"', "answer": "1"}), (1, {"problem": "four", "answer": "2"})]

    def test_a_record_of_another_length_than_the_header_is_named(self, tmp_path):
        assert reasons(rows_of(tmp_path / "a.csv", "a,b\n1\n1,2\n")) == {0: "has 1 fields, the header 2"}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b'a,b\n1,2\n3,"never closed\n5,6\n', r"after row 0 \(from 0\)"),
            (b"a,\xff\n1,2\n", r"a\.csv: the header is not UTF-8: byte 0xff"),
            (b"a,a\n1,2\n", "names 'a' twice"),
        ],
        ids=["an open quote", "a header that is not UTF-8", "a column twice"],
    )
    def test_what_would_lose_rows_or_columns_is_an_error(self, tmp_path, content, message):
        with pytest.raises(SourceError, match=message):
            rows_of(tmp_path / "a.csv", content)

    @pytest.mark.parametrize("bad", [b"\xff", b"\xe4\xbd", b"\xed\xa0\x80", "café".encode("latin-1")])
    def test_a_bad_byte_spoils_one_row(self, tmp_path, bad):
        rows = rows_of(tmp_path / "a.csv", b'a,b\n1,"' + bad + '"\n2,café\n'.encode())

        assert reasons(rows) == {0: f"is not UTF-8: byte {bad.lstrip(b'caf')[0]:#x}"}
        assert rows[1] == (1, {"a": "2", "b": "café"})

    def test_gz_and_a_byte_order_mark_are_read(self, tmp_path):
        assert rows_of(tmp_path / "a.csv.gz", gzip.compress(b"\xef\xbb\xbfa,b\r\n1,2\r\n")) == [
            (0, {"a": "1", "b": "2"})
        ]

    def test_a_field_above_pythons_limit_is_read(self, tmp_path):
        assert rows_of(tmp_path / "a.csv", f"a,b\n{'x' * 200_000},2\n") == [(0, {"a": "x" * 200_000, "b": "2"})]


class TestTsv:
    def test_a_field_may_be_empty_or_hold_commas_and_quoted_tabs(self, tmp_path):
        rows = rows_of(tmp_path / "a.tsv", 'a\tb\tc\n1, 2\t\t"x\ty"\n')

        assert rows == [(0, {"a": "1, 2", "b": "", "c": "x\ty"})]


class TestParquet:
    def test_rows_count_from_zero_across_batches(self, tmp_path):
        table = pa.table({"a": list(range(BATCH + 2))})
        pq.write_table(table, tmp_path / "a.parquet")
        rows = list(open_source(str(tmp_path / "a.parquet")).rows())

        assert rows == list(enumerate(table.to_pylist()))

    def test_a_broken_file_is_named(self, tmp_path):
        with pytest.raises(SourceError, match=r"a\.parquet cannot be read from its beginning"):
            rows_of(tmp_path / "a.parquet", b"PAR1 not really PAR1")

    @pytest.mark.parametrize(
        "values",
        [
            pa.array([0, 2**62], pa.timestamp("us")),
            pa.array([0, 2**53], pa.timestamp("ms", "UTC")),
            pa.array([0, 2**31 - 1], pa.date32()),
            pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff")),
        ],
        ids=["a time", "a time with a zone", "a day", "a text that is not UTF-8"],
    )
    def test_a_value_that_python_does_not_read_spoils_one_row(self, tmp_path, values):
        pq.write_table(pa.table({"prompt": ["a", "b"], "seen": values}), tmp_path / "a.parquet")
        rows = list(open_source(str(tmp_path / "a.parquet")).rows())

        assert rows[0][1]["prompt"] == "a" and reasons(rows)[1].startswith("holds in 'seen' a value that Python does")
        assert [row for _, row in read_parquet(f"{tmp_path}/a.parquet", ["prompt"])] == [
            {"prompt": "a"},
            {"prompt": "b"},
        ]
        with pytest.raises(SourceError, match=r"a\.parquet, row 1 \(from 0\): holds in 'seen' .*; repair the row"):
            list(read_parquet(f"{tmp_path}/a.parquet", ["seen"]))

    def test_a_column_twice_is_an_error(self, tmp_path):
        pq.write_table(pa.table([["a"], ["b"], ["c"]], ["prompt", "prompt", "x"]), tmp_path / "a.parquet")

        for read in (open_source(f"{tmp_path}/a.parquet").rows, lambda: read_parquet(f"{tmp_path}/a.parquet", ["x"])):
            with pytest.raises(SourceError, match=r"a\.parquet has the column 'prompt' twice; rename one"):
                list(read())


class TestHub:
    """`datasets.load_dataset_builder` is the one faked seam."""

    @pytest.fixture
    def load(self, monkeypatch):
        train = datasets.Dataset.from_list([{"a": 1}, {"a": 2}])
        fake = SimpleNamespace(splits={"train": train}, hash="f" * 40, error=None, asked=[], prepared=0)

        class Builder:
            hash = property(lambda self: fake.hash)
            info = SimpleNamespace(splits=None)
            config = None

            def download_and_prepare(self):
                fake.prepared += 1
                self.info = SimpleNamespace(splits=fake.splits)

            def as_dataset(self, split):
                return fake.splits[split]

        def load_dataset_builder(path, **options):
            fake.asked.append((path, options))
            if fake.error:
                raise fake.error
            return Builder()

        monkeypatch.setattr(datasets, "load_dataset_builder", load_dataset_builder)
        return fake

    @pytest.mark.parametrize("prefix", ["", "hub:"])
    def test_a_name_says_revision_config_and_split(self, load, prefix):
        load.splits = {"train": datasets.Dataset.from_list([{"a": 1}, {"a": 2}]), "test": []}
        source = open_source(f"{prefix}org/set@{'f' * 40}:main/train")

        assert list(source.rows()) == [(0, {"a": 1}), (1, {"a": 2})]
        assert load.asked == [("org/set", {"name": "main", "revision": "f" * 40})]
        assert source.origin() == {
            "hub": "org/set",
            "config": "main",
            "split": "train",
            "revision": "f" * 40,
            "commit": "f" * 40,
        }
        assert source.where(1) == f"{prefix}org/set@{'f' * 40}:main/train, row 1 (from 0)"

    def test_so_do_options(self, load):
        assert list(open_source("org/set", Hub("main", "train", "v1")).rows()) == [(0, {"a": 1}), (1, {"a": 2})]
        assert load.asked == [("org/set", {"name": "main", "revision": "v1"})]

    def test_options_that_say_another_part_are_refused(self, load):
        with pytest.raises(SourceError, match="names the split test, --hub-split train: leave one out"):
            open_source("org/set:test", Hub(split="train"))

    def test_it_is_fetched_once_however_often_it_is_read(self, load):
        source = open_source("org/set")

        assert [len(list(source.rows())) for _ in range(3)] == [2, 2, 2]
        assert source.origin()["commit"] == "f" * 40
        assert len(load.asked) == 1

    def test_of_several_splits_one_must_be_chosen(self, load):
        load.splits = {"train": [], "test": []}

        with pytest.raises(SourceError, match=r"org/set@v1 has the splits train, test; .* such as org/set@v1:train"):
            list(open_source("org/set@v1").rows())

    def test_another_commit_than_asked_for_is_refused(self, load):
        """Without a network `datasets` takes whichever commit its cache has."""
        with pytest.raises(SourceError, match="the hub cannot be reached, and its cache has another commit, fff"):
            list(open_source(f"org/set@{'a' * 40}").rows())

    @pytest.mark.parametrize("error", [ConnectionError("no network"), ValueError("Config name is missing")])
    def test_what_its_libraries_say_is_shown(self, load, error):
        load.error = error

        with pytest.raises(SourceError, match=f"org/set cannot be read from the hub: {type(error).__name__}: {error}"):
            list(open_source("org/set").rows())

    @pytest.mark.parametrize(
        "features",
        [
            {"a": pa.timestamp("us")},
            {"a": pa.list_(pa.timestamp("us"))},
            {"a": pa.struct([("b", pa.timestamp("us"))])},
        ],
    )
    def test_a_value_that_python_does_not_read_spoils_one_row(self, load, features):
        (kind,) = features.values()
        values = [0, 2**62, 1]
        if pa.types.is_list(kind):
            values = [[value] for value in values]
        elif pa.types.is_struct(kind):
            values = [{"b": value} for value in values]
        integers = pa.array(values)
        load.splits = {"train": datasets.Dataset(pa.table({"a": integers.cast(kind), "n": [0, 1, 2]}))}
        rows = list(open_source("org/set").rows())

        assert reasons(rows).keys() == {1} and "a value that Python does not read" in reasons(rows)[1]
        assert [row["n"] for _, row in rows[::2]] == [0, 2]

    def test_rows_count_on_over_batches(self, load):
        load.splits = {"train": datasets.Dataset.from_dict({"n": range(2 * BATCH + 1)})}
        rows = list(open_source("org/set").rows())

        assert rows == [(number, {"n": number}) for number in range(2 * BATCH + 1)]

    def test_a_class_has_its_name(self, load):
        names = datasets.ClassLabel(names=["harmful", "benign"])
        data = datasets.Dataset.from_dict({"label": [1, None, -1, 0]}, datasets.Features(label=names))
        load.splits = {"train": data}

        assert [row["label"] for _, row in open_source("org/set").rows()] == ["benign", None, None, "harmful"]

    def test_an_image_that_is_broken_is_not_looked_at(self, load):
        image = {"bytes": b"no image", "path": None}
        data = datasets.Dataset.from_dict(
            {"n": [1], "i": [image]}, datasets.Features(n=datasets.Value("int64"), i=datasets.Image())
        )
        load.splits = {"train": data}

        assert list(open_source("org/set").rows()) == [(0, {"n": 1, "i": image})]

    @pytest.mark.parametrize(
        "address",
        [
            "https://huggingface.co/datasets/org/set",
            "hf://datasets/org/set/train.csv",
            "datasets/org/set",
            "hub:https://hf.co/datasets/org/set",
        ],
    )
    def test_an_address_is_refused_with_the_name_in_it(self, address):
        with pytest.raises(SourceError, match=f"{address}: the name of this dataset is org/set; give it"):
            open_source(address)

    def test_a_name_that_is_none_is_refused(self):
        with pytest.raises(SourceError, match="write hub:owner/name, or hub:owner/name@revision:config/split"):
            open_source("hub:set")


README = b"""---
configs:
- config_name: main
  data_files:
  - split: train
    path: main/train-*
  - split: test
    path: main/test-*
- config_name: socratic
  data_files:
  - split: train
    path: socratic/train-*
---
"""
OLD, NEW = "a" * 40, "b" * 40
READ = """
import sys
from sinternal_verl.data.readers import SourceError, open_source
for name in sys.argv[1:]:
    source = open_source(name)
    try:
        twice = [[row["n"] for _, row in source.rows()] for _ in range(2)]
        print(name, twice[0], twice[0] == twice[1], source.origin()["commit"][:1])
    except SourceError as error:
        print(str(error).splitlines()[0])
"""


@pytest.mark.slow
def test_the_real_library_fetches_a_part_once_and_reads_its_cache_without_a_network(tmp_path):
    def rows(*numbers):
        pq.write_table(pa.table({"n": list(numbers)}), tmp_path / "rows.parquet")
        return (tmp_path / "rows.parquet").read_bytes()

    parts = {"train": rows(1), "test": rows(2, 3)}
    files = {"README.md": README, "socratic/train-0.parquet": rows(4)}
    files |= {f"main/{split}-0.parquet": content for split, content in parts.items()}
    sets = {
        "org/parts": {OLD: files},
        "org/one": {OLD: {"data/train-0.parquet": rows(5)}, NEW: {"train.jsonl": b'{"n": 6}'}},
    }

    def read(*names, **variables):
        done = subprocess.run(
            [sys.executable, "-c", READ, *names],
            env=os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")} | variables,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    with LocalHub(sets) as hub:
        names = ["org/parts:main/test", "org/parts:socratic/", "org/one", f"org/one@{OLD[:8]}", f"org/one@{OLD}"]
        assert read(*names) == [
            "org/parts:main/test [2, 3] True a",
            "org/parts:socratic/ [4] True a",
            "org/one [6] True b",
            f"org/one@{OLD[:8]} [5] True a",
            f"org/one@{OLD} [5] True a",
        ]
        assert Counter(file for file in hub.fetched if not file.endswith("README.md")).most_common(1)[0][1] == 1
        wrong = read("org/parts:main/", "org/parts:main/dev", "org/parts@v9:main/test", "org/none")
        assert "has the splits train, test; choose one, such as org/parts:main/train" in wrong[0]
        assert 'Unknown split "dev"' in wrong[1]
        assert "Revision 'v9' doesn't exist" in wrong[2] and "'org/none' doesn't exist" in wrong[3]
        hub.fetched.clear()

        assert read(names[0], f"org/parts@{NEW}:main/test", HF_HUB_OFFLINE="1") == [
            "org/parts:main/test [2, 3] True a",
            f"org/parts@{NEW}:main/test: the hub cannot be reached, and its cache has another commit, {OLD}",
        ]
        assert hub.fetched == []


A, B, C = ({"problem": f"{number}+1?", "answer": str(number + 1)} for number in range(3))


def _json(*rows):
    return b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)


ODD = {
    "null.jsonl": _json(A, B | {"problem": None}, C),
    "another-type.jsonl": _json(A, B | {"answer": 2}, C),
    "a-struct.jsonl": _json(A, B | {"problem": {"text": "1+1?"}}, C),
    "a-list.jsonl": _json(A, B | {"answer": ["2"]}, C),
    "more-columns.jsonl": _json(A, B | {"note": "x"}, C),
    "no-json.jsonl": _json(A, b'{"problem": ', C),
    "an-array.jsonl": _json(A, ["1+1?", "2"], C),
    "more-fields.csv": b"problem,answer\n0+1?,1\n1+1?,2,3\n2+1?,3\n",
    "another-byte.csv": b"problem,answer\n0+1?,1\n\xe9?,2\n2+1?,3\n",
    "semicolons.csv": b"problem;answer\n0+1?;1\n1+1?;2\n",
    "numbers.csv": b"problem,answer\n0+1?,033\n1+1?,0.50\n2+1?,N/A\n3+1?,\n",
}
COUNT = """
import json, sys
import pyarrow.parquet as pq
from sinternal_verl.data.convert import convert
from sinternal_verl.data.math import MathReader
from sinternal_verl.data.readers import open_source
from pathlib import Path
counts = {}
for name in sys.argv[1:]:
    made = convert(open_source(name), Path("out.parquet"), lambda first, source: MathReader(first), skip_bad=True)
    truths = [row["ground_truth"] for row in pq.read_table("out.parquet")["reward_model"].to_pylist()]
    counts[name] = made.read, truths, made.bad.count, dict(made.without_truth)
Path("counts.json").write_text(json.dumps(counts))
"""


@pytest.mark.slow
def test_an_odd_row_of_a_dataset_is_what_it_is_in_a_file(tmp_path):
    """But for a column that a row lacks, which is null in a dataset."""
    sets = {
        f"org/{name.partition('.')[0]}": {OLD: {f"train.{name.partition('.')[2]}": odd}} for name, odd in ODD.items()
    }
    for name, content in ODD.items():
        (tmp_path / name).write_bytes(content)
    with LocalHub(sets) as hub:

        def count(*names, **variables):
            subprocess.run(
                [sys.executable, "-c", COUNT, *names],
                cwd=tmp_path,
                env=os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")} | variables,
                check=True,
                timeout=200,
            )
            return json.loads((tmp_path / "counts.json").read_text())

        files, found = count(*ODD), count(*sets)
        without_network = count(*sets, f"org/numbers@{OLD}", HF_HUB_OFFLINE="1")

    assert list(files.values()) == list(found.values())
    assert without_network == found | {f"org/numbers@{OLD}": found["org/numbers"]}
    assert found["org/no-json"] == [3, ["1", "3"], 1, {}]
    assert found["org/numbers"] == [4, ["033", "0.50"], 0, {"n/a": 1, "empty": 1}]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.jsonl", "does not exist"),
        ("org/none.parquet", "does not exist"),
        ("math500", "does not exist; give a file, or a hub name"),
        (".", "is a folder; give a file"),
    ],
)
def test_what_is_neither_a_file_nor_a_hub_id_is_refused(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SourceError, match=message):
        open_source(name)


class TestPaths:
    """What is meant as a path is never looked for on the hub."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(datasets, "load_dataset_builder", None)
        (tmp_path / "my").mkdir()
        for name in ("my/file.jsonl", "my/notes.txt", "rows.txt", "a.xlsx"):
            (tmp_path / name).touch()

    @pytest.mark.parametrize("name", ["rows.txt", "my/notes.txt", "./rows.txt", "a.xlsx"])
    def test_another_kind_of_file_is_refused_with_the_kinds_there_are(self, name):
        with pytest.raises(SourceError, match=rf"{name}: this kind .*\.jsonl.*\.csv\.gz.*\.parquet"):
            open_source(name)

    @pytest.mark.parametrize(
        ("name", "step"),
        [
            (
                "my/file.jsnl",
                "ends in .jsonl, .*, or hub:my/file.jsnl for a dataset of the hub; did you mean my/file.jsonl?",
            ),
            ("no/rows.xlsx", "ends in .jsonl, .*, or hub:no/rows.xlsx for"),
            ("../rows.txt", r"ends in .jsonl, [^ ]*, .*\.parquet$"),
            ("my/sub/file.txt", "ends in .jsonl"),
            ("./my", "is a folder; give a file in it, such as my/file.jsonl"),
            ("my", "is a folder; give a file in it, such as my/file.jsonl"),
            ("./file", "does not exist; give a file, or a hub name"),
            ("../file", "does not exist; give a file, or a hub name"),
        ],
    )
    def test_one_that_is_not_there_is_named_with_the_kinds_and_the_nearest(self, name, step):
        with pytest.raises(SourceError, match=f"^{name} .*{step}"):
            open_source(name)

    @pytest.mark.parametrize(
        "name",
        ["AI-MO/NuminaMath-1.5", "org/set-v1.0", "org/v2.0-en", "org/set.en:main/", "hub:my/file.jsnl", "my/file"],
    )
    def test_a_hub_name_may_hold_dots_and_the_name_of_a_folder(self, name):
        assert open_source(name).name == name

    def test_a_part_of_a_dataset_says_that_the_hub_is_meant(self):
        assert open_source("org/set.en", Hub(split="train")).name == "org/set.en"


def test_hub_options_beside_a_file_are_refused(tmp_path):
    (tmp_path / "a.jsonl").touch()

    with pytest.raises(SourceError, match="leave out --hub-config, --hub-split, --revision"):
        open_source(str(tmp_path / "a.jsonl"), Hub(split="test"))


@pytest.mark.parametrize(
    ("name", "meant"),
    [("maht.jsonl", "math.jsonl"), ("sub/mat.csv", "sub/math.csv"), ("sbu/math.csv", "sub/math.csv"), ("x.csv", None)],
)
def test_a_file_that_is_not_there_is_named_with_the_nearest_that_is(tmp_path, name, meant):
    (tmp_path / "sub").mkdir()
    for file in ("math.jsonl", "sub/math.csv"):
        (tmp_path / file).touch()
    end = f"; did you mean {tmp_path}/{meant}?" if meant else ""

    with pytest.raises(SourceError) as error:
        open_source(str(tmp_path / name))
    said = f"{tmp_path}/{name} does not exist; give a file, or a hub name such as HuggingFaceH4/MATH-500"
    assert str(error.value) == said + end


def test_an_error_of_the_system_names_the_file_once(tmp_path):
    (tmp_path / "a.jsonl").touch()
    source = open_source(str(tmp_path / "a.jsonl"))
    (tmp_path / "a.jsonl").unlink()

    with pytest.raises(SourceError) as error:
        list(source.rows())
    assert str(error.value).count("a.jsonl") == 1 and "No such file or directory" in str(error.value)
