"""A response has one thought and one answer: in a run, and whichever provider of Inspect gave it."""

import pytest

pytest.importorskip("inspect_ai", reason="Inspect needs Python 3.11")

from aiohttp import web
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageAssistant, ContentReasoning, ContentText, GenerateConfig, ModelOutput, get_model
from servers import serving

from sinternal_verl.evaluation.tasks import answers
from sinternal_verl.evaluation.tasks.answers import read
from sinternal_verl.evaluation.tasks.asking import ask_model
from sinternal_verl.scoring.response import final_answer
from sinternal_verl.scoring.safety import judged_text

RAW = {
    "as R1's template gives it": "It asks.</think>No.",
    "with its own tag": "<think>\nIt asks.\n</think>\n\nNo.",
    "something before the tag": "It asks. <think>Why?</think>No.",
    "a thought within the thought": "<think>It <think>asks</think> so.</think>No.",
    "a second thought": "<think>It asks.</think>Yes. <think>Or?</think>No.",
    "a second end": "It asks.</think>Yes.</think>No.",
    "the tag as a word": "The tag <think> comes first.</think>No.",
    "never closed": "<think>It asks and asks",
    "an empty answer": "<think>It asks.</think>",
    "no thought at all": "No.",
    "long": "<think>" + "It asks. " * 500 + "</think>" + "No. " * 500,
}
"""Names and what a model wrote."""


def bare(text: str | None) -> str | None:
    return None if text is None else text.removeprefix("<think>").strip()


@pytest.fixture(scope="module")
def server():
    """An OpenAI-compatible server that says what it is asked for, whole; or, if told so, with the thought apart."""

    async def reply(request):
        body = await request.json()
        text, message = body["messages"][-1]["content"], {"role": "assistant"}
        if body.get("apart"):
            thought, end, answer = text.removeprefix("<think>").partition("</think>")
            message |= {"reasoning_content": thought, "content": answer if end else None}
        else:
            message |= {"content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop" if "</think>" in text else "length"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return web.json_response(
            {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        )

    with serving(reply, ["m"]) as url:
        yield url


def outputs_of(url: str, tmp_path, thought: str, apart: bool = False, **options) -> list[ModelOutput]:
    """What a log holds after the model gave `RAW`."""
    samples = [Sample(id=number, input=text) for number, text in enumerate(RAW.values())]
    config = GenerateConfig(extra_body={"apart": True} if apart else None)
    task = Task(samples, solver=ask_model(thought), config=config)
    model = get_model("vllm/answers", base_url=url, api_key="none", memoize=False)
    [log] = eval(task, model=model, display="none", log_dir=str(tmp_path), **options)
    assert log.status == "success", log.error
    return [sample.output for sample in sorted(log.samples, key=lambda sample: sample.id)]


@pytest.mark.parametrize("thought", ["required", "none"])
def test_an_answer_is_the_one_that_a_run_judges(server, tmp_path, thought):
    for (name, raw), output in zip(RAW.items(), outputs_of(server, tmp_path, thought), strict=True):
        found = read(output, thought)
        assert found.judged("answer") == judged_text(raw, "answer", thought), name
        if thought == "required":
            assert bare(found.judged("thought")) == bare(judged_text(raw, "thought", thought)), name
            assert bare(final_answer(found.text, "required")) == bare(final_answer(raw, "required")), name


def test_a_thought_that_a_server_gives_apart_is_the_same(server, tmp_path):
    apart = outputs_of(server, tmp_path, "required", apart=True)
    for (name, raw), output in zip(RAW.items(), apart, strict=True):
        if raw == "No.":  # such a server takes what is never closed for a thought
            continue
        found = read(output, "required")
        assert found.judged("answer") == judged_text(raw, "answer"), name
        assert found.closed == ("</think>" in raw), name


def test_without_a_record_of_the_call_the_usual_forms_are_the_same_and_it_is_said(
    server, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(answers, "_said", False)
    found = outputs_of(server, tmp_path, "required", log_model_api=False)
    assert caplog.text.count("its thought ends where Inspect cut it") == 1
    for name, output in zip(RAW, found, strict=True):
        if name in ("as R1's template gives it", "with its own tag", "a second thought", "never closed", "long"):
            assert read(output, "required").judged("answer") == judged_text(RAW[name], "answer"), name


def test_a_log_holds_thought_and_answer_apart(server, tmp_path):
    output = outputs_of(server, tmp_path, "required")[0]

    assert [part.type for part in output.message.content] == ["reasoning", "text"]
    assert output.completion == "No."


def test_a_cut_thought_without_an_answer_is_not_an_empty_answer():
    message = ChatMessageAssistant(content=[ContentReasoning(reasoning="It asks"), ContentText(text="")])
    cut, whole = (ModelOutput.from_message(message, reason) for reason in ("max_tokens", "stop"))

    assert read(cut, "required").judged("answer") is None and read(cut, "required").truncated
    assert read(whole, "required").judged("answer") == ""


def test_a_redacted_thought_is_read_from_its_summary():
    hidden = ContentReasoning(reasoning="x9Z", redacted=True, summary="It asks.")
    output = ModelOutput.from_message(ChatMessageAssistant(content=[hidden, ContentText(text="No.")]))

    assert read(output, "none").judged("answer") == "No."
    assert read(output, "required").judged("thought") == "It asks."


def test_no_output_is_no_answer():
    empty = ModelOutput(model="m")

    assert read(empty, "required").judged("answer") is None
    assert read(empty, "none").judged("answer") == ""


@pytest.mark.parametrize(
    ("stop", "reason"), [("model_length", "prompt_too_long"), ("content_filter", "content_filter")]
)
def test_a_servers_message_in_place_of_a_response_is_not_the_models_answer(stop, reason):
    output = ModelOutput.from_content("m", "This model's maximum context length is 2048 tokens.", stop)

    for thought in ("required", "none"):
        assert read(output, thought).judged("answer") is None
        assert read(output, thought).absent == reason
