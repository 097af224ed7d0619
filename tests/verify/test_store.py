"""Replies outlive the process that wrote them, and a file that is no store is left alone."""

import asyncio
import errno
import json
import resource
import signal
import sqlite3
import subprocess
import sys
from dataclasses import asdict, replace

import failing_locks
import pytest

from sinternal_verl.hashing import GROUP_BYTES, key_in, key_of
from sinternal_verl.verify import filesystem
from sinternal_verl.verify.owner import Process
from sinternal_verl.verify.store import FORMAT, REPLIES, Reply, Store, StoreError


def failing(error: int) -> list[str]:
    """The beginning of a command under which locks fail."""
    if not failing_locks.here():
        pytest.skip("this machine filters no system calls")
    return [sys.executable, failing_locks.__file__, str(error)]


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


@pytest.mark.parametrize("what", ["text", "another database", "a later version", "one of this number"])
def test_what_is_no_store_is_refused_and_left_as_it_is(tmp_path, what):
    file = tmp_path / "store.sqlite"
    if what == "text":
        file.write_text("Dear diary, " * 100)
    else:
        with sqlite3.connect(file) as connection:
            made = {"another database": "CREATE TABLE mine (a)", "a later version": "PRAGMA user_version = 9"}
            connection.execute(made.get(what, f"PRAGMA user_version = {FORMAT}"))
    before = file.read_bytes()

    with pytest.raises(StoreError, match="give another path"), Store(file):
        pass
    assert file.read_bytes() == before


def test_a_group_has_replies_or_none(tmp_path):
    one, other = key_of("a", size=GROUP_BYTES), key_of("b", size=GROUP_BYTES)
    with Store(tmp_path / "store.sqlite") as store:
        store.add(key_in(one, "x"), Reply("x"))
        assert store.has_any(one) and not store.has_any(other)


def test_replies_that_come_at_one_moment_are_committed_together(tmp_path):
    async def keep(store, count):
        await asyncio.gather(*(store.keep(key_of(number), Reply(str(number))) for number in range(count)))
        assert store.get(key_of(count - 1)).text == str(count - 1)

    with Store(tmp_path / "store.sqlite") as store:
        statements: list[str] = []
        store._connection.set_trace_callback(statements.append)
        asyncio.run(keep(store, 50))
        store._connection.set_trace_callback(None)
        assert len(store) == 50 and statements.count("COMMIT") == 1


OPENS = """
import sys, time
from pathlib import Path
from sinternal_verl.verify.store import Reply, Store
print("ready", flush=True)
for line in sys.stdin:
    try:
        with Store(Path(line.strip())) as store:
            store.add(sys.argv[1].encode(), Reply(sys.argv[1]))
            print("ok", flush=True)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", flush=True)
"""

PROCESSES, ROUNDS = 6, 30


def test_processes_that_open_a_fresh_store_at_once_all_have_it(tmp_path):
    many = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for number in range(PROCESSES)
    ]
    try:
        assert {process.stdout.readline() for process in many} == {"ready\n"}
        for number in range(ROUNDS):
            file = tmp_path / str(number) / "store.sqlite"
            for process in many:
                process.stdin.write(f"{file}\n")
                process.stdin.flush()
            assert [process.stdout.readline() for process in many] == ["ok\n"] * PROCESSES
            with Store(file) as store:
                assert len(store) == PROCESSES
    finally:
        for process in many:
            process.kill()
            process.communicate()


KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from sinternal_verl.verify import store

left = int(sys.argv[2])

def die(statement):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

connect = store._connect
def traced(name):
    connection = connect(name)
    connection.set_trace_callback(die)
    return connection
store._connect = traced

with store.Store(Path(sys.argv[1])) as opened:
    opened.claims.take([b"k"])
    opened.add(b"k", store.Reply("x"))
