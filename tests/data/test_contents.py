"""A file is read by what it holds, whatever its name; what cannot be read is named, with what to do."""

import gzip
import json
import random
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sinternal_verl.commands.data import check, mix_files
from sinternal_verl.data.contents import foreign
from sinternal_verl.data.readers import SourceError, Unreadable, open_source
from sinternal_verl.doctor.data import open_files

ROWS = [{"a": "one é"}, {"a": "two"}, {"a": "three"}]
LINES = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
CSV = "a,b\none é,1\ntwo,2\n"
PAGE = b"\n<!DOCTYPE html>\n<html><head><title>Log in</title></head></html>\n"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12\n"


def opened(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_source(str(path))


def rows_of(path, content):
    return [row for _, row in opened(path, content).rows()]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
class TestEncodings:
    def test_json_is_read_in_each(self, tmp_path, encoding, packed):
        pack = gzip.compress if packed else bytes
        name = "a.jsonl.gz" if packed else "a.jsonl"

        assert rows_of(tmp_path / name, pack(LINES.encode(encoding))) == ROWS
        assert rows_of(tmp_path / name, pack(LINES.replace("\n", "\r\n").encode(encoding))) == ROWS
        assert rows_of(tmp_path / name, pack(json.dumps(ROWS, indent=2).encode(encoding))) == ROWS

    def test_csv_is_read_in_each(self, tmp_path, encoding, packed):
        content = CSV.encode(encoding)

        assert rows_of(tmp_path / "a.csv", gzip.compress(content) if packed else content) == [
            {"a": "one é", "b": "1"},
            {"a": "two", "b": "2"},
        ]


def test_lines_keep_their_numbers_in_utf_16(tmp_path):
    source = opened(tmp_path / "a.jsonl", '{"a": 1}\n\n{"a"\n{"a": 2}'.encode("utf-16"))
    numbers = [number for number, _ in source.rows()]

    assert numbers == [1, 3, 4] and source.where(3).endswith("line 3")


def test_utf_16_that_breaks_off_is_an_error_that_says_how_far_it_was_read(tmp_path):
    with pytest.raises(SourceError, match="cannot be read after line"):
        rows_of(tmp_path / "a.jsonl", (LINES * 5000).encode("utf-16")[:-1])


def test_a_name_may_say_packed_of_a_file_that_is_not_and_not_of_one_that_is(tmp_path):
    assert (
        rows_of(tmp_path / "a.jsonl.gz", LINES) == rows_of(tmp_path / "a.jsonl", gzip.compress(LINES.encode())) == ROWS
    )


class TestJsonOverLines:
    @pytest.mark.parametrize(
        "content",
        [
            json.dumps(ROWS, indent=2),
            "\n".join(json.dumps(row, indent=2) for row in ROWS),
            "\n".join("\n" + json.dumps(row, indent=2) + "\n" for row in ROWS),
            "".join(map(json.dumps, ROWS)),
            "\r".join(map(json.dumps, ROWS)),
            f"{json.dumps(ROWS[:1])}\n{json.dumps(ROWS[1:])}",
            '{\n"a":\n"one é"}{"a": "two"}\n{"a":"three"\n}',
        ],
        ids=["array", "objects", "blank lines", "one line", "old line ends", "arrays", "broken anywhere"],
    )
    @pytest.mark.parametrize("ending", [".json", ".jsonl"])
    def test_its_rows_count_from_zero(self, tmp_path, content, ending):
        assert list(opened(tmp_path / f"a{ending}", content).rows()) == list(enumerate(ROWS))

    @pytest.mark.parametrize(
        ("first", "second"),
        [('{"a": 1', '{"a": 2}'), ("{", "no JSON"), ('{"a": "x', '{"a": 2}'), ('{"a": 1', ""), ("{", "")],
    )
    def test_a_broken_first_line_is_a_bad_row_of_a_file_of_lines(self, tmp_path, first, second):
        rows = list(opened(tmp_path / "a.jsonl", f"{first}\n{second}\n").rows())

        assert rows[0][0] == 1 and rows[0][1].reason.startswith("is no JSON")

    def test_one_that_breaks_off_says_where(self, tmp_path):
        with pytest.raises(SourceError, match=r"holds JSON that breaks off or is none: .*line 7 column 1"):
            rows_of(tmp_path / "a.json", "".join(json.dumps(row, indent=1) for row in ROWS)[:-2] + "\n")

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ({"a": {"0": "x", "1": "y"}, "b": {"0": "x", "1": "y"}}, "holds columns, not rows; .*orient='records'"),
            ({"a": ["x", "y"], "b": ["x", "y"]}, "holds columns, not rows; .*orient='records'"),
            ({"r1": {"a": "x"}, "r2": {"a": "y"}}, "holds its rows by name; .*jq"),
        ],
        ids=["pandas", "lists", "by name"],
    )
    @pytest.mark.parametrize("indent", [None, 1])
    def test_one_object_that_is_no_row_is_named(self, tmp_path, value, reason, indent):
        with pytest.raises(SourceError, match=reason):
            rows_of(tmp_path / "a.json", json.dumps(value, indent=indent))

    @pytest.mark.parametrize(
        "row",
        [
            {"prompt": [{"role": "user", "content": "1+1?"}], "answer": [{"role": "assistant", "content": "2"}]},
            {"reward_model": {"ground_truth": "2"}, "extra_info": {"index": "0"}},
            {"a": "x", "b": ["x"]},
            {"extra_info": {"index": "0"}},
        ],
    )
    def test_one_row_is_one(self, tmp_path, row):
        assert rows_of(tmp_path / "a.json", json.dumps(row)) == [row]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"a": 1, "b": {}, "a": 2}', "names 'a' twice"),
        ('{"b": {"c": 1, "c": 1}}', "names 'c' twice"),
        ("{'a': None}", "is no JSON but Python, with other quotes; write it with json.dumps"),
        ('{"a": 1}, {"a": 2}', "is no JSON: Extra data"),
        ('{"a": 1},,', "is no JSON: Extra data"),
    ],
)
def test_a_line_that_json_or_python_would_read_otherwise_is_a_bad_row(tmp_path, line, reason):
    rows = rows_of(tmp_path / "a.jsonl", f'{{"a": 0}}\n{line}\n{{"a": 3}}')

    assert reason in rows[1].reason and rows[::2] == [{"a": 0}, {"a": 3}]


