"""Sets without a source: from the hub at the pinned commit, or from a web address, each checked by its digest."""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from local_hub import LocalHub

from sinternal_verl.evaluation.sets.catalog import SETS, SetError
from sinternal_verl.evaluation.sets.fetching import fetch_url

OTHER = "b" * 40
LAMP = "May I lend the lamp?"

LOAD = """
import json, sys
from sinternal_verl.evaluation.sets.loading import load
from sinternal_verl.evaluation.sets.catalog import SetError
for words in sys.argv[1:]:
    name, *options = words.split()
    try:
        loaded = load(name, **dict(option.split("=") for option in options))
        print(json.dumps([len(loaded.items), loaded.items[0].prompt, loaded.origin]))
    except SetError as error:
        print(str(error).splitlines()[0])
"""


def parquet(rows):
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


def tsv(rows):
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


AIME = [
    {"id": 60 + n, "problem": f"{n}+1?", "solution": "", "answer": str(n + 1), "url": "https://x/2024_AIME_I_Problems"}
    for n in range(30)
]
WILD = [{"adversarial": f"None {n}: {LAMP}", "label": 1, "data_type": "adversarial_harmful"} for n in range(260)]
HCOT = {"Category": "Keeping", "Goal": LAMP, "Request": LAMP, "H_CoT": "", "Full_Input (H-CoT + Request)": LAMP}


@pytest.mark.slow
def test_the_hub_gives_the_pinned_commit_and_what_it_does_not_give_is_said(tmp_path):
    """The real client, in processes of its own: it reads its settings when it is imported."""
    aime, wild, math = (SETS[name].place for name in ("aime2024", "wildjailbreak", "math500"))
    hcot = SETS["hcot"].place.hub.format(variant="DeepSeek-R1")
    sets = {
        aime.hub: {aime.revision: {aime.file: parquet(AIME)}, OTHER: {aime.file: parquet(AIME[:3])}},
        wild.hub: {wild.revision: {wild.file: tsv(WILD)}},
        math.hub: {math.revision: {math.file: b'{"problem": "1+1?", "answer": "2"}\n'}},
        hcot: {OTHER: {"train.jsonl": json.dumps(HCOT).encode()}},
    }

    def read(hub, *calls, **variables):
        done = subprocess.run(
            [sys.executable, "-c", LOAD, *calls],
            env=os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")} | variables,
            capture_output=True,
            text=True,
            timeout=110,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    with LocalHub(sets) as hub:
        first, main, chosen, tabs, digest, variant, missing = read(
            hub,
            "aime2024",
            "aime2024 revision=main",
            f"aime2024 revision={OTHER}",
            "wildjailbreak",
            "math500",
            "hcot",
            "fortress",
        )
        n, _, origin = json.loads(first)
        assert (n, origin["commit"], origin["revision"]) == (30, aime.revision, aime.revision)
        assert origin["sha256"] == hashlib.sha256(parquet(AIME)).hexdigest() and "pin" not in origin
        n, _, origin = json.loads(main)
        assert (n, origin["pin"]) == (3, f"revision={OTHER} reads the same rows again")
        n, _, origin = json.loads(chosen)
        assert (n, origin["commit"]) == (3, OTHER) and "pin" not in origin
        n, prompt, origin = json.loads(tabs)
        assert (n, origin["file"]) == (250, "eval/eval.tsv") and prompt.startswith("None ")
        assert f"has the SHA-256 {hashlib.sha256(sets[math.hub][math.revision][math.file]).hexdigest()}" in digest
        assert f"pinned is {math.sha256}" in digest
        n, prompt, origin = json.loads(variant)
        assert (n, prompt, origin["commit"]) == (1, LAMP, OTHER) and origin["options"] == {"variant": "DeepSeek-R1"}
        pinned = f"{hcot}@{OTHER}:train"
        assert origin["pin"] == f"source={pinned} reads the same rows again"
        n, prompt, origin = json.loads(read(hub, f"hcot source={pinned}")[0])
        assert (n, prompt, origin["commit"]) == (1, LAMP, OTHER) and "pin" not in origin
        assert "fortress_public" in missing and "the hub does not give it (RepositoryNotFoundError)" in missing
        assert json.loads(read(hub, "aime2024", HF_HUB_OFFLINE="1")[0])[0] == 30
    with LocalHub(sets, gated=[wild.hub]) as hub:
        gated = read(hub, "wildjailbreak_benign", HF_HOME=str(tmp_path / "new"))[0]
        assert "the hub does not give it (GatedRepoError). It is gated. Sign in at" in gated
        assert "accept the terms there, and run `hf auth login`" in gated


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A web server's address and its folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "web"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()


class TestWebAddresses:
    def test_a_file_is_fetched_once(self, web):
        url, folder = web
        (folder / "a.csv").write_bytes(b"one")
        digest = hashlib.sha256(b"one").hexdigest()
        first = fetch_url(f"{url}/a.csv", digest)
        (folder / "a.csv").unlink()

        assert first.read_bytes() == b"one" and first.name == "a.csv"
        assert fetch_url(f"{url}/a.csv", digest) == first

    def test_another_digest_is_refused_and_nothing_is_kept(self, web):
        url, folder = web
        (folder / "a.csv").write_bytes(b"two")
        with pytest.raises(SetError, match=f"has the SHA-256 {hashlib.sha256(b'two').hexdigest()}, pinned is 0+;"):
            fetch_url(f"{url}/a.csv", "0" * 64)

        assert fetch_url(f"{url}/a.csv", hashlib.sha256(b"two").hexdigest()).read_bytes() == b"two"

    def test_a_damaged_copy_is_fetched_anew(self, web):
        url, folder = web
        (folder / "a.csv").write_bytes(b"one")
        digest = hashlib.sha256(b"one").hexdigest()
        fetch_url(f"{url}/a.csv", digest).write_bytes(b"on")

        assert fetch_url(f"{url}/a.csv", digest).read_bytes() == b"one"

    def test_what_cannot_be_fetched_says_how_to_get_it_elsewhere(self, web):
        with pytest.raises(
            SetError, match=r"cannot be fetched: HTTP Error 404.*curl -LO .*give the file as the source"
        ):
            fetch_url(f"{web[0]}/none.csv", None)
