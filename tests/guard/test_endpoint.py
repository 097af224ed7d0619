"""A guard behind a real HTTP server that answers, refuses, stalls, resets or talks nonsense."""

import asyncio
import math
import time

import pytest
from aiohttp import web
from servers import serving

from sinternal_verl.guard import endpoint
from sinternal_verl.guard.backend import connect
from sinternal_verl.guard.endpoint import EndpointClient
from sinternal_verl.guard.errors import GuardUnavailable
from sinternal_verl.guard.verdict import Safety
from sinternal_verl.world.guard_model import make_guard_tokenizer

SAFE = {"choices": [{"text": "Safety: Safe\nCategories: None\nRefusal: No"}]}


@pytest.fixture(scope="module")
def tokenizer():
    return make_guard_tokenizer(["Safety: Safe\nCategories: None\nRefusal: No Yes Unsafe Controversial"] * 3)


@pytest.fixture
def ask(tokenizer):
    """A function from a handler to one judgement over it, and the bodies the server got."""

    def run(handler, mode="decode", timeout_s=2.0, times=1):
        async def scene():
            bodies = []

            async def handle(request):
                bodies.append(await request.json())
                return await handler(request, len(bodies))

            app = web.Application()
            app.router.add_post("/v1/completions", handle)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = site._server.sockets[0].getsockname()[1]
            client = EndpointClient(f"http://127.0.0.1:{port}/v1", "guard", tokenizer, 8000, mode, timeout_s)
            try:
                calls = (client.judge("May I?", f"No {n}.") for n in range(times))
                return await asyncio.gather(*calls), bodies
            finally:
                await client.close()
                await runner.cleanup()

        return asyncio.run(scene())

    return run


async def answers(request, number):
    return web.json_response(SAFE)


def test_a_verdict_comes_back_and_the_prompt_went_as_ids(ask, tokenizer):
    (judgement,), (body,) = ask(answers)

    assert judgement.verdict.safety is Safety.SAFE
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("guard", 128, 0)
    assert "USER: May I?" in tokenizer.decode(body["prompt"])


def test_a_request_that_waits_for_others_of_this_process_is_not_late(ask):
    free_at = 0.0

    async def one_after_the_other(request, number):
        nonlocal free_at
        free_at = max(free_at, time.monotonic()) + 1 / 50
        await asyncio.sleep(free_at - time.monotonic())
        return web.json_response(SAFE)

    started = time.monotonic()
    judgements, _ = ask(one_after_the_other, timeout_s=1.0, times=150)

    assert all(judgement.verdict.safety is Safety.SAFE for judgement in judgements)
    assert time.monotonic() - started > 2.5  # more than twice the time limit


def test_first_token_mode_asks_for_one_token_twice(ask):
    async def one_token(request, number):
        return web.json_response({"choices": [{"text": " Safe" if number == 1 else " No"}]})

    (judgement,), bodies = ask(one_token, mode="first_token")

    assert [body["max_tokens"] for body in bodies] == [1, 1]
    assert (judgement.verdict.safety, judgement.verdict.refusal) == (Safety.SAFE, False)
    assert judgement.safe_probability is None


def test_first_token_mode_says_how_sure_the_guard_is_where_the_server_does(ask):
    async def one_token(request, number):
        top = {" Safe": math.log(0.6), " Unsafe": math.log(0.2), " several words": -3.0}
        return web.json_response(
            {"choices": [{"text": " Safe" if number == 1 else " No", "logprobs": {"top_logprobs": [top]}}]}
        )

    (judgement,), bodies = ask(one_token, mode="first_token")

    assert [body.get("logprobs") for body in bodies] == [5, None]
    assert judgement.safe_probability == pytest.approx(0.75)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy_is_asked_again(ask, status):
    async def busy(request, number):
        return web.Response(status=status) if number < 3 else web.json_response(SAFE)

    (judgement,), bodies = ask(busy)

    assert judgement.verdict and len(bodies) == 3


async def refuses(request, number):
    return web.Response(status=503)


async def resets(request, number):
    request.transport.abort()
    return web.Response()


async def breaks_off(request, number):
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"half a b")
    request.transport.abort()
    return response


