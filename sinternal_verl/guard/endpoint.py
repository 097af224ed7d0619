"""The guard behind any OpenAI-compatible server.

Prompts are rendered here with the guard's own tokenizer and go to ``/v1/completions`` as token ids. Through
chat completions the server would take control tokens in a policy's text for its own.
"""

import asyncio
import json
import time
from collections.abc import Collection, Mapping
from contextvars import ContextVar
from typing import Any

import aiohttp

from sinternal_verl.credentials import headers_of, hide
from sinternal_verl.guard.api_key import key_of
from sinternal_verl.guard.clock import clock_of_this_sample, wait_within
from sinternal_verl.guard.errors import GuardUnavailable, Refused
from sinternal_verl.guard.judge import DECODE_TOKENS, Generated, Judge, Judgement, Mode, Refusal
from sinternal_verl.guard.template import GuardTemplate
from sinternal_verl.guard.window import Window
from sinternal_verl.runs.secrets import masked
from sinternal_verl.tokens import whole_text

MIN_PAUSE_S, MAX_PAUSE_S = 0.1, 5.0
"""Pause after a failed try; it doubles from the first to the second of these."""

TOP_LOGPROBS = 5
"""How many alternatives of a single token are asked for; OpenAI's own limit."""

MAX_IN_FLIGHT = 256
"""The most judgements that this process asks of the server at a time; the others wait, and their time stands still."""

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
        timeout_s: seconds that one judgement may take, retries included, once this process has a place for it.
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
        self._api_key, self._where = api_key, masked("url", self._url)
        template = GuardTemplate(tokenizer, max_model_len - DECODE_TOKENS)
        self._judge = Judge(template, tokenizer, self._generate, mode)
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._window = Window(MAX_IN_FLIGHT, limit_s=timeout_s)
        self._last_failure = ""

    @classmethod
    def from_config(cls, guard: Mapping[str, Any]) -> "EndpointClient":
        """The client of a ``sinternal.guard`` node with ``backend: openai_endpoint`` or ``verl_router``. It loads the
        guard's tokenizer, which takes a moment: not in an event loop.

        Raises:
            EndpointFault: the environment variable ``api_key_env`` holds no key, or the key may not go to ``url``.
            OSError, ValueError: the tokenizer does not load, or is not a guard's.
        """
        from transformers import AutoTokenizer

        engine, api_key = guard["engine"], key_of(guard)
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
        self._meet_loop()
        clock, limit_s, started = clock_of_this_sample(), self._timeout_s, None
        try:
            with clock.at_the_guard():
                limit_s = min(limit_s, clock.left_s)
                async with self._window.place(limit_s):
                    started = time.monotonic()
                    try:
                        return await wait_within(self._judge.judge(user, assistant, refusal), limit_s)
                    finally:
                        clock.serve(time.monotonic() - started)
        except (TimeoutError, asyncio.TimeoutError) as error:  # one class from Python 3.11 on
            late = f"{self._where} gave no verdict within {limit_s:.3g} s" + (f": {error}" * (started is None))
            # One that only waited was held up by the failures of others.
            if failures or (started is None and self._last_failure):
                last = failures[-1] if failures else self._last_failure
                raise GuardUnavailable(f"{late}; its last failure: {last}") from error
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
                self._last_failure = ""
                spelt = {tuple(self._ids(word)): value for word, value in likely.items()}
                return Generated(self._ids(text), text, {one[0]: spelt[one] for one in spelt if len(one) == 1})
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, _Busy) as error:
                self._last_failure = f"{type(error).__name__}: {error}"
                _failures.get().append(self._last_failure)
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE_S)

    def _meet_loop(self) -> None:
        """A session and a window belong to one event loop; begin anew in another."""
        if self._loop is not (loop := asyncio.get_running_loop()):
            self._loop, self._session, self._window = loop, None, Window(MAX_IN_FLIGHT, limit_s=self._timeout_s)

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)

    async def _post(self, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The text, and what the server gives as log-probabilities of its first token's alternatives."""
        if self._session is None:
            # No limit on connections: the window sets it.
            connector, headers = aiohttp.TCPConnector(limit=0), headers_of(self._api_key)
            self._session = aiohttp.ClientSession(connector=connector, headers=headers)
        limit = aiohttp.ClientTimeout(total=self._timeout_s)
        # Another host gets neither the key nor the conversation.
        completions = f"{self._url}/completions"
        async with self._session.post(completions, json=body, timeout=limit, allow_redirects=False) as response:
            if response.status == 429 or response.status >= 500:
                raise _Busy(f"HTTP {response.status}")
            answer = await response.text()
            if response.status != 200:
                raise Refused(self._where, response.status, hide(pointing(response) or answer, self._api_key)[:300])
        try:
            choice = json.loads(answer)["choices"][0]
            return whole_text(choice["text"]), _alternatives(choice)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            shown = hide(answer, self._api_key)[:300]
            raise GuardUnavailable(f"{self._where} answered without choices[0].text: {shown}") from error


def _alternatives(choice: Mapping[str, Any]) -> dict[str, Any]:
    """The words that a server names as first token, each with what it gives as log-probability. Empty where it gives
    none or gives them in another form: they only say how sure the guard is, and its verdict is the text."""
    found: Any = choice.get("logprobs")
    found = found.get("top_logprobs") if isinstance(found, dict) else None
    found = found[0] if isinstance(found, list) and found else None
    return {whole_text(word): value for word, value in found.items()} if isinstance(found, dict) else {}


def pointing(response: aiohttp.ClientResponse) -> str:
    """Where an answer points to that is a redirect; empty where it is none."""
    return f"it points to {response.headers.get('Location')}" if 300 <= response.status < 400 else ""


class _Busy(Exception):
    """The server refuses for now."""
