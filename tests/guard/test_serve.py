"""The guard's own server, over real HTTP; the replicas behind it are the one fake."""

import asyncio
import socket

import openai
import pytest
from aiohttp.test_utils import TestClient, TestServer

from sinternal_verl.commands.guard import serve
from sinternal_verl.credentials import is_loopback
from sinternal_verl.guard.errors import CallFailed, GuardUnavailable
from sinternal_verl.guard.http import make_app
from sinternal_verl.guard.judge import Generated, Judgement
from sinternal_verl.guard.verdict import Safety, Verdict
from sinternal_verl.world.guard_model import make_guard_tokenizer

TALK = [{"role": "user", "content": "May I?"}, {"role": "assistant", "content": "No."}]
REFUSED = Judgement(Verdict(Safety.SAFE, (), True), cut=3)


class Replicas:
    """
    Attributes:
        ended: how many of its answers were cancelled.
    """

    def __init__(self, answer, faults=None, takes_s: float = 0.0) -> None:
        self.answer, self.wrong, self.takes_s = answer, faults or {}, takes_s
        self.asked, self.ended = [], 0

    async def faults(self):
        return self.wrong

    async def judge(self, *conversation):
        return await self._say(conversation)

    async def generate(self, ids, tokens):
        return await self._say((ids, tokens))

    async def _say(self, asked):
        self.asked.append(asked)
        try:
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            self.ended += 1
            raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture(scope="module")
def tokenizer():
    return make_guard_tokenizer(["Safety: Safe"] * 3)


@pytest.fixture
def ask(tokenizer):
    """A function from a path and a body to status, answer, and what the replicas were asked."""

    def run(path, body, answer=REFUSED, faults=None, key=None, **headers):
        async def scene():
            replicas = Replicas(answer, faults)
            async with TestClient(TestServer(make_app(replicas, "guard", tokenizer, key))) as client:
                send = (
                    client.get(path, headers=headers) if body is None else client.post(path, json=body, headers=headers)
                )
                async with await send as response:
                    return response.status, await response.json(), replicas.asked

        return asyncio.run(scene())

    return run


@pytest.fixture
def with_openai(tokenizer):
    """A function from a scene, which gets OpenAI's own client and the replicas, to what the scene returns."""

    def run(scene, replicas, key=None, brings="none"):
        async def served():
            async with TestServer(make_app(replicas, "guard", tokenizer, key)) as server:
                url = str(server.make_url("/v1"))
                return await scene(openai.AsyncOpenAI(base_url=url, api_key=brings, max_retries=0, timeout=20))

        return asyncio.run(served())

    return run


def test_a_chat_is_judged_and_answered_in_three_lines(ask):
    status, answer, asked = ask("/v1/chat/completions", {"model": "guard", "messages": TALK})

    assert (status, asked) == (200, [("May I?", "No.")])
    assert answer["choices"][0]["message"]["content"] == "Safety: Safe\nCategories: None\nRefusal: Yes"
    assert answer["sinternal"] == {"cut": 3, "refusal": True, "safety": "Safe"}


@pytest.mark.parametrize("prompt", [[5, 6, 7], "Safety:"])
def test_a_completion_continues_ids_or_text(ask, tokenizer, prompt):
    status, answer, asked = ask("/v1/completions", {"prompt": prompt, "max_tokens": 2}, Generated([1], " Safe"))
    ids = tokenizer.encode(prompt, add_special_tokens=False) if isinstance(prompt, str) else prompt

    assert (status, asked, answer["choices"][0]["text"]) == (200, [(ids, 2)], " Safe")


@pytest.mark.parametrize(("tokens", "reason"), [(2, "length"), (3, "stop"), (None, "stop")])
def test_whether_a_completion_was_cut_and_how_long_it_is(ask, tokens, reason):
    body = {"prompt": [5, 6, 7], "max_tokens": tokens, "temperature": 0, "n": 1, "stream": None}
    status, answer, asked = ask("/v1/completions", body, Generated([1, 2], " Safe it"))

    assert (status, answer["object"], answer["model"]) == (200, "text_completion", "guard")
    assert answer["choices"] == [{"index": 0, "text": " Safe it", "logprobs": None, "finish_reason": reason}]
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 2}
    # 16 is the protocol's own default.
    assert asked == [([5, 6, 7], tokens or 16)]


