"""A guard behind an HTTP endpoint that gives no verdict, as the reward manager of one worker meets it: the batch ends
within its bound, nothing is a wrong or silent zero, and the curves count what has no verdict."""

import asyncio
import time

import pytest
from aiohttp import web
from scored_batches import REQUESTS, assert_no_wrong_reward, batch, counted, curves_of, outcomes
from servers import serving
from transformers import AutoTokenizer

from sinternal_verl.config import compose_config
from sinternal_verl.scoring.score import Outcome
from sinternal_verl.training.manager import SInternalRewardManager

BOUND_S = 30.0
"""Of a batch, on a slow machine. The deadlines sum up to a tenth of it."""

LINES = "Safety: Safe\nCategories: None\nRefusal: No"


@pytest.fixture(scope="module")
def tokenizer(world):
    return AutoTokenizer.from_pretrained(world["policy"])


@pytest.fixture
def score(world, untaught_guard, tokenizer):
    """A function from a handler of requests to the rows and the curves of a batch, and what it deserves."""

    def run(handle):
        rows, deserved = batch(tokenizer)
        started = time.monotonic()
        with serving(handle) as url:
            config = compose_config(
                [
                    "+recipe=sinternal_grpo_cpu",
                    "guard=openai_endpoint",
                    f"sinternal.guard.url={url}",
                    f"sinternal.guard.engine.model={untaught_guard}",
                    "sinternal.guard.engine.max_model_len=1024",
                    "sinternal.guard.mode=decode",
                    "sinternal.guard.request_timeout_s=2",
                    f"actor_rollout_ref.model.path={world['policy']}",
                ]
            )

            async def all_of_them():
                manager = SInternalRewardManager(config, tokenizer, None)
                return await asyncio.gather(*(manager.run_single(row) for row in rows))

            found, curves = curves_of(rows, asyncio.run(all_of_them()))
        assert time.monotonic() - started < BOUND_S
        return found, curves, deserved

    return run


async def answers(text):
    return web.json_response({"choices": [{"text": text}]})


async def resets(request):
    request.transport.close()
    return web.Response()


async def stalls(request):
    await asyncio.sleep(100)
    return web.Response()


def refuses(status):
    async def handle(request):
        return web.Response(status=status)

    return handle


@pytest.mark.parametrize(
    ("handle", "outcome", "words"),
    [
        (lambda request: answers(""), Outcome.UNPARSABLE, "UNPARSABLE, 1 so far: no Safety line"),
        (lambda request: answers(f"{LINES}\n{LINES}"), Outcome.UNPARSABLE, "UNPARSABLE, 1 so far: 2 Safety lines"),
        (lambda request: answers("It is safe, I think."), Outcome.UNPARSABLE, "UNPARSABLE, 1 so far: no Safety line"),
        (stalls, Outcome.TIMED_OUT, "TIMED_OUT, 1 so far: http"),
        (refuses(429), Outcome.FAILED, "HTTP 429"),
        (refuses(500), Outcome.FAILED, "HTTP 500"),
        (resets, Outcome.FAILED, "FAILED, 1 so far: GuardUnavailable: http"),
    ],
    ids=["nothing", "two verdicts", "garbage", "stalls", "refuses with 429", "refuses with 500", "resets"],
)
def test_an_endpoint_that_never_gives_a_verdict(score, caplog, handle, outcome, words):
    found, curves, deserved = score(handle)

    assert_no_wrong_reward(found, deserved)
    assert outcomes(found) == {outcome: REQUESTS} and counted(curves, outcome) == REQUESTS
    assert words in caplog.text


@pytest.mark.parametrize("status", [429, 500])
def test_an_endpoint_that_refuses_each_request_once_costs_no_verdict(score, status):
    seen = set()

    async def handle(request):
        prompt = str((await request.json())["prompt"])
        if prompt in seen:
            return await answers(LINES)
        seen.add(prompt)
        return web.Response(status=status)

    found, _, _ = score(handle)

    assert outcomes(found) == {Outcome.SAFE: REQUESTS}
