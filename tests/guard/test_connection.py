"""The connection to a guard whose tokenizer takes long or does not load; the tokenizer's loading is the one fake."""

import asyncio
import gc
import subprocess
import sys
import time

import pytest
import transformers
from aiohttp import web
from servers import serving

from sinternal_verl.guard import backend
from sinternal_verl.guard.errors import GuardUnavailable
from sinternal_verl.scoring.registry import Router
from sinternal_verl.scoring.run import Scoring
from sinternal_verl.scoring.score import Outcome, Sample
from sinternal_verl.world.guard_model import make_guard_tokenizer

SAMPLES = 40
LOAD_S = 1.5
MAX_GAP_S = 0.5
"""A third of what a tokenizer takes that loads in the event loop, with room for a busy machine."""

LINES = "Safety: Safe\nCategories: None\nRefusal: No"


@pytest.fixture(scope="module")
def tokenizer():
    return make_guard_tokenizer([LINES] * 3)


@pytest.fixture
def loads(monkeypatch, tokenizer):
    """The times at which the tokenizer was loaded. It takes `LOAD_S`, and raises what ``fails`` holds."""

    class Loads(list):
        fails: Exception | None = None

    made = Loads()

    def from_pretrained(model):
        made.append(time.monotonic())
        time.sleep(LOAD_S)
        if made.fails:
            raise made.fails
        return tokenizer

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", from_pretrained)
    return made


async def says_safe(request):
    return web.json_response({"choices": [{"text": LINES}]})


def scoring(url) -> Scoring:
    guard = {"backend": "openai_endpoint", "url": url, "engine": {"model": "guard"}, "mode": "decode"}
    return Scoring(Router.from_config({"safety": {"sources": ["safety/*"], "guard": guard}}))


async def longest_gap(during) -> tuple[float, object]:
    """The longest time, in seconds, for which the event loop did not turn, and what ``during`` returned."""
    gap, running = 0.0, True

    async def beat():
        nonlocal gap
        last = time.monotonic()
        while running:
            await asyncio.sleep(0.01)
            gap, last = max(gap, time.monotonic() - last), time.monotonic()

    gc.disable()  # its pause grows with what other tests have imported
    try:
        heart = asyncio.create_task(beat())
        result = await during
        running = False
        await heart
    finally:
        gc.enable()
    return gap, result


def sample(number: int) -> Sample:
    return Sample("safety/x", f"Hm.</think>No, {number}.", "harmful", ({"role": "user", "content": "May I?"},))


async def score_all(scores: Scoring) -> list:
    return await asyncio.gather(*(scores.score(sample(number)) for number in range(SAMPLES)))


@pytest.mark.parametrize("begun", [True, False], ids=["at the worker's start", "by the first sample"])
def test_a_slow_tokenizer_blocks_nothing_and_loads_once(loads, begun):
    async def scene(url):
        scores = scoring(url)
        if begun:
            scores.start()
        gap, found = await longest_gap(score_all(scores))
        await scores.close()
        return gap, found

    with serving(says_safe) as url:
        gap, found = asyncio.run(scene(url))

    assert [score.outcome for score in found] == SAMPLES * [Outcome.SAFE]
    assert gap < MAX_GAP_S and len(loads) == 1


def test_a_tokenizer_that_does_not_load_is_every_samples_reason_and_is_tried_once(loads):
    loads.fails = OSError("guard is no folder and no model of the hub")

    async def scene(url):
        scores = scoring(url)
        first = await longest_gap(score_all(scores))
        return first, await longest_gap(score_all(scores))

    with serving(says_safe) as url:
        rounds = asyncio.run(scene(url))

    for gap, found in rounds:
        assert gap < MAX_GAP_S
        assert {score.outcome for score in found} == {Outcome.FAILED}
        assert all("no model of the hub" in score.reason for score in found)
    assert len(loads) == 1


def test_a_cause_that_passes_costs_no_sample_for_ever(loads, monkeypatch):
    monkeypatch.setattr(backend, "RETRY_CONNECT_S", 0.1)
    loads.fails = OSError("the disk is full")

    async def scene(url):
        scores = scoring(url)
        first = await scores.score(sample(1))
        loads.fails = None
        await asyncio.sleep(0.2)
        second = await scores.score(sample(2))
        await scores.close()
        return first, second

    with serving(says_safe) as url:
        first, second = asyncio.run(scene(url))

    assert (first.outcome, second.outcome, len(loads)) == (Outcome.FAILED, Outcome.SAFE, 2)


def test_a_worker_that_cannot_ask_its_guard_says_so_when_it_is_asked_whether_it_is_ready(loads):
    loads.fails = OSError("guard is no folder")
    with pytest.raises(GuardUnavailable, match="guard is no folder"):
        asyncio.run(scoring("http://127.0.0.1:9/v1").ready())


def test_a_sample_waits_for_the_tokenizer_for_a_bounded_time(loads, monkeypatch):
    monkeypatch.setattr("sinternal_verl.scoring.safety.CONNECT_TIMEOUT_S", 0.2)
    score = asyncio.run(scoring("http://127.0.0.1:9/v1").score(sample(1)))

    assert score.outcome is Outcome.FAILED and "after 0.2 s" in score.reason


def test_a_sample_that_is_cancelled_does_not_cancel_the_others(loads):
    async def scene(url):
        scores = scoring(url)
        one, other = (asyncio.create_task(scores.score(sample(number))) for number in range(2))
        await asyncio.sleep(0.1)
        one.cancel()
        found = await other
        await scores.close()
        return found

    with serving(says_safe) as url:
        assert asyncio.run(scene(url)).outcome is Outcome.SAFE


def test_who_asks_a_guard_loads_no_engine():
    code = (
        "import sys; from sinternal_verl.guard import client, endpoint;"
        "print([name for name in ('torch', 'vllm', 'verl', 'transformers') if name in sys.modules])"
    )

    # A sample's time limit holds the first import.
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
