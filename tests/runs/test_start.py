"""What a run says of its parts while it starts."""

import logging
import os
import re
import subprocess
import sys

import psutil
import pytest

from sinternal_verl.runs import start

LINE = re.compile(r"start: (?P<part>.+) up after (?P<seconds>\d+) s\n")


@pytest.fixture(autouse=True)
def no_start(monkeypatch):
    monkeypatch.delenv(start.STARTED, raising=False)


def test_a_part_is_a_line_by_itself(capsys):
    start.begin_start()
    start.say_up("guard replica 1 of 2")

    line = LINE.fullmatch(capsys.readouterr().out)
    assert line["part"] == "guard replica 1 of 2"


def test_the_seconds_count_from_the_start_of_the_driver_in_its_children_too(monkeypatch):
    begun = psutil.Process().create_time() - 1000
    monkeypatch.setenv(start.STARTED, str(begun))
    code = "from sinternal_verl.runs.start import say_up; say_up('child')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)

    assert int(LINE.fullmatch(done.stdout)["seconds"]) >= 1000


def test_an_earlier_runs_start_is_not_counted_from(monkeypatch):
    monkeypatch.setenv(start.STARTED, "0")
    start.begin_start()

    assert float(os.environ[start.STARTED]) == psutil.Process().create_time()


def test_what_a_library_logs_of_a_part_is_its_line(capsys):
    logger = logging.getLogger("tests.start")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler := start.SayWhenLogged({"it is up": "training worker"}))
    try:
        logger.info("it is %s", "up")
        logger.info("it is not")
    finally:
        logger.removeHandler(handler)

    assert LINE.fullmatch(capsys.readouterr().out)["part"] == "training worker"


def test_without_a_driver_the_seconds_count_from_the_process(capsys):
    start.say_up("trainer")

    assert int(LINE.fullmatch(capsys.readouterr().out)["seconds"]) < 3600
