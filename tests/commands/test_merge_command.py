"""`sinternal-verl verify merge`: the parts of an array become what one build would have made."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from experts import Script, keeper, playing, warden

from sinternal_verl.cli import main
from sinternal_verl.overrides import override
from sinternal_verl.verify.build import Build
from sinternal_verl.verify.requests import Prompts
from sinternal_verl.verify.settings import build_settings, compose_build, share_of
from sinternal_verl.verify.store import Reply, Store
from sinternal_verl.world import lighthouse

PARTS = 5


@pytest.fixture(scope="module")
def servers():
    with playing(Script(keeper)) as policy, playing(Script(warden)) as expert:
        yield policy, expert


@pytest.fixture
def words(tmp_path, servers):
    """A function from a folder's name and further words to those of a build in that folder."""
    policy, expert = servers
    prompts = lighthouse.write_datasets(tmp_path / "data", seed=1, held_out=8)["held_out"]

    def make(out: str, *more: str) -> list[str]:
        return [
            *(override("prompts", prompts), override("out", tmp_path / out), "samples=4", "fraction=0.5"),
            *("policy.model=keeper", f"policy.url={policy.url}"),
            *("expert.model=warden", f"expert.url={expert.url}"),
            *more,
        ]

    return make


@pytest.fixture
def build_parts(words):
    def build(numbers=range(PARTS), parts: int = PARTS, out: str = "array", *more: str) -> None:
        for part in numbers:
            assert main(["verify", "build", *words(f"{out}/part-{part}", f"shard={part}/{parts}", *more)]) == 0

    return build


def asked(servers) -> int:
    return sum(sum(server.asked.values()) for server in servers)


def test_the_parts_become_what_one_build_makes(words, build_parts, servers, tmp_path):
    build_parts()
    before = asked(servers)
    for _ in range(2):
        assert main(["verify", "merge", *words("array")]) == 0
    assert asked(servers) == before

    assert main(["verify", "build", *words("whole")]) == 0
    for name in ("train.parquet", "README.md", "report.png"):
        assert (tmp_path / "array" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    records = [json.loads((tmp_path / out / "build.json").read_text()) for out in ("array", "whole")]
    assert records[0]["shard"] == records[1]["shard"] == [0, 1]


def test_what_no_task_has_built_is_named_and_nothing_is_written(words, build_parts, tmp_path, capsys):
    build_parts([0, 1, 3])
    with Store(tmp_path / "array" / "part-1" / "store.sqlite") as store:
        store._connection.execute("DELETE FROM replies WHERE rowid % 3 = 0")

    assert main(["verify", "merge", *words("array")]) == 1

    said = capsys.readouterr().err
    assert "part 1 of 5 lacks" in said and "nobody has begun part 2,4 of 5" in said and "--array=1-2,4" in said
    assert not (tmp_path / "array" / "train.parquet").exists()
    build_parts([1, 2, 4])
    assert main(["verify", "merge", *words("array")]) == 0


def test_a_request_that_fails_each_time_keeps_nobody_from_the_rows_of_the_others(words, build_parts, tmp_path, capsys):
    """Of a benign prompt a build asks for no critique behind the first with a verdict, so no other one is lacking."""
    build_parts()
    settings = build_settings(compose_build(words("array/part-1", f"shard=1/{PARTS}")))
    prompts = [prompt for prompt in Prompts(settings.prompts, shard=settings.shard) if prompt.harm == "benign"]
    with Store(settings.store) as store:
        build = Build(settings, store)
        key = next(request.key for request in build.critique_requests(prompts[:1], every=False))
        store._connection.execute("DELETE FROM replies WHERE key = ?", (key,))

    assert main(["verify", "merge", *words("array")]) == 1
    said = capsys.readouterr().err
    assert "part 1 of 5 lacks 1 replies" in said and "sinternal-verl verify select" in said
    assert f"out={tmp_path / 'array'}" in said

    assert main(["verify", "select", *words("array")]) == 0
    merged = pq.read_table(tmp_path / "array" / "train.parquet").to_pylist()
    assert {row["request"] for row in merged} and prompts[0].text not in {row["request"] for row in merged}


def test_parts_of_other_words_are_not_merged(words, build_parts, capsys):
    build_parts()

    assert main(["verify", "merge", *words("array", "seed=2")]) == 1
    assert "part 0 of 5 lacks" in capsys.readouterr().err


def test_there_may_be_more_parts_than_prompts(words, build_parts, tmp_path):
    held_out = lighthouse.write_datasets(tmp_path / "few", seed=1, held_out=2)["held_out"]
    build_parts(range(7), 7, "array", override("prompts", held_out))

    assert main(["verify", "merge", *words("array", override("prompts", held_out))]) == 0


@pytest.mark.parametrize("more", [["shard=0/5"], []])
def test_a_folder_without_parts_and_a_part_are_refused(words, more, capsys):
    assert main(["verify", "merge", *words("nothing", *more)]) == (2 if more else 1)
    assert ("leave shard out" if more else "holds no part-0") in capsys.readouterr().err


def test_merging_twice_at_once_gives_the_same(words, build_parts, tmp_path):
    build_parts()
    command = [sys.executable, "-m", "sinternal_verl.cli", "verify", "merge", *words("array")]
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate(timeout=120)[1].decode() for process in both]

    # One of them may find that the other has the store.
    assert 0 in {process.returncode for process in both}, said
    assert main(["verify", "merge", *words("array")]) == 0
    assert main(["verify", "build", *words("whole")]) == 0
    assert (tmp_path / "array" / "train.parquet").read_bytes() == (tmp_path / "whole" / "train.parquet").read_bytes()


