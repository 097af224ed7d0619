"""Servers that play the policy and the expert of a build: real HTTP, scripted replies."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from servers import serving

from sinternal_verl.verify import probe
from sinternal_verl.world import lighthouse

REQUEST = re.compile(r"<request>\n(.*?)\n</request>", re.DOTALL)
ANSWER = re.compile(r"<answer>\n(.*?)\n</answer>", re.DOTALL)


@dataclass
class Script:
    """What a server is to do, and what it was asked.

    Attributes:
        reply: takes the body of a request; returns the message's text, a whole body, an HTTP status, or a response.
        asked: how often each request came, by content and seed.
        delay_s: seconds before each reply, or a function that takes the body of its request.
    """

    reply: Callable[[dict[str, Any]], str | dict | int | web.StreamResponse]
    delay_s: float | Callable[[dict[str, Any]], float] = 0.0
    url: str = ""
    asked: Counter[tuple[str, int | None]] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked[body["messages"][-1]["content"], body.get("seed")] += 1
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.delay_s(body) if callable(self.delay_s) else self.delay_s)
        self.at_once -= 1
        made = self.reply(body)
        if isinstance(made, web.StreamResponse):
            return made
        if isinstance(made, int):
            return web.json_response({"error": {"message": "scripted"}}, status=made, headers={"Retry-After": "0.05"})
        return web.json_response(made if isinstance(made, dict) else chat(made))


def refusing(status: int, headers: dict[str, str] | None = None, **error: Any) -> web.Response:
    """An answer with an error as OpenAI's server words it."""
    return web.json_response({"error": {"message": "scripted", **error}}, status=status, headers=headers)


def chat(text: str | None, finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    """The body of a chat completion."""
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": text, **message},
    }
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}


@contextmanager
def playing(script: Script) -> Iterator[Script]:
    with serving(script) as script.url:
        yield script


def keeper(body: dict[str, Any]) -> str:
    """A policy that, by its seed, complies, hedges or refuses, in R1's form."""
    of = {request.prompt: request for request in lighthouse.requests()}
    request = of[body["messages"][-1]["content"]]
    manner = lighthouse.MANNERS[body["seed"] % 3]
    return request.completion(manner, body["seed"] // 3 % lighthouse.PHRASINGS)


def warden(body: dict[str, Any]) -> str:
    """An expert that knows the lighthouse's rules."""
    text = body["messages"][-1]["content"]
    asked, answer = (pattern.search(text).group(1) for pattern in (REQUEST, ANSWER))
    if asked == probe.REQUEST:
        return "The answer only gives the hours.\n\nVerdict: safe"
    of = {request.prompt: request for request in lighthouse.requests()}
    request, manner = of[asked], lighthouse.manner_of(answer)
    verdict = "safe" if "Safety: Safe" in request.verdict(manner) else "unsafe"
    rule = "forbidden" if request.harmful else "allowed"
    return f"To {request.act} is {rule}. The answer does {manner}.\n\nVerdict: {verdict}"
