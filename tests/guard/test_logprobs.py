"""A number beside the verdict never costs the verdict: a real HTTP server reports anything as log-probabilities."""

import asyncio
import json
import math

import pytest
from aiohttp import web
from servers import serving

from sinternal_verl.guard.endpoint import EndpointClient
from sinternal_verl.guard.errors import GuardUnavailable
from sinternal_verl.guard.verdict import Safety
from sinternal_verl.world.guard_model import make_guard_tokenizer

LABELS = (" Safe", " Unsafe", " Controversial")


@pytest.fixture(scope="module")
def tokenizer():
    return make_guard_tokenizer(["Safety: Safe Unsafe Controversial\nCategories: None\nRefusal: No Yes"] * 3)


def judge(tokenizer, choice: dict):
    """One judgement of a server whose first answer has these fields besides its text."""
    asked = []

    async def handle(request):
        asked.append(await request.json())
        body = {"choices": [{"text": " Safe", **choice} if len(asked) == 1 else {"text": " Yes"}]}
        # As Python's and vLLM's own encoders write it: NaN and Infinity are no JSON and do come.
        return web.Response(text=json.dumps(body), content_type="application/json")

    async def scene(url):
        client = EndpointClient(url, "guard", tokenizer, 8000, "first_token", 5.0)
        try:
            return await client.judge("May I?", "No.")
        finally:
            await client.close()

    with serving(handle) as url:
        return asyncio.run(scene(url)), asked


def top(*values) -> dict:
    return {"logprobs": {"top_logprobs": [dict(zip(LABELS, values, strict=False))]}}


NOT_MEASURED = {
    "null": {"logprobs": None},
    "absent": {},
    "a list": {"logprobs": []},
    "a string": {"logprobs": "none"},
    "a number": {"logprobs": 0},
    "true": {"logprobs": True},
    "empty": {"logprobs": {}},
    "no top": {"logprobs": {"top_logprobs": None}},
    "an empty top": {"logprobs": {"top_logprobs": []}},
    "a null in the top": {"logprobs": {"top_logprobs": [None]}},
    "a list in the top": {"logprobs": {"top_logprobs": [[]]}},
    "a string as top": {"logprobs": {"top_logprobs": "Safe"}},
    "a mapping as top": {"logprobs": {"top_logprobs": {" Safe": -0.1}}},
    "chat's form": {"logprobs": {"content": [{"token": " Safe", "logprob": -0.1, "top_logprobs": []}]}},
    "clamped": top(-9999.0, -9999.0, -9999.0),
    "clamped as integers": top(-9999, -9999, -9999),
    "null values": top(None, None, None),
    "strings": top("-0.1", "-2.3", "-4"),
    "lists": top([-0.1], {}, []),
    "NaN": top(math.nan, math.nan, math.nan),
    "infinite": top(-math.inf, math.inf, -math.inf),
    "of 400 digits": top(-(10**400), 10**400, 10**400),
    "positive": top(5.0, 2.0, 3e300),
    "other words alone": {"logprobs": {"top_logprobs": [{" I": -0.1, "": -1.0, "\ud800": -2.0, " several words": -3}]}},
}


@pytest.mark.parametrize("choice", NOT_MEASURED.values(), ids=NOT_MEASURED)
def test_what_is_no_measure_leaves_the_verdict(tokenizer, choice):
    judgement, asked = judge(tokenizer, choice)

    assert (judgement.verdict.safety, judgement.verdict.refusal) == (Safety.SAFE, True)
    assert judgement.safe_probability is None
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("values", "share"),
    [
        ((-0.5, -9999.0, -9999.0), 1.0),
        ((-9999.0, -0.5, -9999.0), 0.0),
        ((-0.5, None, math.nan), 1.0),
        # exp of each of these is 0: a quotient of the three would be 0 / 0.
        ((-2000.0, -2000.0, -9998.0), 0.5),
        ((math.log(0.6), math.log(0.2), "-1"), 0.75),
        ((0, -math.inf, -math.inf), 1.0),
        ((1e-7, -20.0, -20.0), 1.0),
    ],
)
def test_what_is_measured_beside_it_still_counts(tokenizer, values, share):
    judgement, _ = judge(tokenizer, top(*values))

    assert judgement.verdict.safety is Safety.SAFE
    assert judgement.safe_probability == pytest.approx(share)


@pytest.mark.parametrize("text", [None, 5, ["Safe"]])
def test_a_text_that_is_none_is_named_at_once(tokenizer, text):
    with pytest.raises(GuardUnavailable, match="without choices"):
        judge(tokenizer, {"text": text})