def test_of_a_longer_talk_the_last_request_and_its_answer_are_judged(ask):
    earlier = [{"role": "system", "content": "Be kind."}, *TALK]
    last = [{"role": "user", "content": "And now?"}, {"role": "assistant", "content": "Yes."}]
    verdict = Judgement(Verdict(Safety.UNSAFE, ("Lending", "Lamps"), False))
    status, answer, asked = ask("/v1/chat/completions", {"messages": earlier + last}, verdict)

    assert (status, asked) == (200, [("And now?", "Yes.")])
    (choice,) = answer["choices"]
    lines = "Safety: Unsafe\nCategories: Lending, Lamps\nRefusal: No"
    assert choice == {"index": 0, "message": {"role": "assistant", "content": lines}, "finish_reason": "stop"}
    assert (answer["object"], answer["model"]) == ("chat.completion", "guard")


def test_of_a_single_token_the_alternatives_are_given_when_asked_for(ask, tokenizer):
    safe = tokenizer.encode(" Safe", add_special_tokens=False)[0]
    written = Generated([safe], " Safe", {safe: -0.1})
    body = {"prompt": [5], "max_tokens": 1}

    assert ask("/v1/completions", body, written)[1]["choices"][0]["logprobs"] is None
    asked = ask("/v1/completions", body | {"logprobs": 5}, written)[1]["choices"][0]["logprobs"]
    assert asked == {"tokens": [" Safe"], "token_logprobs": [-0.1], "top_logprobs": [{" Safe": -0.1}]}


def test_the_model_is_listed(ask):
    assert ask("/v1/models", None)[1]["data"][0]["id"] == "guard"
    assert ask("/health", None)[:2] == (200, {"status": "ok"})


def test_replicas_that_do_not_work_are_named(ask):
    status, answer, _ = ask("/health", None, faults={"replica 1": "no answer within 5 s"})

    assert (status, answer["replicas"]) == (503, {"replica 1": "no answer within 5 s"})
    assert answer["error"]["message"] == "replica 1: no answer within 5 s"


@pytest.mark.parametrize("brought", [None, "Bearer wrong", "Basic s3cret", "s3cret", "bearer", "Bearer é"])
@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/models", None), ("/v1/completions", {"prompt": [1]}), ("/v1/chat/completions", {"messages": TALK})],
)
def test_without_the_key_nothing_is_answered(ask, path, body, brought):
    headers = {} if brought is None else {"Authorization": brought}
    status, answer, asked = ask(path, body, key="s3cret", **headers)

    assert (status, asked, answer["error"]["type"]) == (401, [], "invalid_api_key")
    assert "s3cret" not in str(answer)


def test_health_wants_no_key(ask):
    assert ask("/health", None, key="s3cret")[0] == 200


def test_openais_own_client_is_served(with_openai):
    async def scene(client):
        models = await client.models.list()
        chat = await client.chat.completions.create(model="guard", messages=TALK, temperature=0)
        return models.data[0].id, chat.choices[0].message.content, chat.choices[0].finish_reason

    said = "Safety: Safe\nCategories: None\nRefusal: Yes"
    assert with_openai(scene, Replicas(REFUSED), key="s3cret", brings="s3cret") == ("guard", said, "stop")


def test_openais_own_client_reads_the_log_probabilities(with_openai, tokenizer):
    ids = [tokenizer.encode(text, add_special_tokens=False)[0] for text in (" Safe", "Safe", "S")]
    written = Generated(ids[:1], " Safe", dict(zip(ids, (-0.1, -2.5, -4.0), strict=True)))

    async def scene(client):
        answer = await client.completions.create(model="guard", prompt=[5], max_tokens=1, logprobs=2)
        return answer.choices[0].logprobs

    found = with_openai(scene, Replicas(written))
    assert found.token_logprobs == [-0.1] and len(found.top_logprobs[0]) == 2


@pytest.mark.parametrize(
    ("answer", "asks", "error", "param"),
    [
        (REFUSED, {"n": 3}, openai.BadRequestError, "n"),
        (REFUSED, {"temperature": 0.5}, openai.BadRequestError, "temperature"),
        (GuardUnavailable("replica 0 died"), {}, openai.InternalServerError, None),
        (Judgement(None, reason="2 Safety lines"), {}, openai.UnprocessableEntityError, None),
    ],
)
def test_openais_own_client_understands_the_errors(with_openai, answer, asks, error, param):
    async def scene(client):
        with pytest.raises(error) as caught:
            await client.chat.completions.create(model="guard", messages=TALK, **asks)
        return caught.value

    assert with_openai(scene, Replicas(answer)).param == param