def test_a_comma_behind_each_line_is_no_part_of_it(tmp_path):
    assert rows_of(tmp_path / "a.jsonl", '{"a": 1},\n{"a": 2} , \n{"a": 3}') == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_a_name_that_is_there_twice_in_an_array_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="an object names 'a' twice"):
        rows_of(tmp_path / "a.json", '[{"a": 1},\n{"a": 1, "a": 2}]')


class TestDelimiters:
    @pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
    @pytest.mark.parametrize("ending", [".csv", ".tsv"])
    def test_the_header_tells_what_separates_the_columns(self, tmp_path, mark, ending):
        content = CSV.replace(",", mark).replace("two", '"two, three"')

        assert rows_of(tmp_path / f"a{ending}", content)[1] == {"a": "two, three", "b": "2"}

    @pytest.mark.parametrize(
        "content",
        [
            "sep=;\r\na;b\r\none é;1\r\ntwo;2",
            "\n \na,b\none é,1\ntwo,2",
            "a , b\none é, 1\ntwo,2",
            'a, "b"\none é, "1"\ntwo,2',
        ],
        ids=["Excel", "blank lines before it", "spaces", "quotes behind spaces"],
    )
    def test_what_stands_around_the_header_is_no_part_of_it(self, tmp_path, content):
        assert rows_of(tmp_path / "a.csv", content) == [{"a": "one é", "b": "1"}, {"a": "two", "b": "2"}]

    def test_a_header_that_comes_again_is_a_bad_row(self, tmp_path):
        rows = rows_of(tmp_path / "a.csv", f"{CSV}\ufeff{CSV}")

        assert [row if isinstance(row, dict) else row.reason for row in rows[2:4]] == [
            "is the header once more",
            {"a": "one é", "b": "1"},
        ]

    def test_columns_without_a_name_may_be_several(self, tmp_path):
        assert rows_of(tmp_path / "a.csv", ",,a\n0,1,x\n") == [{"": "1", "a": "x"}]

    def test_a_text_in_place_of_a_header_is_not_cut(self, tmp_path):
        text = "On market days the ducks may cross; the geese, however, may not."

        (row,) = rows_of(tmp_path / "a.tsv", f"{text}\nMay they?\n")
        assert row == {text: "May they?"}

    def test_one_column_is_one(self, tmp_path):
        assert rows_of(tmp_path / "a.csv", "a\none; two\n") == [{"a": "one; two"}]


def zip_of(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return path.read_bytes()


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (PAGE, "is a web page, not data; download"),
        (POINTER, "is a pointer of Git LFS, not the file itself; fetch the file with `git lfs pull`"),
        (b"../.git/annex/objects/x", "is a pointer of git-annex"),
        (b"<?xml version='1.0'?><Error/>", "is XML"),
        (b"\0" * 10_000, "holds zero bytes, it was not written to its end; fetch it again"),
        (b"\x28\xb5\x2f\xfd....", "is packed with zstd; unpack it with `zstd -d`"),
        (b"BZh91AY&SY", "is packed with bzip2"),
        (b"\x80\x04\x95\x10\0\0", "is a pickle, which can run code and is not read"),
        (b"ARROW1\0\0", "is an Arrow file; write it as parquet"),
        (b"x" * 257 + b"ustar", "is a tar archive"),
    ],
)
def test_what_is_no_data_is_named(tmp_path, ending, content, reason):
    with pytest.raises(SourceError, match=rf"a\{ending} {reason}"):
        opened(tmp_path / f"a{ending}", content)


