"""Two processes that fill one store at once pay once, and a process that is gone blocks nobody."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import pytest
from experts import Script, playing

from sinternal_verl.hashing import key_of
from sinternal_verl.verify import claims
from sinternal_verl.verify.fill import Filled, Request, fill
from sinternal_verl.verify.owner import Process
from sinternal_verl.verify.store import Reply, Store
from sinternal_verl.verify.turns import Turns
from sinternal_verl.verify.writer import Limits, WriterFailed

KEYS = [key_of(number) for number in range(5)]

HOLDS = """
import sys, time
from pathlib import Path
from sinternal_verl.hashing import key_of
from sinternal_verl.verify.store import Store
with Store(Path(sys.argv[1])) as store:
    print(len(store.claims.take([key_of(number) for number in range(3)])), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "store.sqlite"


@pytest.fixture
def holder(file):
    """Another process, which has claimed three keys."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(file)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "3\n"
    yield process
    process.kill()
    process.communicate()


def test_what_one_process_claims_no_other_may(file, holder):
    with Store(file) as store:
        assert store.claims.take(KEYS) == set(KEYS[3:])
        assert store.claims.holder(KEYS[0]).startswith(f"process {holder.pid} on ")
        assert store.claims.holder(key_of("free")) == ""


def test_claims_of_a_process_that_is_gone_are_free_although_nobody_has_waited_for_its_end(file, holder):
    holder.kill()
    time.sleep(0.2)
    with Store(file) as store:
        assert store.claims.take(KEYS) == set(KEYS)


def test_a_claim_ends_with_the_reply_with_a_failure_and_with_the_store(file):
    with Store(file) as one, Store(file) as other:
        assert one.claims.take(KEYS[:3]) == set(KEYS[:3])
        one.add(KEYS[0], Reply("x"))
        one.claims.drop([KEYS[1]])
        # What is stored is no longer to be asked for.
        assert other.claims.take(KEYS[:3]) == {KEYS[1]}
        one.claims.end()
        assert other.claims.take(KEYS[2:3])


def enter(store: Store, process: Process, key: bytes) -> None:
    store._run("INSERT INTO processes (id, process, beat) VALUES (7, ?, 0)", json.dumps(asdict(process)))
    store._run("INSERT INTO claims VALUES (?, 7)", key)


def test_a_process_of_another_machine_is_gone_when_it_no_longer_counts_up(file, monkeypatch):
    monkeypatch.setattr(claims, "EXPIRY_S", 0.3)
    with Store(file) as store:
        enter(store, replace(Process.here(), host="node7", machine="another"), KEYS[0])
        assert not store.claims.take(KEYS[:1])
        for _ in range(4):
            time.sleep(0.1)
            store._run("UPDATE processes SET beat = beat + 1 WHERE id = 7")
            assert not store.claims.take(KEYS[:1])
        time.sleep(0.4)
        assert store.claims.take(KEYS[:1])


def test_a_process_that_is_stopped_blocks_nobody_for_ever(file, holder, monkeypatch):
    monkeypatch.setattr(claims, "EXPIRY_S", 0.3)
    with Store(file) as store:
        assert not store.claims.take(KEYS[:1])
        time.sleep(0.4)
        assert store.claims.take(KEYS[:1])


def test_another_process_with_the_number_of_one_that_is_gone_is_another(file):
    with Store(file) as store:
        enter(store, replace(Process.here(), started="1"), KEYS[0])
        assert store.claims.take(KEYS[:1])


def test_a_process_counts_up_while_it_asks(file, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_S", 0.02)

    class Slow:
        async def write(self, messages, seed, cost):
            await asyncio.sleep(0.3)
            beats.append(store._run("SELECT beat FROM processes").fetchone()[0])
            return Reply("x")

        async def close(self): ...

    beats: list[int] = []
    with Store(file) as store:
        fill([Request(KEYS[0], [])], 1, store, Limits(1), Slow, "t")
    assert beats[0] > 3


class Scripted:
    """A writer whose replies are the messages; it may fail."""

    def __init__(self, fails: bool = False) -> None:
        self.asked, self.fails = [], fails

    async def write(self, messages, seed, cost):
        self.asked.append(messages)
        await asyncio.sleep(0.01)
        if self.fails:
            raise WriterFailed("scripted", "no")
        return Reply(messages)

    async def close(self): ...


def test_a_command_waits_for_what_another_asks_for_and_names_it(file, holder, capsys):
    writer = Scripted()
    requests = [Request(key, str(number)) for number, key in enumerate(KEYS)]

    async def both() -> Filled:
        filling = asyncio.to_thread(run, writer)
        task = asyncio.create_task(filling)
        await asyncio.sleep(1)
        assert not task.done() and sorted(writer.asked) == ["3", "4"]
        with Store(file) as store:
            store.add(KEYS[0], Reply("of the other"))
        holder.kill()
        return await task

    def run(writer) -> Filled:
        with Store(file) as store:
            return fill(requests, 5, store, Limits(2), lambda: writer, "answers")

    filled = asyncio.run(both())
    # One came from the other, and two are asked for because the other is gone.
    assert (filled.there, filled.sent, filled.complete) == (1, 4, True)
    assert sorted(writer.asked) == ["1", "2", "3", "4"]
    assert f"answers: waits for 3 replies that process {holder.pid} on " in capsys.readouterr().err


def test_what_failed_here_is_left_to_others_and_to_the_next_command(file):
    with Store(file) as store, Store(file) as other:
        failed = fill([Request(KEYS[0], "0")], 1, store, Limits(1), lambda: Scripted(fails=True), "t")
        assert failed.failures == {"scripted": 1} and other.claims.take(KEYS[:1])


def test_no_model_is_loaded_for_what_another_asks_for(file, holder):
    def load():
        raise AssertionError("a model was loaded")

    def come() -> None:
        time.sleep(1)
        with Store(file) as store:
            store.add(KEYS[0], Reply("x"))

    coming = threading.Thread(target=come)
    coming.start()
    with Store(file) as store:
        assert fill([Request(KEYS[0], "0")], 1, store, Limits(1), load, "t").there == 1
    coming.join()


def test_requests_are_shared_by_processes_that_ask_at_once(tmp_path):
    code = """
import sys
from pathlib import Path
from sinternal_verl.hashing import key_of
from sinternal_verl.verify.fill import Request, fill
from sinternal_verl.verify.store import Store
from sinternal_verl.verify.endpoint_writer import open_writer
from sinternal_verl.verify.writer import WriterSettings
who = WriterSettings("m", sys.argv[2], None, {}, 8, 30.0, 0, None, None, {})
requests = [Request(key_of(n), [{"role": "user", "content": str(n)}]) for n in range(200)]
with Store(Path(sys.argv[1])) as store:
    filled = fill(requests, 200, store, who.limits, lambda: open_writer(who), "t")
print(filled.sent, filled.there, filled.complete)
"""
    with playing(Script(lambda body: "Hm.", delay_s=0.05)) as script:
        command = [sys.executable, "-c", code, str(tmp_path / "store.sqlite"), script.url]
        many = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(3)
        ]
        said = [process.communicate(timeout=120)[0].split() for process in many]

    assert set(script.asked.values()) == {1} and len(script.asked) == 200
    assert all(int(sent) + int(there) == 200 and complete == "True" for sent, there, complete in said)
    assert sum(int(sent) for sent, _, _ in said) == 200


def test_a_request_may_stand_for_another_that_comes_up_later(file):
    """The second is sent only where the first has a reply, and its reply is none."""
    second = {KEYS[0]: Request(KEYS[1], "1")}

    def missing(request: Request) -> Request | None:
        reply = store.get(request.key)
        if reply is None:
            return request
        return missing(second[request.key]) if not reply.text and request.key in second else None

    there: list[Request] = []

    async def take() -> list[str]:
        turns = Turns([Request(KEYS[0], "0")], store, 4, there.append, lambda: None, lambda whom: None, missing)
        found = []
        while (request := await turns.next()) is not None:
            found.append(request.messages)
            await store.keep(request.key, Reply(""))
            turns.done(request)
            if request.key in second:
                turns.add(second[request.key])
        return found

    with Store(file) as store:
        assert asyncio.run(take()) == ["0", "1"] and there == []
        assert asyncio.run(take()) == [] and len(there) == 1