def test_a_merge_that_was_killed_goes_on(words, build_parts, tmp_path):
    build_parts()
    with Store(tmp_path / "array" / "store.sqlite"):
        pass
    code = (
        "import os, signal, sys, sinternal_verl.verify.parts as parts\n"
        "copy, calls = parts.Store.copy, []\n"
        "def killed(self, other):\n"
        "    calls.append(other)\n"
        "    if len(calls) == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    copy(self, other)\n"
        "parts.Store.copy = killed\n"
        "from sinternal_verl.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "verify", "merge", *words("array")]
    done = subprocess.run(command, capture_output=True, timeout=120, env={**os.environ})
    assert done.returncode == -signal.SIGKILL and not (tmp_path / "array" / "train.parquet").exists()

    assert main(["verify", "merge", *words("array")]) == 0
    assert main(["verify", "build", *words("whole")]) == 0
    assert (tmp_path / "array" / "train.parquet").read_bytes() == (tmp_path / "whole" / "train.parquet").read_bytes()


def test_a_key_that_has_a_reply_keeps_it(tmp_path):
    with Store(tmp_path / "one") as one, Store(tmp_path / "two") as two:
        one.add(b"a", Reply("first"))
        for key in (b"a", b"b"):
            two.add(key, Reply("second", "thought", "length", 3, 4))
        one.copy(two)

        assert one.get(b"a") == Reply("first") and one.get(b"b") == two.get(b"b")


def test_all_parts_together_spend_the_budget_and_no_more(words, build_parts, servers, tmp_path):
    _, expert = servers
    for total in (0, 1, 7, 8, 9, 1000):
        assert sum(share_of(total, (part, 8)) for part in range(8)) == total
    settings = [build_settings(compose_build(words("a", f"shard={n}/3", "expert.max_requests=10"))) for n in range(3)]
    assert [each.expert.max_requests for each in settings] == [3, 3, 4]

    before = sum(expert.asked.values())
    for part in range(PARTS):
        more = (f"shard={part}/{PARTS}", "expert.max_requests=11")
        assert main(["verify", "build", *words(f"capped/part-{part}", *more)]) == 1
    assert sum(expert.asked.values()) - before == 11
    shutil.rmtree(tmp_path / "capped")
