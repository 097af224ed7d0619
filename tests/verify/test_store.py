"""Replies outlive the process that wrote them, and a file that is no store is left alone."""

import resource
import signal
import sqlite3
import subprocess
import sys

import pytest

from sinternal_verl.hashing import key_of
from sinternal_verl.verify.store import Reply, Store, StoreError

WRITES = """
import sys
from pathlib import Path
from sinternal_verl.hashing import key_of
from sinternal_verl.verify.store import Reply, Store
with Store(Path(sys.argv[1])) as store:
    for number in range(10**6):
        store.add(key_of(number), Reply("x" * 1000))
        print(number, flush=True)
"""


def test_what_was_added_is_there_again(tmp_path):
    reply = Reply("No.\n\ud7ff☺", "It asks for the lamp.", "length", 12, 3)
    with Store(tmp_path / "a" / "store.sqlite") as store:
        store.add(key_of("a"), reply)
    with Store(tmp_path / "a" / "store.sqlite") as store:
        assert store.get(key_of("a")) == reply and key_of("a") in store
        assert store.get(key_of("b")) is None and key_of("b") not in store


def test_the_first_reply_stays(tmp_path):
    with Store(tmp_path / "store.sqlite") as store:
        store.add(key_of("a"), Reply("first"))
        store.add(key_of("a"), Reply("second"))
        assert store.get(key_of("a")).text == "first" and len(store) == 1


def test_a_killed_process_loses_nothing_that_it_had_added(tmp_path):
    file = tmp_path / "store.sqlite"
    writer = subprocess.Popen([sys.executable, "-c", WRITES, str(file)], stdout=subprocess.PIPE, text=True)
    for _ in range(500):
        last = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    writer.wait(10)

    with Store(file) as store:
        assert all(key_of(number) in store for number in range(last + 1))


def test_a_full_disk_is_an_error_that_names_the_file_and_loses_nothing(tmp_path):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    file = tmp_path / "store.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", WRITES, str(file)], capture_output=True, text=True, preexec_fn=limit, timeout=60
    )

    assert f"StoreError: store={file} cannot be written" in done.stderr
    written = len(done.stdout.split())
    with Store(file) as store:
        assert written > 20 and len(store) == written


def test_two_processes_may_share_one(tmp_path):
    with Store(tmp_path / "store.sqlite") as one, Store(tmp_path / "store.sqlite") as other:
        one.add(key_of("a"), Reply("x"))
        other.add(key_of("b"), Reply("y"))
        assert other.get(key_of("a")).text == "x" and one.get(key_of("b")).text == "y"


@pytest.mark.parametrize("what", ["text", "another database", "a later version"])
def test_what_is_no_store_is_refused_and_left_as_it_is(tmp_path, what):
    file = tmp_path / "store.sqlite"
    if what == "text":
        file.write_text("Dear diary, " * 100)
    else:
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE mine (a)" if what == "another database" else "PRAGMA user_version = 9")
    before = file.read_bytes()

    with pytest.raises(StoreError, match="give another path"), Store(file):
        pass
    assert file.read_bytes() == before
