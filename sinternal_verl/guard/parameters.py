"""What a request to the guard's server may ask for (`sinternal_verl.guard.http`).

The server is greedy, answers once and whole, and stops where the guard stops. A parameter that wants anything else is
refused by its name, and so is one that the server does not know. ``null`` is the same as leaving a parameter out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sinternal_verl.guard.engine import TOP_LOGPROBS
from sinternal_verl.guard.errors import BadRequest
from sinternal_verl.guard.judge import DECODE_TOKENS

DEFAULT_MAX_TOKENS = 16
"""The protocol's own."""

NO_EFFECT = frozenset({"model", "user", "seed", "top_p", "top_k", "metadata", "safety_identifier"})
"""Parameters that change nothing in a greedy answer."""

ONLY: Mapping[str, Sequence[Any]] = {
    "stream": (False,),
    "temperature": (0,),
    "n": (1,),
    "stop": ([], ""),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "store": (False,),
}
"""Parameters of both kinds of request, and the values that the server can honour."""

COMPLETION_ONLY: Mapping[str, Sequence[Any]] = {**ONLY, "best_of": (1,), "echo": (False,), "suffix": ("",)}
CHAT_ONLY: Mapping[str, Sequence[Any]] = {
    **ONLY,
    "logprobs": (False,),
    "top_logprobs": (0,),
    "tools": ([],),
    "response_format": ({"type": "text"},),
}


@dataclass(frozen=True)
class Completion:
    """A request to ``/v1/completions``.

    Attributes:
        prompt: text or token ids.
        tokens: the most tokens of the answer.
        logprobs: how many alternatives of its one token are wanted; None wants none.
    """

    prompt: str | list[int]
    tokens: int
    logprobs: int | None


def read_completion(body: Mapping[str, Any]) -> Completion:
    """
    Raises:
        BadRequest: the server cannot do what it asks for.
    """
    _check(body, COMPLETION_ONLY, {"prompt", "max_tokens", "logprobs"})
    prompt, tokens, logprobs = body.get("prompt"), body.get("max_tokens"), body.get("logprobs")
    tokens = DEFAULT_MAX_TOKENS if tokens is None else tokens
    ids = isinstance(prompt, list) and prompt and all(type(id) is int and id >= 0 for id in prompt)
    if not ids and not (isinstance(prompt, str) and prompt):
        raise BadRequest("prompt must be one string or one list of token ids", "prompt")
    if type(tokens) is not int or tokens < 1:
        raise BadRequest(f"max_tokens = {tokens!r}: give a positive number", "max_tokens")
    if logprobs is not None and (type(logprobs) is not int or not 0 <= logprobs <= TOP_LOGPROBS):
        raise BadRequest(f"logprobs = {logprobs!r}: give a number from 0 to {TOP_LOGPROBS}", "logprobs")
    if logprobs is not None and tokens > 1:
        raise BadRequest(f"logprobs = {logprobs}: they are given for one token; set max_tokens=1", "logprobs")
    return Completion(prompt, tokens, logprobs)


def read_conversation(body: Mapping[str, Any]) -> tuple[str, str]:
    """The last user message of a request to ``/v1/chat/completions``, and the answer to it.

    Raises:
        BadRequest: the server cannot do what it asks for.
    """
    limits = ("max_tokens", "max_completion_tokens")
    _check(body, CHAT_ONLY, {"messages", *limits})
    for name in limits:
        tokens = body.get(name)
        if tokens is not None and (type(tokens) is not int or tokens < DECODE_TOKENS):
            raise BadRequest(f"{name} = {tokens!r}: a verdict is not cut; leave it out", name)
    messages = body.get("messages")
    wanted = "messages must end with a user's and an assistant's, each with a string as content"
    if not isinstance(messages, Sequence) or len(messages) < 2:
        raise BadRequest(wanted, "messages")
    asked, said = messages[-2:]
    for message, role in ((asked, "user"), (said, "assistant")):
        if not isinstance(message, Mapping) or message.get("role") != role or type(message.get("content")) is not str:
            raise BadRequest(wanted, "messages")
    return asked["content"], said["content"]


def _check(body: Mapping[str, Any], only: Mapping[str, Sequence[Any]], read: set[str]) -> None:
    for name, value in body.items():
        if value is None or name in NO_EFFECT or name in read:
            continue
        if name not in only:
            raise BadRequest(f"{name} = {value!r:.100}: this server does not know it; leave it out", name)
        if value not in only[name]:
            reason = "this server judges greedily, once and whole"
            raise BadRequest(f"{name} = {value!r:.100}: {reason}; leave it out", name)
