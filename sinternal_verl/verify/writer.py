"""A model that writes, behind an OpenAI-compatible server or run by vLLM in this process."""

import asyncio
import os
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any, Protocol

from sinternal_verl.platform.compat import vllm_request_errors
from sinternal_verl.scoring.response import Thought
from sinternal_verl.tokens import TextEncoder, whole_text
from sinternal_verl.verify.origin import is_path, origin_of
from sinternal_verl.verify.store import Finish, Reply

Messages = list[dict[str, str]]

MAX_PAUSE_S = 120.0
"""The longest pause between two tries: the longest Retry-After that OpenAI's client obeys."""

_FINISH: dict[str | None, Finish] = {"length": "length", "content_filter": "refused"}


@dataclass(frozen=True)
class Limits:
    """How many requests at a time, and what one run may spend; None is no limit."""

    concurrency: int
    max_requests: int | None = None
    max_tokens: int | None = None


@dataclass(frozen=True)
class WriterSettings:
    """A model that writes; the keys are those of ``policy`` and ``expert`` in the recipe, which explains them.

    Attributes:
        url: the server's address; None runs vLLM in this process.
        revision: tells these weights from others of the same name; see `sinternal_verl.verify.origin`.
        api_key_env: the environment variable that holds the key; None sends none.
        request: sampling parameters, sent as they are.
        timeout_s: seconds for one try of a request.
        max_requests, max_tokens: what one command may spend; None is no limit.
        engine: vLLM's arguments where there is no ``url``.
    """

    model: str
    url: str | None
    api_key_env: str | None
    request: dict[str, Any]
    concurrency: int
    timeout_s: float
    retries: int
    max_requests: int | None
    max_tokens: int | None
    engine: dict[str, Any]
    thought: Thought = "none"
    revision: str | None = None

    @property
    def limits(self) -> Limits:
        return Limits(self.concurrency, self.max_requests, self.max_tokens)

    @property
    def api_key(self) -> str:
        """The key; empty where the variable is not set, because a server of one's own asks for none."""
        return os.environ.get(self.api_key_env, "") if self.api_key_env else ""

    def origin(self) -> dict[str, Any]:
        """What decides its replies. The server's address, time limits, how a reply is read and the like do not."""
        return self._origin

    def pinned_engine(self) -> dict[str, Any]:
        """vLLM's arguments, with the very commit that the keys name, although the hub may have a later one."""
        engine = dict(self.engine)
        if not is_path(self.model, served=False):
            engine["revision"] = self.origin().get("revision")
            if not engine.get("tokenizer"):
                engine.setdefault("tokenizer_revision", engine["revision"])
        return engine

    @cached_property
    def _origin(self) -> dict[str, Any]:
        # Read once: whoever replaces the weights during a build must not change the keys half way.
        return origin_of(self.model, bool(self.url), self.revision, self.request, self.engine)


class WriterFailed(RuntimeError):
    """One request got no reply after all tries; another may get one.

    Attributes:
        kind: a few words, by which failures are counted.
    """

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind


class WriterUnusable(RuntimeError):
    """No request will get a reply: the key is refused, there is no such model, or the engine died."""


class Writer(Protocol):
    """Answers conversations; many calls may run at once."""

    async def write(self, messages: Messages, seed: int | None) -> Reply:
        """Answer one conversation.

        Args:
            seed: the seed of the sampling; None sends none.

        Raises:
            WriterFailed: this request got no reply.
            WriterUnusable: no request will get a reply.
        """
        ...

    async def close(self) -> None: ...


class EndpointWriter:
    """A model behind an HTTP server, asked by OpenAI's own client. The client tries again, with jitter, after 408,
    409, 429, 5xx, timeouts and broken connections, and after no other fault."""

    def __init__(self, settings: WriterSettings) -> None:
        from openai import AsyncOpenAI, DefaultAioHttpClient

        self._settings = settings
        self._bound_s = (settings.retries + 1) * (settings.timeout_s + MAX_PAUSE_S)
        self._client = AsyncOpenAI(
            base_url=settings.url,
            api_key=settings.api_key or "none",
            max_retries=settings.retries,
            timeout=settings.timeout_s,
            # The default transport searches all its connections at every request, which is slow for many.
            http_client=DefaultAioHttpClient(),
        )

    async def write(self, messages: Messages, seed: int | None) -> Reply:
        import openai

        body = {"model": self._settings.model, "messages": messages, **self._settings.request}
        # Posted as it is: the typed method would walk through every field of every request.
        call = self._client.post(
            "/chat/completions", body=body | ({} if seed is None else {"seed": seed}), cast_to=object
        )
        try:
            # The client's own timeout bounds a single read, so a server that drips bytes would never reach it.
            response = await asyncio.wait_for(call, self._bound_s)
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            step = f"set {self._settings.api_key_env or 'the variable that api_key_env names'} to its key"
            raise WriterUnusable(f"{self._settings.url} refuses the key: {_short(error)}; {step}") from error
        except openai.NotFoundError as error:
            step = "check model and url, which ends in /v1"
            raise WriterUnusable(f"{self._settings.url}: {_short(error)}; {step}") from error
        except (openai.OpenAIError, asyncio.TimeoutError, ValueError) as error:
            raise WriterFailed(type(error).__name__, f"{self._settings.url}: {_short(error)}") from error
        return _reply(response)

    async def close(self) -> None:
        await self._client.close()


