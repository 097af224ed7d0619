"""The guard's replicas behind an OpenAI-compatible server (`sinternal-verl guard serve`).

``/v1/chat/completions``  judges the last user message and the assistant's answer to it, and answers with
                          the guard's three lines; the texts go into the guard's template as in training
                          (`sinternal_verl.guard.template`), so that neither can pose as its instructions
``/v1/completions``       continues token ids as they are; ``guard=openai_endpoint`` asks for this
``/v1/models``
``/health``               200 when every replica answers, else 503 with the names of those that do not

What a request may ask for: `sinternal_verl.guard.parameters`. The request of a client that left is cancelled, in the
guard's engine, too. With a key, every path but ``/health`` wants it as ``Authorization: Bearer``.
"""

import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from ray.exceptions import RayError

from sinternal_verl.credentials import headers_of
from sinternal_verl.guard.client import ReplicaClient
from sinternal_verl.guard.errors import BadRequest, CallFailed, GuardUnavailable, UnreadableVerdict
from sinternal_verl.guard.judge import Generated, Judgement
from sinternal_verl.guard.parameters import read_completion, read_conversation
from sinternal_verl.guard.verdict import Verdict

MAX_BYTES = 32 * 2**20
"""The most that one request may have."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(client: ReplicaClient, model: str, tokenizer: Any, api_key: str | None = None) -> web.Application:
    """The server's application. Run it with ``handler_cancellation``, so that a client that leaves cancels its request.

    Args:
        client: asks the replicas. It must send each call on its own (``max_calls=1``): calls that travel together are
            cancelled together.
        model: the name it serves under; a request may leave it out.
        tokenizer: the guard's own, for prompts that come as text.
        api_key: what a request must bring; None takes every request.
    """
    routes = _Routes(client, model, tokenizer)
    app = web.Application(client_max_size=MAX_BYTES, middlewares=[_errors, _wants(api_key)])
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
        faults = await self._client.faults()
        if not faults:
            return web.json_response({"status": "ok"})
        message = "; ".join(f"{replica}: {what}" for replica, what in faults.items())
        error = {"message": message, "type": "guard_unavailable", "param": None, "code": 503}
        return web.json_response({"status": "failing", "replicas": faults, "error": error}, status=503)

    async def models(self, request: web.Request) -> web.Response:
        served = {"id": self._model, "object": "model", "created": self._started, "owned_by": "sinternal_verl"}
        return web.json_response({"object": "list", "data": [served]})

    async def completions(self, request: web.Request) -> web.Response:
        asked = read_completion(await self._body(request))
        ids = asked.prompt
        if isinstance(ids, str):
            ids = self._tokenizer.encode(ids, add_special_tokens=False)
        written = await self._client.generate(ids, asked.tokens)
        reason = "length" if len(written.ids) >= asked.tokens else "stop"
        logprobs = None if asked.logprobs is None else self._logprobs(written, asked.logprobs)
        choice = {"index": 0, "text": written.text, "logprobs": logprobs, "finish_reason": reason}
        usage = {"prompt_tokens": len(ids), "completion_tokens": len(written.ids)}
        return self._answer("text_completion", choice, usage)

    def _logprobs(self, written: Generated, most: int) -> dict[str, Any] | None:
        """OpenAI's ``logprobs``, for an answer of a single token: the replicas give no others."""
        if not written.first:
            return None
        likely = sorted(written.first.items(), key=lambda one: one[1], reverse=True)[:most]
        words = {self._tokenizer.decode([id]): value for id, value in likely}
        own = [written.first.get(id) for id in written.ids]
        return {"tokens": [written.text], "token_logprobs": own, "top_logprobs": [words]}

    async def chat(self, request: web.Request) -> web.Response:
        judgement = await self._client.judge(*read_conversation(await self._body(request)))
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
            raise BadRequest(f"model = {body['model']!r}: this server has {self._model!r}", "model")
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


def _beside(judgement: Judgement) -> dict[str, Any]:
    return {"cut": judgement.cut, "refusal": judgement.verdict.refusal, "safety": judgement.verdict.safety.value}


def _wants(api_key: str | None) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
    """The middleware that lets requests with the key through, and those for ``/health``."""
    wanted = headers_of(api_key).get("Authorization")

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        brought = request.headers.get("Authorization", "")
        open_to_all = wanted is None or request.path == "/health"
        if open_to_all or hmac.compare_digest(brought.encode("utf-8", "replace"), wanted.encode()):
            return await handler(request)
        return _error(401, "invalid_api_key", PermissionError("this server wants its key as Authorization: Bearer"))

    return check


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn exceptions into OpenAI's error objects: 400 and 422 for what fails each time, 503 and 504 for what may be
    tried again."""
    try:
        return await handler(request)
    except web.HTTPException as error:  # no such path, another method, too many bytes
        return _error(error.status, "invalid_request_error", error)
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
    told = {"message": message, "type": kind, "param": getattr(error, "param", None), "code": status}
    return web.json_response({"error": told}, status=status)
