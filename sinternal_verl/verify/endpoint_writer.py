"""A model behind an OpenAI-compatible server.

The key goes to the host of ``url`` and nowhere else: redirects are not followed, and neither variables of OpenAI's
client nor ``~/.netrc`` are read. Proxies of the environment are, except for this machine's own servers.
"""

import asyncio
import random
from dataclasses import replace
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from sinternal_verl.credentials import KeyFault, headers_of, hide, is_loopback
from sinternal_verl.runs.secrets import masked
from sinternal_verl.verify.local_writer import LocalWriter
from sinternal_verl.verify.outcome import Response, read_response, shortened
from sinternal_verl.verify.rejected import ANSWERED, CONTROL
from sinternal_verl.verify.store import Reply
from sinternal_verl.verify.writer import (
    Cost,
    Messages,
    Writer,
    WriterBusy,
    WriterFailed,
    WriterSettings,
    WriterUnusable,
    key_for,
    unbounded,
)

MIN_PAUSE_S, MAX_PAUSE_S = 0.5, 8.0
"""Pause before another try; it doubles from the first to the second of these, less a random quarter, as in OpenAI's
client."""

MAX_RETRY_AFTER_S = 120.0
"""The longest pause that a failing server may ask for; OpenAI's client obeys no longer one."""


class EndpointWriter:
    """`Writer` over HTTP. It tries again after 5xx, timeouts, broken connections and answers that are none.

    Raises:
        WriterUnusable: the settings name no key that may be sent.
    """

    def __init__(self, settings: WriterSettings) -> None:
        self._settings = settings
        try:
            self._key = key_for(settings.url, settings.api_key_env, settings.api_key_over_http)
        except KeyFault as fault:
            raise WriterUnusable(f"{masked('url', settings.url)}: api_key_env={fault}") from fault
        url = URL(settings.url)
        self._url = url.with_path(url.path.rstrip("/") + "/chat/completions").with_query(url.query)
        self._where = hide(masked("url", settings.url), self._key)
        self._per_request = {"model", "seed", *settings.parameters}
        self._proxy = _proxy_of(settings.url)
        self._answered = False
        self._session = aiohttp.ClientSession(
            # No limit on connections: the number of workers sets it.
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=settings.timeout_s),
            headers=headers_of(self._key),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def write(self, messages: Messages, seed: int | None, cost: Cost = unbounded) -> Reply:
        body = {"model": self._settings.model, "messages": messages, **self._settings.parameters}
        body |= {} if seed is None else {"seed": seed}
        for tried in range(self._settings.retries + 1):
            try:
                reply = await self._post(body)
                if reply.finish in ANSWERED and not reply.read + reply.written:
                    cost(0, 0, True)
                return reply
            except WriterFailed as error:
                room = cost(error.read, error.written, error.untold)
                if tried == self._settings.retries or not room:
                    raise
                pause = min(MIN_PAUSE_S * 2**tried, MAX_PAUSE_S) * (1 - random.random() / 4)
                await asyncio.sleep(max(pause, min(error.retry_after_s or 0.0, MAX_RETRY_AFTER_S)))
        raise AssertionError("the last try returns or raises")

    async def close(self) -> None:
        await self._session.close()

    async def _post(self, body: dict) -> Reply:
        """One try."""
        try:
            async with self._session.post(self._url, json=body, proxy=self._proxy, allow_redirects=False) as answer:
                text = (await answer.read()).decode("utf-8-sig", errors="replace")
        except aiohttp.ClientConnectorCertificateError as error:
            step = "SSL_CERT_FILE names a file of the authorities to trust"
            raise WriterUnusable(f"{self._said(error)}; {step}") from error
        except aiohttp.InvalidURL as error:
            raise WriterUnusable(self._said(error)) from error
        except asyncio.TimeoutError as error:
            what = f"{self._where}: no reply within timeout_s={self._settings.timeout_s:g}"
            raise WriterFailed("timeout", what, away=True, untold=True) from error
        except (aiohttp.ClientError, OSError) as error:
            # Where there was no connection nothing was sent.
            sent = not isinstance(error, aiohttp.ClientConnectorError)
            raise WriterFailed(type(error).__name__, self._said(error), away=True, untold=sent) from error
        try:
            reply = read_response(Response(answer.status, answer.headers, text), self._per_request, self._answered)
        except WriterFailed as error:
            kind, what = hide(error.kind, self._key), f"{self._where}: {hide(error.what, self._key)}"
            used, later = (error.read, error.written), error.retry_after_s
            raise WriterFailed(kind, what, used, later, away=error.away, untold=error.untold) from error
        except WriterBusy as error:
            raise WriterBusy(f"{self._where}: {hide(str(error), self._key)}", error.retry_after_s) from error
        except WriterUnusable as error:
            said = hide(str(error), self._key)
            raise WriterUnusable(f"{self._where}: {said}{self._key_step(answer.status)}") from error
        if reply.finish in ANSWERED:
            self._answered = True
            return reply
        # What the server says of a request is told to the user; what the model writes stays as it is.
        reply = replace(reply, text=hide(reply.text, self._key))
        if answer.status == 403 and not self._answered and body["messages"] != CONTROL:
            # Of a wrong key or of this request: another one tells.
            control = await self._post(body | {"messages": CONTROL})
            if control.finish not in ANSWERED:
                raise WriterUnusable(f"{self._where}: {control.text}{self._key_step(403)}")
        return reply

    def _said(self, error: BaseException) -> str:
        return hide(masked("url", f"{self._where}: {shortened(str(error))}"), self._key)

    def _key_step(self, status: int) -> str:
        if status not in (401, 403):
            return ""
        name = self._settings.api_key_env
        if self._key is None:
            return "; no key was sent, so name the environment variable that holds it by api_key_env"
        return f"; export the server's key as {name}" if name else ""


def open_writer(settings: WriterSettings) -> Writer:
    """The writer of these settings.

    Raises:
        WriterUnusable: the settings name no key that may be sent, or vLLM does not start the model.
    """
    return EndpointWriter(settings) if settings.url else LocalWriter(settings)


def _proxy_of(url: str) -> str | None:
    """The environment's proxy for an address; None for a server on this machine, which a proxy does not reach."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    try:
        return None if is_loopback(host) else proxy
    except OSError:  # a host that only the proxy knows
        return proxy