def _reply(body: Any) -> Reply:
    try:
        choice = body["choices"][0]
        message = dict(choice["message"])
    except (LookupError, TypeError, ValueError) as error:
        raise WriterFailed("no choices", f"the server answered without choices[0].message: {body!r:.200}") from error
    # A server that returns thoughts apart uses one of these names; which one depends on its version.
    thought = message.get("reasoning_content") or message.get("reasoning") or ""
    refusal = message.get("refusal")
    text = refusal or message.get("content") or ""
    if not isinstance(text, str):
        raise WriterFailed("no text", f"the message's content is no text: {text!r:.200}")
    finish = "refused" if refusal else _FINISH.get(choice.get("finish_reason"), "stop")
    usage = body.get("usage")
    used = usage if isinstance(usage, dict) else {}
    read, written = (used.get(f"{name}_tokens") or 0 for name in ("prompt", "completion"))
    return Reply(whole_text(text), whole_text(str(thought)), finish, read, written)


class LocalWriter:
    """A model that vLLM runs in this process; it is loaded when this is made.

    Raises:
        WriterUnusable: vLLM does not know a parameter, or does not start the model.
    """

    def __init__(self, settings: WriterSettings) -> None:
        from vllm import SamplingParams
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.platforms import current_platform
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.async_llm import AsyncLLM

        self._request_errors = vllm_request_errors()
        try:
            # Special tokens are kept: for some models the tag that ends the thought is one.
            final = RequestOutputKind.FINAL_ONLY
            self._params = SamplingParams(**settings.request, skip_special_tokens=False, output_kind=final)
        except (TypeError, ValueError, *self._request_errors) as error:
            raise WriterUnusable(f"request={settings.request}: {error}; see vLLM's SamplingParams") from error
        self._longest, self._bound_s = settings.engine["max_model_len"], settings.timeout_s
        engine = settings.pinned_engine()
        if current_platform.is_cpu():
            # Where vLLM splits a prompt over two steps it rewinds the seeded generator, which fails on a CPU and
            # would end the engine. So prompts are not split, and a step must be able to read the longest one.
            engine.setdefault("enable_chunked_prefill", False)
            engine["max_num_batched_tokens"] = max(engine.get("max_num_batched_tokens") or 0, self._longest)
        args = AsyncEngineArgs(
            model=settings.model, max_num_seqs=settings.concurrency, disable_log_stats=True, **engine
        )
        try:
            self._engine, self._numbers = AsyncLLM.from_engine_args(args), count()
        # Whatever keeps it from starting: no such model, too little memory, a parameter of another version.
        except (RuntimeError, ValueError, OSError, *self._request_errors) as error:
            raise WriterUnusable(f"vLLM did not start {settings.model}: {_short(error)}") from error
        self._encoder = TextEncoder(self._engine.get_tokenizer())

    async def write(self, messages: Messages, seed: int | None) -> Reply:
        from vllm.v1.engine.exceptions import EngineDeadError

        ids = self._encoder.encode_prompt(messages)
        room = self._longest - len(ids)
        if room < 1:
            raise WriterFailed("prompt too long", f"{len(ids)} tokens, engine.max_model_len={self._longest}")
        params = self._params.clone()
        params.seed, params.max_tokens = seed, min(params.max_tokens or room, room)
        try:
            return await asyncio.wait_for(self._generate(ids, params), self._bound_s)
        except asyncio.TimeoutError as error:
            raise WriterFailed("timeout", f"no reply within timeout_s={self._bound_s:g}") from error
        except self._request_errors as error:
            raise WriterFailed("refused by vLLM", _short(error)) from error
        except EngineDeadError as error:
            raise WriterUnusable(f"vLLM's engine died: {error}; its own lines above say why") from error

    async def close(self) -> None:
        self._engine.shutdown()

    async def _generate(self, ids: list[int], params: Any) -> Reply:
        last = None
        async for output in self._engine.generate({"prompt_token_ids": ids}, params, str(next(self._numbers))):
            last = output
        written = last.outputs[0]
        finish = _FINISH.get(written.finish_reason, "stop")
        return Reply(whole_text(written.text), finish=finish, read=len(ids), written=len(written.token_ids))


def open_writer(settings: WriterSettings) -> Writer:
    """The writer of these settings.

    Raises:
        WriterUnusable: there is no ``url``, and vLLM does not start the model. See `LocalWriter`.
    """
    return EndpointWriter(settings) if settings.url else LocalWriter(settings)


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