print("alive")
"""


@pytest.mark.parametrize("locks", [True, False])
def test_a_kill_between_any_two_statements_ruins_nothing(tmp_path, locks):
    wrapped = [] if locks else failing(errno.ENOSYS)
    for number in range(100):
        file = tmp_path / f"{number}.sqlite"
        command = [*wrapped, sys.executable, "-c", KILLED, str(file), str(number)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if "alive" in done.stdout:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        again = subprocess.run(
            [*wrapped, sys.executable, "-c", KILLED, str(file), "1000"], capture_output=True, text=True
        )
        assert "alive" in again.stdout, (number, again.stderr)
        with Store(file) as store:
            assert store.get(b"k") == Reply("x") and len(store) == 1
    assert number > 10


def test_a_store_that_an_earlier_version_was_killed_over_is_made_whole(tmp_path):
    file = tmp_path / "store.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute(REPLIES.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))

    with Store(file) as store:
        store.add(b"k", Reply("x"))
    with Store(file) as store:
        assert len(store) == 1


@pytest.mark.parametrize("read_only", [False, True])
def test_replies_of_an_earlier_version_are_refused_and_left_as_they_are(tmp_path, read_only):
    file = tmp_path / "store.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute(REPLIES)
        connection.execute("INSERT INTO replies VALUES (x'00', 'text', '', 'stop', 1, 1)")
        connection.execute("PRAGMA user_version = 1")
    before = file.read_bytes()

    with (
        pytest.raises(StoreError, match="holds 1 replies of an earlier version"),
        Store(file, read_only),
    ):
        pass
    assert file.read_bytes() == before


def test_one_that_is_only_read_is_neither_made_nor_changed(tmp_path):
    file = tmp_path / "a" / "store.sqlite"
    with Store(file, read_only=True) as store:
        assert len(store) == 0 and store.get(b"k") is None
    assert not file.parent.exists()
    with Store(file) as store:
        store.add(b"k", Reply("x"))
    before = file.read_bytes()
    with Store(file, read_only=True) as store:
        assert len(store) == 1
    assert file.read_bytes() == before and [path.name for path in file.parent.iterdir()] == ["store.sqlite"]


def test_a_file_that_is_still_empty_has_no_replies(tmp_path):
    file = tmp_path / "store.sqlite"
    file.touch()
    with Store(file, read_only=True) as store:
        assert len(store) == 0
    assert file.read_bytes() == b""


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_locks_fail_it_has_one_owner_at_a_time_who_is_named(tmp_path, error):
    file = tmp_path / "store.sqlite"
    owner = subprocess.Popen(
        [*failing(error), sys.executable, "-c", WRITES, str(file)], stdout=subprocess.PIPE, text=True
    )
    for _ in range(50):
        last = int(owner.stdout.readline())
    command = [*failing(error), sys.executable, "-c", WRITES, str(file)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60)
    # A machine whose locks work sees the owner, too.
    with pytest.raises(StoreError, match=f"process {owner.pid} on "), Store(file):
        pass
    owner.kill()
    owner.wait(10)

    assert f"StoreError: store={file} is in use: process {owner.pid} on " in second.stderr
    assert second.stderr.rstrip().endswith("one process at a time may have it; wait for its end")
    # The file of an owner that is gone is in nobody's way.
    third = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert third.stdout.readline() == "0\n"
    third.kill()
    third.communicate()
    with Store(file) as store:
        assert all(key_of(number) in store for number in range(last + 1))


def test_an_owner_on_another_machine_is_named_with_the_file_to_delete(tmp_path):
    file, claim = tmp_path / "store.sqlite", tmp_path / "store.sqlite.owner"
    claim.write_text(json.dumps(asdict(replace(Process.here(), host="node7", machine="another"))))
    done = subprocess.run(
        [*failing(errno.ENOSYS), sys.executable, "-c", WRITES, str(file)], capture_output=True, text=True, timeout=60
    )

    assert "process" in done.stderr and "on node7" in done.stderr and f"delete {claim} if it is gone" in done.stderr
    assert claim.exists() and not file.exists()
    claim.write_text("")
    with pytest.raises(StoreError, match="does not say by whom; delete it"), Store(file):
        pass


@pytest.mark.parametrize(
    ("line", "local", "shares_locks"),
    [
        ("36 35 98:0 / {} rw,noatime - ext4 /dev/sda1 rw", True, True),
        ("36 35 98:0 / {} rw - overlay overlay rw,lowerdir=/a", True, True),
        ("36 35 98:0 / {} rw - nfs4 server:/home rw,vers=4.2,local_lock=none", False, True),
        ("36 35 98:0 / {} rw - nfs server:/home rw,nolock", False, False),
        ("36 35 98:0 / {} rw - lustre mds:/scratch rw,flock", False, True),
        ("36 35 98:0 / {} rw - lustre mds:/scratch rw,localflock", False, False),
        ("36 35 98:0 / {} rw - gpfs gpfs0 rw", False, True),
        ("36 35 98:0 / {} rw - fuse.sshfs me@host: rw", False, False),
        ("36 35 98:0 / {} rw shared:1 master:2 - beegfs beegfs_nodev rw", False, False),
        ("36 35 98:0 / /elsewhere rw - ext4 /dev/sda1 rw", False, True),
    ],
)
def test_what_a_mount_can_do(tmp_path, monkeypatch, line, local, shares_locks):
    folder = tmp_path / "a folder"
    folder.mkdir()
    mounts = tmp_path / "mountinfo"
    mounts.write_text(line.format(str(folder).replace(" ", "\\040")) + "\n")
    monkeypatch.setattr(filesystem, "MOUNTS", mounts)
    mount = filesystem.mount_of(folder)

    assert (mount.local, mount.shares_locks) == (local, shares_locks)


@pytest.mark.parametrize(("kind", "journal"), [("ext4", "wal"), ("nfs4", "truncate"), ("fuse.sshfs", "truncate")])
def test_the_journal_is_one_that_works_there_also_for_a_copy_of_elsewhere(tmp_path, monkeypatch, kind, journal):
    file = tmp_path / "store.sqlite"
    with Store(file) as store:
        store.add(b"k", Reply("x"))
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"36 35 98:0 / / rw - {kind} somewhere rw\n")
    monkeypatch.setattr(filesystem, "MOUNTS", mounts)
    with Store(file) as store:
        assert store._connection.execute("PRAGMA journal_mode").fetchone() == (journal,)
        assert len(store) == 1 and (tmp_path / "store.sqlite.owner").exists() == (kind == "fuse.sshfs")
    assert not (tmp_path / "store.sqlite.owner").exists()
