"""A model behind an OpenAI-compatible server, with the refusals of such servers read as stage 1 reads them.

Inspect's own provider ``openai-api`` knows how OpenAI says that a prompt is too long. vLLM, TGI and others say it in
other words, so that such an item would fail, and fail again each time the run goes on.

A router that has begun its answer with HTTP 200 says only in the body that it failed. That is a server's failure like
one of HTTP 500, and is tried again; Inspect's provider would raise a TypeError.

How an answer ended is read as stage 1 reads it, too. Inspect knows some of the words for it. All others it takes for an
answer that is whole, also where vLLM broke it off (``abort``) or a router says that it failed (``error``).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inspect_ai.model import ModelAPI, ModelOutput, StopReason, modelapi

from sinternal_verl.verify.outcome import Response, finish_of, read_response
from sinternal_verl.verify.store import Finish
from sinternal_verl.verify.writer import WriterFailed, WriterUnusable

if TYPE_CHECKING:
    from inspect_ai.tool import ToolInfo
    from openai.types.chat import ChatCompletion

PROVIDER = "sinternal_server"
STOPS: dict[str, StopReason] = {"too_long": "model_length", "refused": "content_filter"}
"""How Inspect calls a request that gets no answer, however often it is sent."""

ENDS: Mapping[Finish, str] = {
    "stop": "stop",
    "length": "length",
    "refused": "content_filter",
    "tool_calls": "tool_calls",
}
"""OpenAI's words for ours, which Inspect's provider knows."""


@modelapi(name=PROVIDER)
def server() -> type[ModelAPI]:
    """The class. Inspect's provider is imported here, because it loads OpenAI's client."""
    # No public names. `handle_bad_request` and `on_response` are meant to be overridden.
    from inspect_ai.model._openai import OpenAIResponseError
    from inspect_ai.model._providers.openai_compatible import OpenAICompatibleAPI

    class ServerModel(OpenAICompatibleAPI):
        def __init__(self, model_name: str, **arguments: Any) -> None:
            super().__init__(model_name, service="server", **arguments)

        def on_response(self, response: dict[str, Any]) -> None:
            if fault := no_answer(response):
                raise OpenAIResponseError("server_error", fault)

        def chat_choices_from_completion(self, completion: "ChatCompletion", tools: list["ToolInfo"]) -> list[Any]:
            for choice in completion.choices:
                choice.finish_reason = ENDS[finish_of(choice.finish_reason)]
            return super().chat_choices_from_completion(completion, tools)

        def handle_bad_request(self, ex: Any) -> ModelOutput | Exception:
            refusal = Response(ex.status_code, ex.response.headers, ex.response.text)
            try:
                stop = STOPS.get(read_response(refusal, (), answered=True).finish)
            except (WriterFailed, WriterUnusable):  # it says nothing of the request
                stop = None
            return (
                super().handle_bad_request(ex) if stop is None else ModelOutput.from_content(self.model_name, "", stop)
            )

    return ServerModel


def no_answer(response: Mapping[str, Any]) -> str:
    """Why a body that came with HTTP 200 is no answer; empty where it is one.

    >>> no_answer({"choices": [{"message": {"content": "No."}, "finish_reason": "stop"}]})
    ''
    >>> no_answer({"choices": [{"message": {"content": "N"}, "finish_reason": "abort"}]})
    'finish_reason abort: this is no end of an answer, so what was written is not taken'
    >>> no_answer({"error": {"message": "no memory"}})
    'no memory'
    """
    choices, error = response.get("choices") or [], response.get("error")
    if error:
        return str(error.get("message") or error) if isinstance(error, Mapping) else str(error)
    if not choices or not choices[0].get("message"):
        return "its body has no choices[0].message"
    try:
        for choice in choices:
            finish_of(choice.get("finish_reason"))
    except WriterFailed as fault:
        return str(fault)
    return ""
