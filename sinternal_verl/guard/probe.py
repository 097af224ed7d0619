"""Is there a guard at this address? Asked before a run starts and again where its rewards are computed:

1. ``GET /models`` answers 200, and lists the model.
2. One harmless conversation has a verdict.

A server that is not there yet, or that is busy, may be there later; `wait_until_it_judges` waits for it.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from sinternal_verl.credentials import headers_of, hide
from sinternal_verl.guard.api_key import KEY, URL, key_of
from sinternal_verl.guard.endpoint import MAX_PAUSE_S, MIN_PAUSE_S, EndpointClient, pointing
from sinternal_verl.guard.errors import EndpointFault, GuardUnavailable, Refused
from sinternal_verl.overrides import override, shell_line
from sinternal_verl.runs.secrets import masked

SERVED_AS, MODEL = "sinternal.guard.served_as", "sinternal.guard.engine.model"
START = "sinternal.guard.start_timeout_s"

MODELS_TIMEOUT_S = 10.0
"""Limit of the request that lists the models."""

MAX_SHOWN = 5
"""How many of the server's models a message names."""

CONVERSATION = ("Hello?", "Hello!")


async def check_models(guard: Mapping[str, Any]) -> None:
    """Ask which models the server has.

    Args:
        guard: a ``sinternal.guard`` node.

    Raises:
        EndpointFault: it does not answer with a list that has the guard's model.
    """
    url, key, where = guard["url"].rstrip("/"), key_of(guard), _where(guard)
    limit = aiohttp.ClientTimeout(total=MODELS_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(headers=headers_of(key), timeout=limit) as session,
            session.get(f"{url}/models", allow_redirects=False) as response,
        ):
            said = pointing(response) or await response.text(errors="replace")
            status, text = response.status, hide(said, key)
    except (aiohttp.NonHttpUrlClientError, ValueError) as error:  # no address; aiohttp's InvalidURL is a ValueError
        raise _not_there(guard, masked("url", f"{type(error).__name__}: {error}")) from error
    except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
        what = str(error) or f"nothing within {MODELS_TIMEOUT_S:g} s"
        raise _not_there(guard, f"no answer from {where}/models: {what}", later=True) from error
    if status != 200:
        raise _refused(guard, "/models", status, text)
    try:
        models = [model["id"] for model in json.loads(text)["data"]]
    except (ValueError, LookupError, TypeError) as error:
        raise _not_there(guard, f"{where}/models answers without a list of models: {text[:200]!r}") from error
    if (name := _name(guard)) not in models:
        shown = ", ".join(map(str, models[:MAX_SHOWN])) + (", …" if len(models) > MAX_SHOWN else "")
        step = f"set {SERVED_AS} to the guard's name there"
        if len(models) == 1:
            step = shell_line(override(SERVED_AS, models[0]))
        raise EndpointFault(SERVED_AS, name, f"{where} does not serve it; it serves {shown or 'no model'}", step)


async def check_verdict(client: EndpointClient, guard: Mapping[str, Any]) -> None:
    """Have one conversation judged.

    Raises:
        EndpointFault: there is no verdict.
    """
    try:
        judgement = await client.judge(*CONVERSATION)
    except Refused as error:
        raise _refused(guard, "/completions", error.status, error.answer) from error
    except EndpointFault:
        raise
    except TimeoutError as error:
        raise _not_there(guard, str(error), later=True) from error
    except GuardUnavailable as error:
        # It failed until its time was over: a server that starts, or a gateway before one.
        later = isinstance(error.__cause__, TimeoutError | asyncio.TimeoutError)
        raise _not_there(guard, str(error), later=later) from error
    if judgement.verdict is None and guard.get("require_verdict", True):
        reason = f"the model at {_where(guard)} gives a harmless conversation no verdict: {judgement.reason}"
        step = f"serve a Qwen3Guard-Gen model, and let {MODEL} be the same one, whose tokenizer renders the prompts"
        raise EndpointFault(SERVED_AS, _name(guard), reason, step)


async def check_endpoint(client: EndpointClient, guard: Mapping[str, Any]) -> None:
    """Both checks. verl's router has no name for its models that could be wrong, so it is only asked for a verdict.

    Raises:
        EndpointFault: see the checks.
    """
    if guard["backend"] == "openai_endpoint":
        await check_models(guard)
    await check_verdict(client, guard)


async def wait_until_it_judges(client: EndpointClient, guard: Mapping[str, Any]) -> None:
    """`check_endpoint`, again for ``start_timeout_s`` seconds, at least for one ``request_timeout_s``, as long as the
    server may be there later.

    Raises:
        EndpointFault: the last try's.
    """
    started, pause = time.monotonic(), MIN_PAUSE_S
    limit_s = max(guard.get("start_timeout_s") or 0.0, guard.get("request_timeout_s", 60.0))
    while True:
        try:
            return await check_endpoint(client, guard)
        except EndpointFault as fault:
            left = started + limit_s - time.monotonic()
            if not fault.later:
                raise
            if left <= 0:
                reason = f"{fault.reason}; the run has waited for {limit_s:g} s"
                raise EndpointFault(fault.key, fault.value, reason, fault.next_step, later=True) from fault
        await asyncio.sleep(min(pause, left))
        pause = min(2 * pause, MAX_PAUSE_S)


def _where(guard: Mapping[str, Any]) -> str:
    """The server's address as a message may show it: without a login."""
    return masked("url", guard["url"].rstrip("/"))


def _name(guard: Mapping[str, Any]) -> str:
    return guard.get("served_as") or guard["engine"]["model"]


def _not_there(guard: Mapping[str, Any], reason: str, later: bool = False) -> EndpointFault:
    waits = f", or let the run wait for it: {START}=900" if not guard.get("start_timeout_s") else ""
    step = f"start the server{waits}, or correct the address" if later else "give a server's address up to and with /v1"
    return EndpointFault(URL, _where(guard), reason, step, later)


def _refused(guard: Mapping[str, Any], path: str, status: int, text: str) -> EndpointFault:
    answer = f"{_where(guard)}{path} answers HTTP {status}: {text[:200]!r}"
    if status in (401, 403):
        name = guard.get("api_key_env")
        step = f"export the server's key as {name}" if name else f"{KEY}=NAME, the environment variable with its key"
        return EndpointFault(KEY, name, f"the server wants {'another' if name else 'a'} key: {answer}", step)
    if status == 429 or status >= 500:
        return _not_there(guard, answer, later=True)
    if 300 <= status < 400:
        return EndpointFault(URL, _where(guard), answer, "redirects are not followed: give the address itself")
    if status == 404 and path == "/models":
        return _not_there(guard, answer)
    if status == 404:
        return EndpointFault(SERVED_AS, _name(guard), answer, "give the name of a model that offers /v1/completions")
    step = "the server must take token ids in /v1/completions, as vLLM does"
    return EndpointFault(URL, _where(guard), answer, step)