@pytest.mark.parametrize("ending", [".csv", ".xlsx", ".jsonl", ".zip"])
def test_an_archive_is_named_by_what_it_holds(tmp_path, ending):
    for names, reason in {
        ("[Content_Types].xml", "xl/workbook.xml"): "is an Excel workbook; save its sheet as CSV",
        ("mimetype", "content.xml"): "is a document of an office program",
        ("a.jsonl", "b.jsonl"): "is a zip archive of 2 files; unpack it",
    }.items():
        with pytest.raises(SourceError, match=reason):
            opened(tmp_path / f"a{ending}", zip_of(tmp_path / "made.zip", *names))


@pytest.mark.parametrize("ending", [".csv", ".jsonl.gz", ".txt"])
def test_a_broken_archive_is_named(tmp_path, ending):
    with pytest.raises(SourceError, match="is a broken zip archive or Excel workbook; fetch it again"):
        opened(tmp_path / f"a{ending}", zip_of(tmp_path / "made.zip", "a.jsonl")[:40])
    with pytest.raises(SourceError, match=r"cannot be read|this kind of file"):
        rows_of(tmp_path / f"a{ending}", gzip.compress(LINES.encode())[:12] + b"\xff" * 40)


def broken(content, rng):
    """The content with some bytes changed, left out or written twice."""
    content = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        place = rng.randint(0, len(content))
        length = rng.randint(0, 9)
        content[place : place + length] = rng.choice(
            [
                b"",
                rng.randbytes(length),
                bytes(content[:length]) * 2,
                b"\0",
                b'"',
                b"{",
                b"\xff\xfe",
                b'{"a":',
                b"\r",
                b"\x1f\x8b",
            ]
        )
    return bytes(content)


def test_of_broken_files_come_rows_or_an_error_that_names_them(tmp_path):
    rng, kinds = random.Random(1), (".jsonl", ".json.gz", ".csv", ".parquet", ".txt")
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "made.parquet")
    made = [(tmp_path / "made.parquet").read_bytes(), gzip.compress(LINES.encode()), zip_of(tmp_path / "z", "a")]
    made += [text.encode(code) for text in (LINES, CSV, json.dumps(ROWS, indent=1)) for code in ("utf-8", "utf-16")]
    for number in range(600):
        path = tmp_path / f"a{kinds[number % len(kinds)]}"
        try:
            rows = rows_of(path, broken(made[number % len(made)], rng))
        except SourceError as error:
            assert path.name in str(error)
        else:
            assert all(isinstance(row, dict | Unreadable) for row in rows)


def test_a_parquet_file_and_json_under_another_name_are_named(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    parquet = (tmp_path / "a.parquet").read_bytes()

    for name, content, reason in (
        ("b.csv", parquet, "is a parquet file; end its name in .parquet"),
        ("b.parquet", gzip.compress(parquet), "is packed with gzip as a whole"),
        ("b.parquet", LINES, "is JSON; end its name in .jsonl"),
        ("b.csv", LINES, "is JSON; end its name in .jsonl"),
        ("b.txt", LINES, "is JSON; end its name in .jsonl"),
        ("b.parquet", "a,b\n1,2\n", "is no parquet file, which would begin with PAR1; fetch it again, or end its name"),
        ("b.parquet", "", "is empty"),
        ("b.parquet", parquet[:-9], "is no complete parquet file, which would end in PAR1; fetch it again"),
        ("b.parquet", b"PARE" + parquet[4:], "is an encrypted parquet file"),
    ):
        with pytest.raises(SourceError, match=reason):
            opened(tmp_path / name, content)


@pytest.mark.parametrize(
    "header", [b"PARENT,a", b"PAR1,a", b"\xef\xbb\xbfversion,a", b"{a},b", b"[a],b", b"<b>,a", b"BZh,a"]
)
def test_a_header_that_looks_like_it_is_one(header):
    assert foreign(header + b"\n1,2\n", ".csv") is None


def test_mix_doctor_and_check_say_the_same(tmp_path, capsys):
    (tmp_path / "a.parquet").write_bytes(POINTER)
    file, said = (
        str(tmp_path / "a.parquet"),
        "is a pointer of Git LFS, not the file itself; fetch the file with `git lfs",
    )

    assert mix_files([f"{file}=all"], str(tmp_path / "out.parquet"), [], seed=1, ngram=13) == 2
    assert f"--part {file} {said}" in capsys.readouterr().err
    assert check(file, []) == 2
    assert said in capsys.readouterr().err
    (problem,) = open_files("data.train_files", [file], json_too=True)[1]
    assert f"{problem.reason}; {problem.next_step}".startswith(said)
