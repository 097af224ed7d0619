"""A line that cannot be read is counted, and the others are read."""

import gzip
import io

import pytest

from sinternal_verl.report import lines
from sinternal_verl.report.lines import Skipped, json_lines


def read(file):
    skipped = Skipped()
    return [line.object for line in json_lines(file, skipped)], skipped.words()


@pytest.mark.parametrize(
    ("content", "objects"),
    [
        (b"", []),
        (b"\n\n  \n", []),
        (b'{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        (b'{"a": 1}', [{"a": 1}]),
        (b'\xef\xbb\xbf{"a": 1}\r\n{"a": 2}\r\n', [{"a": 1}, {"a": 2}]),
        (b'{"a": Infinity}\n', [{"a": float("inf")}]),
        (b'{"a": 1, "a": 2}\n', [{"a": 2}]),
        (b'{"a": "\\ud800"}\n', [{"a": "\ud800"}]),
        (b'{"a": "\xff"}\n', [{"a": "\ufffd"}]),
        ('{"a": "\u2028\u0085"}\n'.encode(), [{"a": "\u2028\u0085"}]),
    ],
    ids=["empty", "blank", "two", "no end", "BOM and CRLF", "infinity", "twice", "surrogate", "no UTF-8", "separators"],
)
def test_whatever_is_json_is_read(tmp_path, content, objects):
    file = tmp_path / "3.jsonl"
    file.write_bytes(content)

    assert read(file) == (objects, ())


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (b'{"a": \n', "it is no JSON"),
        (b"[1, 2]\n", "it is a list, not an object"),
        (b"null\n", "it is null, not an object"),
        (b'{"a": ' + b"9" * 5000 + b"}\n", "it is no JSON"),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}\n", "it is no JSON"),
    ],
    ids=["half", "list", "null", "huge number", "deep"],
)
def test_a_broken_line_in_the_middle_is_told_with_its_number(tmp_path, broken, why):
    file = tmp_path / "3.jsonl"
    file.write_bytes(b'{"a": 1}\n' + broken + b'{"a": 3}\n')
    objects, said = read(file)

    assert [one for one in objects if one] == [{"a": 1}, {"a": 3}]
    assert said[0] == f"{file}, line 2: {why}"


def test_a_last_line_that_is_still_being_written_is_told(tmp_path):
    file = tmp_path / "3.jsonl"
    file.write_bytes(b'{"a": 1}\n{"a": 2, "b"')

    assert read(file) == ([{"a": 1}], (f"{file}, line 2: its end is not written yet",))


def test_a_line_that_is_written_while_it_is_read_is_the_last(tmp_path):
    """Its writer goes on after our read met the file's end: the rest is no line, and no later line is read."""

    class Grows(io.BytesIO):
        def readline(self, size=-1):
            line = super().readline(size)
            if not line.endswith(b"\n"):
                place = self.tell()
                self.seek(0, io.SEEK_END)
                self.write(b'2}\n{"a": 3}\n')
                self.seek(place)
            return line

    skipped = Skipped()
    found = list(lines._lines_of(Grows(b'{"a": 1}\n{"a": '), tmp_path / "metrics.jsonl", skipped))
    assert [line.object for line in found] == [{"a": 1}]
    assert skipped.words() == (f"{tmp_path / 'metrics.jsonl'}, line 2: its end is not written yet",)


def test_a_file_in_utf_16_is_told(tmp_path):
    (tmp_path / "3.jsonl").write_text('{"a": 1}\n{"a": 2}\n', encoding="utf-16")
    objects, said = read(tmp_path / "3.jsonl")

    assert objects == [] and said[0].endswith("line 1: it is no JSON")


def test_a_line_beyond_the_limit_is_left_out_and_never_held_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 2**20)
    file = tmp_path / "3.jsonl"
    file.write_bytes(b'{"a": "' + b"x" * 5 * 2**20 + b'"}\n{"a": 2}\n')
    objects, said = read(file)

    assert objects == [{"a": 2}] and said == (f"{file}, line 1: it has 5 MiB, above the 1",)


def test_a_gzipped_file_is_read_and_one_that_is_cut_off_as_far_as_it_goes(tmp_path):
    whole, cut = tmp_path / "1.jsonl.gz", tmp_path / "2.jsonl.gz"
    whole.write_bytes(gzip.compress(b'{"a": 1}\n' * 1000))
    cut.write_bytes(whole.read_bytes()[:-12])
    (tmp_path / "3.jsonl.gz").write_bytes(b"no gzip")

    assert read(whole) == ([{"a": 1}] * 1000, ())
    assert read(cut)[1][0].startswith(f"{cut}: it cannot be read to its end: ")
    assert read(tmp_path / "3.jsonl.gz")[1][0].endswith("Not a gzipped file (b'no')")


def test_a_file_that_is_gone_is_told(tmp_path):
    objects, (said,) = read(tmp_path / "gone.jsonl")

    assert objects == [] and "No such file" in said


def test_where_a_line_was_is_where_it_is_found_again(tmp_path):
    file = tmp_path / "3.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\nbroken\n{"a": "\xc3\xa9"}\n{"a": 3}')
    content = file.read_bytes()
    found = list(json_lines(file, Skipped()))

    assert [line.number for line in found] == [1, 4, 5]
    for line in found:
        assert lines.parse(content[line.start : line.start + line.size].removeprefix(lines.BOM)) == line.object


def test_many_broken_lines_are_told_by_their_number(tmp_path):
    (tmp_path / "3.jsonl").write_text("broken\n" * 5000)
    said = read(tmp_path / "3.jsonl")[1]

    assert len(said) == lines.MAX_TOLD + 1 and said[-1] == "and 4,980 more"
