"""The guard's replicas behind an OpenAI-compatible server (`sinternal-verl guard serve`).

``/v1/chat/completions``  judges the last user message and the assistant's answer to it, and answers with
                          the guard's three lines; the texts go into the guard's template as in training
                          (`sinternal_verl.guard.template`), so that neither can pose as its instructions
``/v1/completions``       continues token ids as they are; ``guard=openai_endpoint`` asks for this
``/v1/models``, ``/health``
"""

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web
from ray.exceptions import RayError

from sinternal_verl.guard.client import ReplicaClient
from sinternal_verl.guard.errors import BadRequest, CallFailed, GuardUnavailable, UnreadableVerdict
from sinternal_verl.guard.judge import Generated, Judgement
from sinternal_verl.guard.verdict import Verdict

MAX_BYTES = 32 * 2**20
"""The most that one request may have."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(client: ReplicaClient, model: str, tokenizer: Any) -> web.Application:
    """The server's application.

    Args:
        client: asks the replicas.
        model: the name it serves under; a request may leave it out.
        tokenizer: the guard's own, for prompts that come as text.
    """
    routes = _Routes(client, model, tokenizer)
    app = web.Application(client_max_size=MAX_BYTES, middlewares=[_errors])
    app.router.add_get("/health", routes.health)
    app.router.add_get("/v1/models", routes.models)
    app.router.add_post("/v1/completions", routes.completions)
    app.router.add_post("/v1/chat/completions", routes.chat)
    return app


class _Routes:
    def __init__(self, client: ReplicaClient, model: str, tokenizer: Any) -> None:
        self._client, self._model, self._tokenizer = client, model, tokenizer
        self._started = int(time.time())

    async def health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def models(self, request: web.Request) -> web.Response:
        served = {"id": self._model, "object": "model", "created": self._started, "owned_by": "sinternal_verl"}
        return web.json_response({"object": "list", "data": [served]})

    async def completions(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        prompt, tokens = body.get("prompt"), body.get("max_tokens")
        tokens = 16 if tokens is None else tokens
        if isinstance(prompt, str):
            prompt = self._tokenizer.encode(prompt, add_special_tokens=False)
        if not isinstance(prompt, list) or not prompt or not all(type(id) is int and id >= 0 for id in prompt):
            raise BadRequest("prompt must be one string or one list of token ids")
        if type(tokens) is not int or tokens < 1:
            raise BadRequest(f"max_tokens = {tokens!r}: give a positive number")
        written = await self._client.generate(prompt, tokens)
        reason = "length" if len(written.ids) >= tokens else "stop"
        logprobs = self._logprobs(written) if body.get("logprobs") else None
        choice = {"index": 0, "text": written.text, "logprobs": logprobs, "finish_reason": reason}
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(written.ids)}
        return self._answer("text_completion", choice, usage)

    def _logprobs(self, written: Generated) -> dict[str, Any] | None:
        """OpenAI's ``logprobs``, for an answer of a single token: the replicas give no others."""
        if not written.first:
            return None
        words = {self._tokenizer.decode([id]): value for id, value in written.first.items()}
        return {"tokens": [written.text], "token_logprobs": [words.get(written.text)], "top_logprobs": [words]}

    async def chat(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        judgement = await self._client.judge(*_conversation(body.get("messages")))
        if judgement.verdict is None:
            raise UnreadableVerdict(f"the guard gave no verdict: {judgement.reason}")
        message = {"role": "assistant", "content": three_lines(judgement.verdict)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return self._answer("chat.completion", choice, {}, sinternal=_beside(judgement))

    async def _body(self, request: web.Request) -> Mapping[str, Any]:
        try:
            body = await request.json()
        except json.JSONDecodeError as error:
            raise BadRequest(f"the body is no JSON: {error}") from error
        if not isinstance(body, Mapping):
            raise BadRequest("the body must be a JSON object")
        if body.get("model", self._model) != self._model:
            raise BadRequest(f"model = {body['model']!r}: this server has {self._model!r}")
        wants = {"stream": False, "temperature": 0, "n": 1}
        for name, only in wants.items():
            if body.get(name) not in (None, only):
                raise BadRequest(f"{name} = {body[name]!r}: this server judges greedily, once and whole; leave it out")
        return body

    def _answer(
        self, kind: str, choice: dict[str, Any], usage: dict[str, int], **more: Mapping[str, Any]
    ) -> web.Response:
        known = {"object": kind, "created": int(time.time()), "model": self._model}
        return web.json_response(
            {"id": f"guard-{time.time_ns()}", **known, "choices": [choice], "usage": usage, **more}
        )


def three_lines(verdict: Verdict) -> str:
    r"""A verdict as the guard writes it.

    >>> from sinternal_verl.guard.verdict import Safety
    >>> three_lines(Verdict(Safety.SAFE, (), False))
    'Safety: Safe\nCategories: None\nRefusal: No'
    """
    categories, refusal = ", ".join(verdict.categories) or "None", "Yes" if verdict.refusal else "No"
    return f"Safety: {verdict.safety.value}\nCategories: {categories}\nRefusal: {refusal}"


def _conversation(messages: Any) -> tuple[str, str]:
    """The last user message and the answer to it."""
    wanted = "messages must end with a user's and an assistant's, each with a string as content"
    if not isinstance(messages, Sequence) or len(messages) < 2:
        raise BadRequest(wanted)
    asked, said = messages[-2:]
    for message, role in ((asked, "user"), (said, "assistant")):
        if not isinstance(message, Mapping) or message.get("role") != role or type(message.get("content")) is not str:
            raise BadRequest(wanted)
    return asked["content"], said["content"]


def _beside(judgement: Judgement) -> dict[str, Any]:
    return {"cut": judgement.cut, "refusal": judgement.verdict.refusal, "safety": judgement.verdict.safety.value}


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn exceptions into OpenAI's error objects: 400 and 422 for what fails each time, 503 and 504 for what may be
    tried again."""
    try:
        return await handler(request)
    except ValueError as error:
        return _error(400, "invalid_request_error", error)
    except UnreadableVerdict as error:
        return _error(422, "no_verdict", error)
    except (GuardUnavailable, CallFailed, RayError) as error:
        return _error(503, "guard_unavailable", error)
    except TimeoutError as error:
        return _error(504, "timeout", error)


def _error(status: int, kind: str, error: Exception) -> web.Response:
    # Ray puts an actor's traceback before its error, so the last line is the message.
    message = str(error).strip().splitlines()[-1] if str(error) else type(error).__name__
    return web.json_response({"error": {"message": message, "type": kind, "code": status}}, status=status)