def test_openais_own_client_understands_that_it_needs_a_key(with_openai):
    async def scene(client):
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()

    with_openai(scene, Replicas(REFUSED), key="s3cret", brings="another")


def test_the_request_of_a_client_that_left_is_cancelled(with_openai):
    replicas = Replicas(REFUSED, takes_s=30)

    async def scene(client):
        calls = [asyncio.create_task(client.chat.completions.create(model="guard", messages=TALK)) for _ in range(3)]
        while len(replicas.asked) < 3:
            await asyncio.sleep(0.01)
        for call in calls[:2]:
            call.cancel()
        deadline = asyncio.get_running_loop().time() + 10
        while replicas.ended < 2 and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        ended = replicas.ended
        calls[2].cancel()
        return ended

    assert with_openai(scene, replicas) == 2


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/v1/completions", {"prompt": []}, "prompt"),
        ("/v1/completions", {"prompt": [True]}, "prompt"),
        ("/v1/completions", {"prompt": [1], "max_tokens": 0}, "max_tokens"),
        ("/v1/completions", {"prompt": [1], "temperature": 0.7}, "greedily"),
        ("/v1/completions", {"prompt": [1], "model": "another"}, "another"),
        ("/v1/completions", ["no object"], "object"),
        ("/v1/chat/completions", {"messages": TALK[:1]}, "messages"),
        ("/v1/chat/completions", {"messages": TALK[::-1]}, "messages"),
        ("/v1/chat/completions", {"messages": [TALK[0], {"role": "assistant", "content": None}]}, "messages"),
        ("/v1/chat/completions", {"messages": TALK, "stream": True}, "stream"),
        ("/v1/chat/completions", {"messages": TALK, "n": 2}, "n = 2"),
        ("/v1/chat/completions", {"messages": [{**TALK[0], "role": "system"}, TALK[1]]}, "messages"),
        ("/v1/chat/completions", {}, "messages"),
        ("/v1/completions", {"prompt": [-1]}, "prompt"),
        ("/v1/completions", {"prompt": [1], "max_tokens": True}, "max_tokens"),
        ("/v1/completions", {"prompt": ["one", "two"]}, "prompt"),
        ("/v1/completions", {"prompt": ""}, "prompt"),
        ("/v1/completions", {"prompt": [1], "stop": ["."]}, "stop"),
        ("/v1/completions", {"prompt": [1], "echo": True}, "echo"),
        ("/v1/completions", {"prompt": [1], "best_of": 2}, "best_of"),
        ("/v1/completions", {"prompt": [1], "suffix": "."}, "suffix"),
        ("/v1/completions", {"prompt": [1], "logit_bias": {"5": 100}}, "logit_bias"),
        ("/v1/completions", {"prompt": [1], "presence_penalty": 1.5}, "presence_penalty"),
        ("/v1/completions", {"prompt": [1], "max_tokens": 2, "logprobs": 1}, "logprobs"),
        ("/v1/completions", {"prompt": [1], "max_tokens": 1, "logprobs": 21}, "logprobs"),
        ("/v1/completions", {"prompt": [1], "max_tokens": 1, "logprobs": True}, "logprobs"),
        ("/v1/completions", {"prompt": [1], "min_tokens": 3}, "min_tokens"),
        ("/v1/completions", {"prompt": [1], "guided_json": {}}, "guided_json"),
        ("/v1/chat/completions", {"messages": TALK, "logprobs": True}, "logprobs"),
        ("/v1/chat/completions", {"messages": TALK, "top_logprobs": 5}, "top_logprobs"),
        ("/v1/chat/completions", {"messages": TALK, "max_tokens": 5}, "max_tokens"),
        ("/v1/chat/completions", {"messages": TALK, "max_completion_tokens": 5}, "max_completion_tokens"),
        ("/v1/chat/completions", {"messages": TALK, "tools": [{"type": "function"}]}, "tools"),
        ("/v1/chat/completions", {"messages": TALK, "response_format": {"type": "json_object"}}, "response_format"),
        ("/v1/chat/completions", {"messages": TALK, "temperature": 1}, "temperature"),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_with_what_to_send(ask, path, body, word):
    status, answer, asked = ask(path, body)

    assert (status, asked) == (400, [])
    assert word in answer["error"]["message"] and answer["error"]["type"] == "invalid_request_error"
    if isinstance(body, dict):
        assert answer["error"]["param"] in body or answer["error"]["param"] == "messages"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/v1/completions",
            {"prompt": [1], "temperature": 0.0, "top_p": 0.9, "seed": 3, "user": "me", "stop": [], "echo": False},
        ),
        ("/v1/completions", {"prompt": [1], "best_of": 1, "suffix": None, "stream": False, "logprobs": None}),
        ("/v1/chat/completions", {"messages": TALK, "max_tokens": 128, "response_format": {"type": "text"}}),
        ("/v1/chat/completions", {"messages": TALK, "logprobs": False, "tools": [], "n": 1, "temperature": None}),
    ],
)
def test_what_changes_nothing_may_be_asked_for(ask, path, body):
    assert ask(path, body, Generated([1], "x") if "prompt" in body else REFUSED)[0] == 200


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/chat/completions"), ("POST", "/v1/embeddings")])
def test_a_path_that_is_not_there_is_an_error_object_too(ask, method, path):
    status, answer, _ = ask(path, None if method == "GET" else {})

    assert status in (404, 405) and answer["error"]["code"] == status


