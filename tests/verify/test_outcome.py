"""What a server's answer means, in the words of the servers there are."""

import json
import re
import time
from email.utils import formatdate

import pytest
from experts import chat

from sinternal_verl.verify.outcome import MAX_BEGINNING, MAX_SHOWN, Response, read_response, retry_after
from sinternal_verl.verify.writer import WriterBusy, WriterFailed, WriterUnusable

SETTINGS = {"model", "seed", "temperature", "max_tokens"}


def outcome(status, body, headers=None, answered=False):
    text = body if isinstance(body, str) else json.dumps(body)
    return read_response(Response(status, headers or {}, text), SETTINGS, answered)


AZURE = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}},
    }
}
OPENROUTER = {
    "error": {
        "code": 403,
        "message": "m requires moderation. Your input was flagged",
        "metadata": {"reasons": ["violence"], "flagged_input": "..."},
    }
}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, AZURE),
        (400, {"error": {"message": f"litellm.BadRequestError: {AZURE['error']['message']}", "code": "400"}}),
        (400, {"error": {"message": "Invalid prompt: it was flagged", "code": "invalid_prompt"}}),
        (400, {"error": {"message": "Content Exists Risk", "type": "invalid_request_error"}}),
        (400, {"detail": "Content Exists Risk"}),
        (400, {"error": {"message": "<400> InternalError.Algo.DataInspectionFailed: Input text data may ..."}}),
        (400, {"code": "DataInspectionFailed", "message": "Input data may contain inappropriate content."}),
        (403, OPENROUTER),
        (200, OPENROUTER),
        (200, {"error": {"code": "content_filter", "message": "no"}}),
    ],
)
def test_what_a_content_filter_says_is_a_refusal(status, body):
    reply = outcome(status, body)

    assert reply.finish == "refused" and reply.text and (reply.read, reply.written) == (0, 0)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "too much", "param": "messages", "code": "context_length_exceeded"}}),
        (
            400,
            {
                "object": "error",
                "message": "This model's maximum context length is 16384 tokens. However, you requested 122946 tokens",
                "type": "BadRequestError",
                "param": "input_tokens",
                "code": 400,
            },
        ),
        (400, {"error": {"message": "The decoder prompt (length 9) is longer than the maximum model length of 8."}}),
        (400, {"object": "error", "message": "The input (61709 tokens) is longer than the model's context length"}),
        (
            422,
            {"error": "Input validation error: `inputs` must have less than 1024 tokens.", "error_type": "validation"},
        ),
        (400, {"error": {"code": 400, "message": "the request exceeds", "type": "exceed_context_size_error"}}),
        # An earlier llama.cpp says it with 500.
        (500, {"error": {"code": 500, "message": "the request exceeds", "type": "exceed_context_size_error"}}),
        (400, {"error": {"type": "invalid_request_error", "message": "prompt is too long: 208000 tokens > 200000"}}),
        (400, {"error": {"code": 400, "message": "The input token count (1091639) exceeds the maximum number"}}),
        (413, "<html>Request Entity Too Large</html>"),
        (429, {"error": {"message": "Request too large for m on tokens per min (TPM): Limit 3", "type": "tokens"}}),
    ],
)
def test_a_prompt_that_is_too_long(status, body):
    assert outcome(status, body).finish == "too_long"


@pytest.mark.parametrize("status", [400, 406, 415, 422])
def test_another_rejection_is_kept_with_the_servers_words(status):
    assert outcome(status, {"error": {"message": "roles must alternate"}}).text == "roles must alternate"
    assert outcome(status, "<p>Bad\n Request</p>").text == "<p>Bad Request</p>"
    assert outcome(status, {"error": {"message": "roles must alternate", "param": "messages"}}).finish == "rejected"
    assert len(outcome(status, "long " * 1000).text) == MAX_SHOWN


@pytest.mark.parametrize(
    "error",
    [
        {"message": "Unsupported value: 'temperature' does not support 0", "param": "temperature", "code": "x"},
        {"message": "Unsupported parameter", "param": "max_tokens", "code": "unsupported_parameter"},
        {"message": "no model m", "param": "model"},
        {"message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs"}]}},
    ],
)
def test_a_setting_that_the_server_does_not_take_ends_at_once(error):
    with pytest.raises(WriterUnusable, match=r"refuses a setting of every request.*request"):
        outcome(400, {"error": error})


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (
            429,
            {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"},
        ),
        (429, {"message": "not active", "code": "billing_not_active"}),
        (400, {"message": "no", "code": "billing_hard_limit_reached"}),
        (402, {"message": "Insufficient Balance"}),
        (403, {"message": "user quota is not enough", "code": "insufficient_user_quota"}),
        (400, {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."}),
        (200, {"message": "out of credits", "code": 402}),
    ],
)
def test_a_quota_that_is_used_up_ends_at_once(status, error):
    with pytest.raises(WriterUnusable, match=r"quota is used up.*raise it"):
        outcome(status, {"error": error})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, "slow down"),
        (429, {"error": {"code": 429, "message": "You exceeded your current quota", "status": "RESOURCE_EXHAUSTED"}}),
        (429, {"error": {"message": "Too many tokens, please wait before trying again"}}),
        (200, {"error": {"code": 429, "message": "rate-limited upstream"}}),
        (200, {"choices": [{"finish_reason": "error", "error": {"code": 429, "message": "rate-limited"}}]}),
    ],
)
def test_a_server_that_asks_to_wait(status, body):
    with pytest.raises(WriterBusy) as caught:
        outcome(status, body, {"Retry-After": "7"})

    assert caught.value.retry_after_s == 7


