"""What servers answer to a prompt that they cannot take is read once, whatever words they have for it."""

import warnings

import pytest

pytest.importorskip("inspect_ai", reason="Inspect needs Python 3.11")

from aiohttp import web
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import get_model
from servers import serving

from sinternal_verl.evaluation.running.progress import quiet_inspect
from sinternal_verl.evaluation.tasks.asking import ask_model

LENGTHS = {
    "vLLM": "This model's maximum context length is 32 tokens. However, you requested 8 output tokens and your prompt "
    "contains at least 25 input tokens.",
    "TGI": "Input validation error: `inputs` must have less than 32 tokens. Given: 40",
    "llama.cpp": "the request exceeds the available context size. try increasing the context size",
}


def stop_of(status: int, body: dict, tmp_path) -> str:
    """How the one sample ended: Inspect's stop reason, or the kind of its error."""

    async def refuse(request):
        return web.json_response(body, status=status)

    with serving(refuse, ["m"]) as url:
        model = get_model("sinternal_server/m", base_url=url, api_key="none", memoize=False)
        task = Task(dataset=[Sample("May I?")])
        (log,) = eval(task, model=model, display="none", log_dir=str(tmp_path), max_retries=0, fail_on_error=False)
    (sample,) = log.samples
    return sample.error.message.partition("(")[0] if sample.error else sample.output.stop_reason


def chat(finish: str | None, content: str | None = "A lamp.", **message) -> dict:
    """What a server answers."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


@pytest.mark.parametrize("words", LENGTHS.values(), ids=LENGTHS)
def test_a_prompt_that_is_too_long_is_an_outcome(words, tmp_path):
    assert (
        stop_of(400, {"error": {"message": words, "type": "BadRequestError", "code": 400}}, tmp_path) == "model_length"
    )


def test_what_the_gateway_in_front_says_of_it(tmp_path):
    assert stop_of(413, {"error": "Payload Too Large"}, tmp_path) == "model_length"


def test_a_content_filter_is_an_outcome(tmp_path):
    body = {"error": {"message": "The response was filtered", "code": "content_filter"}}

    assert stop_of(400, body, tmp_path) == "content_filter"


def test_a_setting_that_the_server_does_not_know_is_a_failure(tmp_path):
    body = {"error": {"message": "unknown field `top_k`", "type": "invalid_request_error", "code": "unknown_parameter"}}

    assert "Error" in stop_of(400, body, tmp_path)


@pytest.mark.parametrize(
    "word, stop",
    [
        ("stop", "stop"),
        ("eos_token", "stop"),
        ("length", "max_tokens"),
        ("repetition", "max_tokens"),
        ("MAX_TOKENS", "max_tokens"),
        ("SAFETY", "content_filter"),
        ("tool_use", "tool_calls"),
    ],
)
def test_servers_words_for_the_end_of_an_answer(word, stop, tmp_path):
    assert stop_of(200, chat(word), tmp_path) == stop


@pytest.mark.parametrize("word", ["abort", "error", None])
def test_an_answer_that_was_broken_off_is_a_failure(word, tmp_path):
    assert "Error" in stop_of(200, chat(word), tmp_path)


def test_a_model_that_calls_tools_is_asked_once(tmp_path):
    call = {"id": "1", "type": "function", "function": {"name": "light", "arguments": "{}"}}
    asked = []

    async def calls_a_tool(request):
        asked.append(await request.json())
        return web.json_response(chat("tool_calls", None, tool_calls=[call]) if len(asked) < 4 else chat("stop"))

    with serving(calls_a_tool, ["m"]) as url:
        model = get_model("sinternal_server/m", base_url=url, api_key="none", memoize=False)
        task = Task(dataset=[Sample("May I?")], solver=ask_model("none"))
        (log,) = eval(task, model=model, display="none", log_dir=str(tmp_path))

    assert len(asked) == 1
    assert [sample.output.stop_reason for sample in log.samples] == ["tool_calls"]


def test_an_answer_of_another_form_is_a_failure_that_nobody_repeats(tmp_path):
    said = [{"type": "text", "text": "A lamp that nobody lit."}]

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with quiet_inspect():
            assert "Error" in stop_of(200, chat("stop", said), tmp_path)

    assert not [one for one in seen if "lamp" in str(one.message)]
