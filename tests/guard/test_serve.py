"""The guard's own server, over real HTTP; the replicas behind it are the one fake."""

import asyncio

import pytest
from aiohttp.test_utils import TestClient, TestServer

from sinternal_verl.commands.guard import serve
from sinternal_verl.guard.errors import CallFailed, GuardUnavailable
from sinternal_verl.guard.http import make_app
from sinternal_verl.guard.judge import Generated, Judgement
from sinternal_verl.guard.verdict import Safety, Verdict
from sinternal_verl.world.guard_model import make_guard_tokenizer

TALK = [{"role": "user", "content": "May I?"}, {"role": "assistant", "content": "No."}]
REFUSED = Judgement(Verdict(Safety.SAFE, (), True), cut=3)


class Replicas:
    def __init__(self, answer) -> None:
        self.answer, self.asked = answer, []

    async def judge(self, *conversation):
        return self._say(conversation)

    async def generate(self, ids, tokens):
        return self._say((ids, tokens))

    def _say(self, asked):
        self.asked.append(asked)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture(scope="module")
def tokenizer():
    return make_guard_tokenizer(["Safety: Safe"] * 3)


@pytest.fixture
def ask(tokenizer):
    """A function from a path and a body to status, answer, and what the replicas were asked."""

    def run(path, body, answer=REFUSED):
        async def scene():
            replicas = Replicas(answer)
            async with TestClient(TestServer(make_app(replicas, "guard", tokenizer))) as client:
                send = client.get(path) if body is None else client.post(path, json=body)
                async with await send as response:
                    return response.status, await response.json(), replicas.asked

        return asyncio.run(scene())

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
    assert ask("/health", None)[0] == 200


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
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_with_what_to_send(ask, path, body, word):
    status, answer, asked = ask(path, body)

    assert (status, asked) == (400, [])
    assert word in answer["error"]["message"]


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
