"""The user's own Python: a file or an installed module, loaded once."""

import pickle
import subprocess
import sys

import pytest
import verl  # noqa: F401 (its plugins are loaded with it)
from verl.utils.import_utils import load_extern_object

from sinternal_verl.user_code import UserCodeError, load

DATACLASS = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Mine:
    value: int = 3
"""


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


@pytest.mark.parametrize("name", ["mine.py", "my scorer.py", "wertung-ä.py", "a.b.py"])
def test_a_file_may_hold_a_dataclass_whose_annotations_are_read_later(tmp_path, name):
    """dataclasses looks up the module of such a class."""
    (tmp_path / name).write_text(DATACLASS)

    assert load(str(tmp_path / name)).Mine().value == 3


def test_verl_loads_the_same_file_as_the_same_module(file):
    """verl's own loader runs a file as a module that nobody can look up."""
    file.write_text(DATACLASS)

    for path in (str(file), f"file://{file}"):
        assert load_extern_object(path, "Mine") is load(str(file)).Mine
    with pytest.raises(AttributeError, match="Yours"):
        load_extern_object(str(file), "Yours")
    with pytest.raises(FileNotFoundError):
        load_extern_object("/nowhere.py", "Mine")


def test_what_a_file_defines_can_be_pickled_and_read_in_another_process(file, tmp_path):
    file.write_text(DATACLASS)
    (tmp_path / "pickled").write_bytes(pickle.dumps(load(str(file)).Mine(4)))
    read = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')))"
    command = [sys.executable, "-c", read, str(tmp_path / "pickled")]

    assert subprocess.run(command, capture_output=True, text=True, timeout=60).stdout == "Mine(value=4)\n"


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


def test_a_file_that_ends_its_process_is_refused(file):
    file.write_text("import sys\nsys.exit(3)")
    with pytest.raises(UserCodeError, match="SystemExit: 3"):
        load(str(file))
