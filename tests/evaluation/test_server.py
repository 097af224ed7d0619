"""What servers answer to a prompt that they cannot take is read once, whatever words they have for it."""

import pytest

pytest.importorskip("inspect_ai", reason="Inspect needs Python 3.11")

from aiohttp import web
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import get_model
from servers import serving

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
