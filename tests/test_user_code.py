"""The user's own Python: a file or an installed module, loaded once."""

import pytest

from sinternal_verl.user_code import UserCodeError, load


@pytest.fixture
def file(tmp_path):
    return tmp_path / "mine.py"


def test_a_file_is_loaded_once_by_whatever_path_it_is_named(file, monkeypatch):
    file.write_text("made = object()")
    monkeypatch.chdir(file.parent)

    assert load(str(file)).made is load("mine.py").made


def test_two_files_of_one_name_are_two(file):
    other = file.parent / "other" / file.name
    other.parent.mkdir()
    file.write_text("value = 1")
    other.write_text("value = 2")

    assert (load(str(file)).value, load(str(other)).value) == (1, 2)


def test_a_file_may_hold_a_dataclass_whose_annotations_are_read_later(file):
    """dataclasses looks up the module of such a class."""
    file.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "@dataclass\nclass Mine:\n    value: int = 3\n"
    )

    assert load(str(file)).Mine().value == 3


def test_a_file_that_fails_is_tried_again(file):
    file.write_text("1 / 0")
    for _ in range(2):
        with pytest.raises(UserCodeError, match="cannot be imported: ZeroDivisionError"):
            load(str(file))
    file.write_text("value = 1  # mended")

    assert load(str(file)).value == 1


def test_what_is_no_python_file_says_so(tmp_path):
    (tmp_path / "mine.txt").write_text("value = 1")

    with pytest.raises(UserCodeError, match="its name must end in"):
        load(str(tmp_path / "mine.txt"))