async def forbids(request, number):
    return web.Response(status=401, text="no key")


async def nonsense(request, number):
    return web.json_response({"detail": "hello"})


async def a_page(request, number):
    return web.Response(text="<html>Welcome</html>", content_type="text/html")


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (refuses, "503"),
        (resets, "Disconnected|reset|Reset"),
        (breaks_off, "ClientPayloadError|reset|Reset"),
        (forbids, "401: no key"),
        (nonsense, "choices"),
        (a_page, "Welcome"),
    ],
)
def test_a_server_that_only_fails_is_named_within_the_deadline(ask, handler, words):
    started = time.monotonic()
    with pytest.raises(GuardUnavailable, match=words):
        ask(handler)
    assert time.monotonic() - started < 5


def test_a_server_that_stalls_is_a_timeout_within_the_deadline(ask):
    async def stalls(request, number):
        await asyncio.sleep(3)
        return web.json_response(SAFE)

    started = time.monotonic()
    with pytest.raises(TimeoutError):
        ask(stalls, timeout_s=1.0)
    assert time.monotonic() - started < 6


def test_many_requests_share_one_session(ask):
    judgements, bodies = ask(answers, times=100)

    assert len(judgements) == len(bodies) == 100


def test_two_verdicts_are_no_verdict(ask):
    async def twice(request, number):
        return web.json_response({"choices": [{"text": SAFE["choices"][0]["text"] * 2}]})

    (judgement,), _ = ask(twice)

    assert judgement.verdict is None


def test_a_backend_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="ray_actor, openai_endpoint"):
        connect({"backend": "http"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer):
    """The guard's tokenizer as a Hugging Face folder."""
    made = tmp_path_factory.mktemp("guard")
    tokenizer.save_pretrained(made)
    return made


@pytest.mark.parametrize(
    ("given", "model", "tokens"),
    [
        ({}, None, [1, 1]),
        ({"served_as": None}, None, [1, 1]),
        ({"served_as": "qwen-guard", "mode": "decode"}, "qwen-guard", [128]),
    ],
)
def test_a_configured_guard_is_asked_by_its_name_in_its_mode(folder, given, model, tokens):
    bodies = []

    async def handle(request):
        bodies.append(await request.json())
        text = {1: " Safe", 2: " No"}[len(bodies)] if "mode" not in given else SAFE["choices"][0]["text"]
        return web.json_response({"choices": [{"text": text}]})

    async def scene(url):
        backend = connect({"backend": "openai_endpoint", "url": url, "engine": {"model": str(folder)}, **given})
        try:
            return await backend.judge("May I?", "No.")
        finally:
            await backend.close()

    # With a slash at the end, too.
    with serving(handle) as url:
        judgement = asyncio.run(scene(f"{url}/"))

    assert judgement.verdict.safety is Safety.SAFE
    assert [(body["model"], body["max_tokens"]) for body in bodies] == [(model or str(folder), n) for n in tokens]


def test_between_tries_it_waits_twice_as_long_each_time(ask, monkeypatch):
    monkeypatch.setattr(endpoint, "MIN_PAUSE_S", 0.05)
    monkeypatch.setattr(endpoint, "MAX_PAUSE_S", 0.2)
    at = []

    async def busy(request, number):
        at.append(time.monotonic())
        return web.Response(status=503) if number < 6 else web.json_response(SAFE)

    ask(busy, timeout_s=20.0)
    # After 0.05, 0.1, 0.2, 0.2 and 0.2 seconds.
    assert 0.75 <= at[-1] - at[0] < 5
    assert all(
        later - sooner >= least for sooner, later, least in zip(at, at[1:], (0.05, 0.1, 0.2, 0.2, 0.2), strict=False)
    )


def test_a_client_outlives_the_loop_that_it_was_used_in(tokenizer):
    async def handle(request):
        return web.json_response(SAFE)

    with serving(handle) as url:
        client = EndpointClient(url, "guard", tokenizer, 8000, "decode", 5.0)
        verdicts = [asyncio.run(client.judge("May I?", "No.")).verdict for _ in range(2)]
        asyncio.run(client.close())

    assert [verdict.safety for verdict in verdicts] == [Safety.SAFE] * 2
