"""The guard behind any OpenAI-compatible server.

Prompts are rendered here with the guard's own tokenizer and go to ``/v1/completions`` as token ids. Through
chat completions the server would take control tokens in a policy's text for its own.
"""

import asyncio
import json
from collections.abc import Collection, Mapping
from contextvars import ContextVar
from typing import Any

import aiohttp

from sinternal_verl.guard.api_key import headers_of, hide, read_key
from sinternal_verl.guard.errors import GuardUnavailable, Refused
from sinternal_verl.guard.judge import DECODE_TOKENS, Generated, Judge, Judgement, Mode, Refusal
from sinternal_verl.guard.template import GuardTemplate
from sinternal_verl.tokens import whole_text

MIN_PAUSE_S, MAX_PAUSE_S = 0.1, 5.0
"""Pause after a failed try; it doubles from the first to the second of these."""

TOP_LOGPROBS = 5
"""How many alternatives of a single token are asked for; OpenAI's own limit."""

_failures: ContextVar[list[str]] = ContextVar("failures")
"""The failed tries of one judgement, for the message at its deadline."""


class EndpointClient:
    """`Backend` over HTTP. It has one session for each event loop and one deadline for each judgement.

    Args:
        url: the server's address, up to and with ``/v1``.
        model: the name that the guard is served under.
        tokenizer: the guard's own.
        max_model_len: the guard's context in tokens.
        mode: ``decode`` works everywhere; ``first_token`` asks for two answers of one token.
        timeout_s: deadline of one judgement, retries included.
        api_key: sent with each request; None sends none. No message shows it.
    """

    def __init__(
        self,
        url: str,
        model: str,
        tokenizer: Any,
        max_model_len: int,
        mode: Mode = "first_token",
        timeout_s: float = 60,
        api_key: str | None = None,
    ) -> None:
        self._url, self._model, self._tokenizer, self._timeout_s = url.rstrip("/"), model, tokenizer, timeout_s
        self._api_key = api_key
        template = GuardTemplate(tokenizer, max_model_len - DECODE_TOKENS)
        self._judge = Judge(template, tokenizer, self._generate, mode)
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def from_config(cls, guard: Mapping[str, Any]) -> "EndpointClient":
        """The client of a ``sinternal.guard`` node with ``backend: openai_endpoint`` or ``verl_router``. It loads the
        guard's tokenizer, which takes a moment: not in an event loop.

        Raises:
            EndpointFault: the environment variable ``api_key_env`` holds no key.
            OSError, ValueError: the tokenizer does not load, or is not a guard's.
        """
        from transformers import AutoTokenizer

        engine, api_key = guard["engine"], read_key(guard.get("api_key_env"))
        return cls(
            guard["url"],
            guard.get("served_as") or engine["model"],
            AutoTokenizer.from_pretrained(engine["model"]),
            engine.get("max_model_len", 32768),
            guard.get("mode", "first_token"),
            guard.get("request_timeout_s", 60.0),
            api_key,
        )

    async def judge(self, user: str, assistant: str, refusal: Refusal = True) -> Judgement:
        """See `Backend.judge`."""
        failures: list[str] = []
        _failures.set(failures)
        try:
            return await asyncio.wait_for(self._judge.judge(user, assistant, refusal), self._timeout_s)
        except asyncio.TimeoutError as error:
            late = f"{self._url} gave no verdict within {self._timeout_s:g} s"
            if failures:
                raise GuardUnavailable(f"{late}; its last failure: {failures[-1]}") from error
            raise TimeoutError(late) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _generate(self, ids: list[int], tokens: int, alternatives: Collection[int]) -> Generated:
        """Try until the server answers or `judge`'s deadline is over; a request that it rejects is not repeated."""
        body = {"model": self._model, "prompt": ids, "max_tokens": tokens, "temperature": 0}
        if alternatives:
            # The protocol takes no ids, so the most probable tokens are asked for.
            body["logprobs"] = TOP_LOGPROBS
        pause = MIN_PAUSE_S
        while True:
            try:
                text, likely = await self._post(body)
                spelt = {tuple(self._ids(word)): value for word, value in likely.items()}
                return Generated(self._ids(text), text, {one[0]: spelt[one] for one in spelt if len(one) == 1})
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, _Busy) as error:
                _failures.get().append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE_S)

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)

    async def _post(self, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The text, and what the server gives as log-probabilities of its first token's alternatives."""
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            # No limit on connections: requests queue in the server.
            connector, headers = aiohttp.TCPConnector(limit=0), headers_of(self._api_key)
            self._session, self._loop = aiohttp.ClientSession(connector=connector, headers=headers), loop
        limit = aiohttp.ClientTimeout(total=self._timeout_s)
        async with self._session.post(f"{self._url}/completions", json=body, timeout=limit) as response:
            if response.status == 429 or response.status >= 500:
                raise _Busy(f"HTTP {response.status}")
            answer = await response.text()
            if response.status != 200:
                raise Refused(self._url, response.status, hide(answer, self._api_key)[:300])
        try:
            choice = json.loads(answer)["choices"][0]
            return whole_text(choice["text"]), _alternatives(choice)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            shown = hide(answer, self._api_key)[:300]
            raise GuardUnavailable(f"{self._url} answered without choices[0].text: {shown}") from error


def _alternatives(choice: Mapping[str, Any]) -> dict[str, Any]:
    """The words that a server names as first token, each with what it gives as log-probability. Empty where it gives
    none or gives them in another form: they only say how sure the guard is, and its verdict is the text."""
    found: Any = choice.get("logprobs")
    found = found.get("top_logprobs") if isinstance(found, dict) else None
    found = found[0] if isinstance(found, list) and found else None
    return {whole_text(word): value for word, value in found.items()} if isinstance(found, dict) else {}


class _Busy(Exception):
    """The server refuses for now."""
