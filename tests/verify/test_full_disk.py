"""On a full disk every file of a build is the old one or the new one, whole, and the message names what to do."""

import ctypes
import json
import os
from contextlib import ExitStack
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from experts import Script, keeper, playing, warden

from sinternal_verl.cli import main
from sinternal_verl.data.schema import whole_file, write_whole
from sinternal_verl.world import lighthouse

LIBC = ctypes.CDLL(None, use_errno=True)
PAGE = 4096


@pytest.fixture
def disk(tmp_path):
    """A disk of one MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if not hasattr(LIBC, "mount") or LIBC.mount(b"tmpfs", str(place).encode(), b"tmpfs", 0, b"size=1m"):
        pytest.skip("this user mounts nothing")
    yield place
    LIBC.umount2(str(place).encode(), 2)


def fill_up(disk: Path, free: int) -> None:
    """Leave so many pages."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    room = os.statvfs(disk).f_bavail - free
    filler.write_bytes(bytes(room * PAGE))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_is_replaced_whole_or_not_at_all(disk):
    write_whole(disk / "a.json", "old")
    fill_up(disk, 1)
    with pytest.raises(OSError, match=r"a\.json cannot be written: No space left on device; what was there"):
        write_whole(disk / "a.json", "n" * 10 * PAGE)
    with pytest.raises(OSError, match=r"b\.json cannot be written: No space left on device; nothing is left of it"):
        write_whole(disk / "b.json", b"n" * 10 * PAGE)

    assert (disk / "a.json").read_text() == "old"
    assert sorted(path.name for path in disk.iterdir()) == ["a.json", "filler"]


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
    write_whole(tmp_path / "a", "old")
    with pytest.raises(KeyError), whole_file(tmp_path / "a") as file:
        file.write("new")
        raise KeyError
    assert contents(tmp_path) == {"a": b"old"}


@pytest.mark.parametrize("command", ["select", "evaluate"])
def test_whatever_room_there_is_each_file_is_the_old_one_or_the_new_one(disk, tmp_path, capsys, command):
    def policy(body):
        said = warden(body) if "<specification>" in body["messages"][0]["content"] else keeper(body)
        return said if "</think>" in said else f"{changing[0]}</think>{said}"

    changing = [""]
    out, held_out = disk / "out", lighthouse.write_datasets(tmp_path / "data", seed=1, held_out=8)["held_out"]
    with ExitStack() as stack:
        mine, expert = (stack.enter_context(playing(Script(reply))) for reply in (policy, warden))
        words = [f"prompts={held_out}", "samples=4", "policy.model=keeper", f"policy.url={mine.url}"]
        words += ["expert.model=warden", f"expert.url={expert.url}", f"out={out}"]

        def run(store: str) -> int:
            return main(["verify", command, *words, f"store={tmp_path / store}"])

        # Two stores whose replies differ: what the second gives is other files.
        for store, text in (("one", "Hm."), ("two", "Hm. Hm.")):
            changing[0] = text
            expert.reply = lambda body, t=text: warden(body).replace("The answer", f"{t} The answer")
            place = (f"out={tmp_path / store}_out", f"store={tmp_path / store}")
            assert (
                main(["verify", "build", *words[:-1], *place]) == main(["verify", "evaluate", *words[:-1], *place]) == 0
            )
        assert run("two") == 0
        new = contents(out)
        assert run("one") == 0
        old = contents(out)
        assert old.keys() == new.keys() and old != new

        ended = set()
        for free in range(0, 60, 3):
            for name, content in old.items():
                (out / name).write_bytes(content)
            fill_up(disk, free)
            capsys.readouterr()
            ended.add(code := run("two"))
            said = capsys.readouterr().err
            (disk / "filler").unlink()
            now = contents(out)
            assert now.keys() == old.keys(), (free, said)
            assert all(now[name] in (old[name], new[name]) for name in now), (free, said)
            assert code == 0 or ("No space left on device" in said and str(out) in said), (free, said)
        assert 0 in ended and len(ended) > 1
        json.loads((out / "build.json").read_text())
        if command == "select":
            assert pq.read_table(out / "train.parquet").num_rows
