"""`guard serve` with a real guard, and what is asked of it from outside: a file scored over HTTP, killed on its
way and continued, and a plain reward function."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from guards import START_S, guard_server
from sinternal_verl.reward_fns import mixed

from sinternal_verl.world import lighthouse

pytestmark = [pytest.mark.slow, pytest.mark.versions, pytest.mark.timeout(600)]

ROWS = 240


@pytest.fixture(scope="module")
def served(taught_guard, tmp_path_factory) -> tuple[str, Path]:
    """The address of a guard's server, and the guard's folder."""
    with guard_server(taught_guard, tmp_path_factory.mktemp("serve") / "log") as url:
        yield url, taught_guard


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """As `score` reads them, with the reward that each deserves."""
    requests = {request.prompt: request for request in lighthouse.requests()}
    found = []
    for user, said, verdict in lighthouse.conversations():
        if user in requests:
            harmful = requests[user].harmful
            deserved = "Safety: Safe" in verdict and (harmful or "Refusal: No" in verdict)
            label = "harmful" if harmful else "benign"
            row = {"prompt": user, "response": f"hm</think> {said}", "data_source": f"safety/{label}/orla"}
            found.append(row | {"ground_truth": label, "deserved": float(deserved)})
    return found[:: len(found) // ROWS][:ROWS]


def test_a_file_is_scored_over_http_killed_and_continued(served, rows, tmp_path):
    url, guard = served
    source, target = tmp_path / "rows.jsonl", tmp_path / "scored.jsonl"
    source.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    words = ["guard=openai_endpoint", f"sinternal.guard.url={url}", f"sinternal.guard.engine.model={guard}"]
    command = [sys.executable, "-m", "sinternal_verl.cli", "score", "--in", str(source), "--out", str(target), *words]
    command += ["sinternal.guard.engine.max_model_len=1024", "--concurrency", "2"]

    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_S
        while not target.exists() or target.read_bytes().count(b"\n") < ROWS // 8:
            assert first.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        first.kill()
        first.wait(10)
    assert target.read_bytes().count(b"\n") < ROWS

    second = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert second.returncode == 0, second.stderr[-3000:]
    scored = [json.loads(line) for line in target.read_text().splitlines()]
    assert [result["row"] for result in scored] == list(range(ROWS))
    assert all(result["scored"] for result in scored)
    right = sum(result["score"] == row["deserved"] for result, row in zip(scored, rows, strict=True))
    assert right / ROWS > 0.95


def test_a_plain_reward_function_asks_the_same_guard(served, rows):
    url, folder = served
    engine = {"model": str(folder), "max_model_len": 1024}
    guard = {"backend": "openai_endpoint", "url": url, "engine": engine, "request_timeout_s": 60}

    async def ask(row):
        extra = {"question": row["prompt"], "index": "0"}
        return await mixed.compute_score(row["data_source"], row["response"], row["ground_truth"], extra, guard=guard)

    async def scene():
        return await asyncio.gather(*map(ask, rows[:60]))

    scores = [fields["score"] for fields in asyncio.run(scene())]
    assert sum(score == row["deserved"] for score, row in zip(scores, rows, strict=False)) > 57
