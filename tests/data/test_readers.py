"""Each kind of source yields its rows with the numbers a user finds them by."""

import gzip
import types

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sinternal_verl.data import readers
from sinternal_verl.data.readers import BATCH, Hub, SourceError, Unreadable, open_source


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
            (b'[{"a": "\xff"}]', r"a\.json cannot be read from its beginning: 'utf-8'"),
        ],
        ids=["cut", "deeply nested", "not UTF-8"],
    )
    def test_a_broken_one_is_an_error(self, tmp_path, content, message):
        with pytest.raises(SourceError, match=message):
            rows_of(tmp_path / "a.json", content)

    def test_one_too_long_to_be_read_whole_is_refused_with_what_to_type(self, tmp_path, monkeypatch):
        monkeypatch.setattr(readers, "ARRAY_LIMIT", 8)

        with pytest.raises(SourceError, match=r"JSON array of more than .*jq -c"):
            rows_of(tmp_path / "a.json", '[{"a": 1}]')


class TestCsv:
    def test_a_quoted_field_may_span_lines_so_records_are_counted(self, tmp_path):
        rows = rows_of(tmp_path / "a.csv", 'problem,answer\n"one\ntwo, ""three""",1\n\nfour,2\n')

        assert rows == [(1, {"problem": 'one\ntwo, "three"', "answer": "1"}), (2, {"problem": "four", "answer": "2"})]

    def test_a_record_of_another_length_than_the_header_is_named(self, tmp_path):
        assert reasons(rows_of(tmp_path / "a.csv", "a,b\n1\n1,2\n")) == {1: "has 1 fields, the header 2"}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b'a,b\n1,2\n3,"never closed\n5,6\n', r"after record 1 \(after the header\)"),
            (b"a,b\n1,\xff\n", "utf-8"),
            (b"a,a\n1,2\n", "names a twice"),
        ],
        ids=["an open quote", "not UTF-8", "a column twice"],
    )
    def test_what_would_lose_rows_or_columns_is_an_error(self, tmp_path, content, message):
        with pytest.raises(SourceError, match=message):
            rows_of(tmp_path / "a.csv", content)

    def test_gz_and_a_byte_order_mark_are_read(self, tmp_path):
        assert rows_of(tmp_path / "a.csv.gz", gzip.compress(b"\xef\xbb\xbfa,b\r\n1,2\r\n")) == [
            (1, {"a": "1", "b": "2"})
        ]


class TestTsv:
    def test_a_field_may_be_empty_or_hold_commas_and_quoted_tabs(self, tmp_path):
        rows = rows_of(tmp_path / "a.tsv", 'a\tb\tc\n1, 2\t\t"x\ty"\n')

        assert rows == [(1, {"a": "1, 2", "b": "", "c": "x\ty"})]


class TestParquet:
    def test_rows_count_from_zero_across_batches(self, tmp_path):
        table = pa.table({"a": list(range(BATCH + 2))})
        pq.write_table(table, tmp_path / "a.parquet")
        rows = list(open_source(str(tmp_path / "a.parquet")).rows())

        assert rows == list(enumerate(table.to_pylist()))

    def test_a_broken_file_is_named(self, tmp_path):
        with pytest.raises(SourceError, match=r"a\.parquet cannot be read from its beginning"):
            rows_of(tmp_path / "a.parquet", b"PAR1 not really")


class TestHub:
    """`datasets.load_dataset` is the one faked seam."""

    @pytest.fixture
    def load(self, monkeypatch):
        fake = types.SimpleNamespace(answer=[{"a": 1}, {"a": 2}], asked=None)

        def load_dataset(path, **options):
            fake.asked = (path, options)
            if isinstance(fake.answer, Exception):
                raise fake.answer
            return fake.answer

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return fake

    def test_rows_are_streamed_from_what_was_asked_for(self, load):
        source = open_source("org/set", Hub("main", "test", "abc123"))

        assert list(source.rows()) == [(0, {"a": 1}), (1, {"a": 2})]
        assert load.asked == ("org/set", {"name": "main", "split": "test", "revision": "abc123", "streaming": True})
        assert source.origin() == {"config": "main", "split": "test", "revision": "abc123"}
        assert source.where(1) == "org/set, row 1 (from 0)"

    def test_the_only_split_is_taken(self, load):
        load.answer = {"test": [{"a": 3}]}

        assert list(open_source("org/set").rows()) == [(0, {"a": 3})]

    def test_of_several_splits_one_must_be_chosen(self, load):
        load.answer = {"train": [], "test": []}

        with pytest.raises(SourceError, match="splits train, test; choose one with --hub-split"):
            list(open_source("org/set").rows())

    @pytest.mark.parametrize("error", [ConnectionError("no network"), ValueError("Config name is missing")])
    def test_what_its_libraries_say_is_shown(self, load, error):
        load.answer = error

        with pytest.raises(SourceError, match=f"org/set cannot be read from the hub: {type(error).__name__}: {error}"):
            list(open_source("org/set").rows())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.jsonl", "does not exist"),
        ("org/none.parquet", "does not exist"),
        ("math500", "does not exist; give a file, or a hub id"),
        (".", "is no file"),
    ],
)
def test_what_is_neither_a_file_nor_a_hub_id_is_refused(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SourceError, match=message):
        open_source(name)


def test_another_kind_of_file_is_refused_with_the_kinds_there_are(tmp_path):
    (tmp_path / "a.xlsx").touch()

    with pytest.raises(SourceError, match=r"a\.xlsx.*\.jsonl.*\.csv\.gz.*\.parquet"):
        open_source(str(tmp_path / "a.xlsx"))


def test_hub_options_beside_a_file_are_refused(tmp_path):
    (tmp_path / "a.jsonl").touch()

    with pytest.raises(SourceError, match="leave out --hub-config, --hub-split and --revision"):
        open_source(str(tmp_path / "a.jsonl"), Hub(split="test"))