@pytest.mark.parametrize("status", [408, 409, 421, 423, 424, 425, 498, 499, 500, 502, 503, 504, 520, 529])
def test_a_failure_that_another_try_may_mend(status):
    with pytest.raises(WriterFailed, match=f"HTTP {status}: down"):
        outcome(status, {"error": {"message": "down"}})


def test_a_wrong_address_ends_at_once_and_a_server_that_is_away_for_a_while_does_not():
    for status in (404, 405, 410):
        with pytest.raises(WriterUnusable, match="check model, and url"):
            outcome(status, "no such page")
        with pytest.raises(WriterFailed, match=f"HTTP {status}"):
            outcome(status, "no such page", answered=True)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_told_and_not_followed(status):
    with pytest.raises(WriterUnusable, match="points to https://elsewhere/v1, which is not followed; give it as url"):
        outcome(status, "", {"Location": "https://elsewhere/v1"})


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        *(("stop", "stop"), ("eos_token", "stop"), ("eos", "stop"), ("stop_sequence", "stop"), ("end_turn", "stop")),
        *(("STOP", "stop"), ("length", "length"), ("MAX_TOKENS", "length"), ("model_length", "length")),
        *(("repetition", "length"), ("content_filter", "refused"), ("content_filter: SAFETY", "refused")),
        *(("SAFETY", "refused"), ("PROHIBITED_CONTENT", "refused"), ("refusal", "refused"), ("sensitive", "refused")),
        *(("tool_calls", "tool_calls"), ("function_call", "tool_calls"), ("tool_use", "tool_calls")),
    ],
)
def test_each_known_end_of_an_answer(reason, finish):
    reply = outcome(200, chat("Hm.", reason))

    assert (reply.finish, reply.text, reply.read, reply.written) == (finish, "Hm.", 100, 10)


@pytest.mark.parametrize("reason", [None, "error", "abort", "insufficient_system_resource", "load", "", 3, ["stop"]])
def test_any_other_end_is_a_failure_and_no_answer(reason):
    with pytest.raises(WriterFailed, match="finish_reason"):
        outcome(200, chat("half a text", reason))


def test_a_message_without_an_end_is_no_answer():
    body = chat("half a text")
    del body["choices"][0]["finish_reason"]
    with pytest.raises(WriterFailed, match="finish_reason null"):
        outcome(200, body)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({}, "no choices"),
        ({"choices": []}, "no choices"),
        ({"choices": None}, "no choices"),
        ({"choices": [{"message": None}]}, "no choices"),
        ([], "no choices"),
        ("<html>Log in</html>", "no choices"),
        ('{"choices": [{"message": {"content": "ha', "no choices"),
        ("[" * 200_000, "no choices"),
        ("data: {}", "no choices"),
        (chat([{"type": "text"}]), "no text"),
        ({"error": "busy"}, "HTTP 200 with an error of 500"),
        ({"error": {"code": 502, "message": "upstream"}}, "HTTP 200 with an error of 502"),
    ],
)
def test_an_answer_of_another_form_is_a_failure(body, kind):
    with pytest.raises(WriterFailed) as caught:
        outcome(200, body)

    assert caught.value.kind == kind


def test_of_a_content_that_is_no_text_nothing_is_said():
    with pytest.raises(WriterFailed, match="no text but a list") as caught:
        outcome(200, chat([{"type": "text", "text": "what a model wrote"}]))
    assert "what a model wrote" not in str(caught.value)


def test_of_an_answer_that_is_none_the_beginning_is_said_and_no_more():
    for text in ("<html>Log in</html>", "data: {}", "[" * 200_000, ""):
        with pytest.raises(WriterFailed, match=re.escape(f"without choices[0].message: {text[:MAX_BEGINNING]!r}")):
            outcome(200, text)
    with pytest.raises(WriterFailed) as caught:
        outcome(200, json.dumps({"id": "1" * MAX_BEGINNING, "choices": [{"text": "what a model wrote"}]}))
    assert "what a model wrote" not in str(caught.value)


@pytest.mark.parametrize(
    "usage",
    [None, "n/a", *({"prompt_tokens": count} for count in (None, "many", True, -1, 0.5, 10**30, 2**63))],
)
def test_tokens_that_the_server_does_not_count_are_none(usage):
    reply = outcome(200, chat("Hm.") | {"usage": usage})

    assert (reply.read, reply.written) == (0, 0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "3"}, 3),
        ({"retry-after": "0.5"}, 0.5),
        ({"Retry-After": "-1"}, 0),
        ({"Retry-After": "9", "retry-after-ms": "250"}, 0.25),
        ({"Retry-After": formatdate(time.time() - 60, usegmt=True)}, 0),
        *(({"Retry-After": word}, None) for word in ("soon", "", "nan", "inf", "Thu, 99 Foo 2026")),
    ],
)
def test_when_a_server_asks_to_come_back(headers, seconds):
    assert retry_after(headers) == seconds


def test_a_date_to_come_back_at():
    found = retry_after({"Retry-After": formatdate(time.time() + 30, usegmt=True)})

    assert 25 < found <= 30