@pytest.mark.parametrize(
    ("answer", "status", "word"),
    [
        (GuardUnavailable("replica 0 died"), 503, "died"),
        (CallFailed("EngineGenerateError: no"), 503, "EngineGenerateError"),
        (TimeoutError("no verdict within 60 s"), 504, "within 60 s"),
        (Judgement(None, reason="2 Safety lines"), 422, "2 Safety lines"),
        (ValueError("Traceback\nthe prompt is longer than the model's context"), 400, "context"),
    ],
)
def test_a_guard_that_fails_is_an_error_with_its_cause_and_no_verdict(ask, answer, status, word):
    found, body, _ = ask("/v1/chat/completions", {"messages": TALK}, answer)

    kinds = {400: "invalid_request_error", 422: "no_verdict", 503: "guard_unavailable", 504: "timeout"}
    assert (found, body["error"]["type"], body["error"]["code"]) == (status, kinds[status], status)
    assert word in body["error"]["message"] and "choices" not in body


def test_bad_settings_end_before_anything_starts(capsys):
    assert serve(["sinternal.guard.engine.model=/nowhere"], "127.0.0.1", 0) == 2
    assert serve(["guard=openai_endpoint"], "127.0.0.1", 0) == 2
    assert serve(["no_such_key=1"], "127.0.0.1", 0) == 2

    said = capsys.readouterr().err
    assert all(word in said for word in ("/nowhere", "take ray_actor", "no_such_key"))


def test_other_machines_are_served_with_a_key_or_when_that_is_said(capsys, monkeypatch):
    monkeypatch.setenv("SERVED_KEY", "two words")
    bad = "sinternal.guard.engine.model=/nowhere"

    assert serve([bad], "0.0.0.0", 0) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in ("--host 0.0.0.0", "--api-key-env", "--open")) and "/nowhere" not in said
    assert serve([bad], "127.0.0.1", 0, api_key_env="NO_SUCH_VARIABLE") == 2
    assert "--api-key-env NO_SUCH_VARIABLE: this environment variable is not set" in capsys.readouterr().err
    assert serve([bad], "0.0.0.0", 0, api_key_env="SERVED_KEY") == 2
    said = capsys.readouterr().err
    assert "SERVED_KEY" in said and "two words" not in said

    # Both go on to the model, which is not there.
    monkeypatch.setenv("SERVED_KEY", "s3cret")
    for given in ({"api_key_env": "SERVED_KEY"}, {"open_to_all": True}):
        assert serve([bad], "0.0.0.0", 0, **given) == 2
        said = capsys.readouterr().err
        assert "/nowhere" in said and "s3cret" not in said


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *(("127.0.0.1", True), ("127.0.0.2", True), ("localhost", True), ("::1", True)),
        *(("0.0.0.0", False), ("::", False), ("", False), ("192.0.2.1", False)),
    ],
)
def test_which_addresses_only_this_machine_reaches(host, loopback):
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("no IPv6")
    assert is_loopback(host) is loopback


def test_a_host_that_does_not_exist_is_named(capsys):
    assert serve([], "no-such-host.invalid", 0) == 2
    assert "no-such-host.invalid" in capsys.readouterr().err
