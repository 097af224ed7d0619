"""What the answer of an OpenAI-compatible server means: a reply, a request that can never succeed, a server that asks
to wait, a failure that another try may mend, or a server that will answer no request.

Servers agree on HTTP's status and on little else, so names and words of the error's body decide, too. They are those
of OpenAI, Azure, OpenRouter, Mistral, Anthropic's, Google's and DeepSeek's compatible servers, DashScope, vLLM, SGLang,
TGI and llama.cpp.
"""

import json
import math
import re
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from sinternal_verl.tokens import whole_text
from sinternal_verl.verify.store import Finish, Reply
from sinternal_verl.verify.writer import TEMPLATE_KEY, TEMPLATE_VALUES, WriterBusy, WriterFailed, WriterUnusable

FINISHES: dict[str, Finish] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "stop_sequence", "end_turn"), "stop"),
    # vLLM's `repetition` ends a text that repeats itself.
    **dict.fromkeys(("length", "max_tokens", "model_length", "model_context_window_exceeded", "repetition"), "length"),
    **dict.fromkeys(("content_filter", "content_filtered", "refusal", "safety", "sensitive", "recitation"), "refused"),
    **dict.fromkeys(("prohibited_content", "blocklist", "spii", "guardrail_intervened"), "refused"),
    **dict.fromkeys(("tool_calls", "tool_use", "function_call"), "tool_calls"),
}
"""What servers write as ``finish_reason``, in lower case. What stands not here, as ``error``, ``abort`` or null, is no
end of an answer."""

FILTERED = {
    *("content_filter", "content_filtered", "content_policy_violation", "responsibleaipolicyviolation"),
    *("moderation_blocked", "data_inspection_failed", "datainspectionfailed", "invalid_prompt", "flagged_input"),
}
_FILTERED = re.compile(
    r"content management policy|responsibleaipolicyviolation|contentpolicyviolation|content exists risk"
    r"|datainspectionfailed|inappropriate content|(?:was|been|were) flagged",
    re.IGNORECASE,
)

TOO_LONG = {"context_length_exceeded", "exceed_context_size_error", "request_too_large"}
_TOO_LONG = re.compile(
    r"context (?:length|window|size)|maximum model length|(?:prompt|input) is too long|input token count|longer than"
    r"|too many (?:input )?tokens|(?:less|fewer) than \d+ (?:input )?tokens|`max_new_tokens` must be|input length",
    re.IGNORECASE,
)
_ABOVE_RATE = re.compile(r"request too large", re.IGNORECASE)
"""OpenAI and Groq say it with 429 of a request that no waiting makes small enough."""

USED_UP = {
    *("insufficient_quota", "insufficient_user_quota", "exceeded_current_quota_error", "insufficient_balance"),
    *("billing_hard_limit_reached", "billing_not_active", "credit_balance_exhausted"),
}
"""Not ``quota_exceeded`` or ``RESOURCE_EXHAUSTED``, which also stand for a quota of a minute."""
_USED_UP = re.compile(r"insufficient (?:balance|credits?|funds)|credit balance is too low", re.IGNORECASE)

UNKNOWN_SETTING = {"unsupported_parameter", "unsupported_value", "unknown_parameter", "extra_forbidden"}

GAVE_UP = {504, 524}
"""Statuses of a gateway that waited for the model in vain; 524 is Cloudflare's. The model may have written all the
same."""

RETRYABLE = {408, 409, 421, 423, 424, 425, 498, 499}
"""Statuses below 500 that say nothing of the request: those that OpenAI's client tries again; HTTP's *misdirected*,
*locked* and *too early*; TGI's 424 for a generation that failed; Groq's 498 for too little capacity; a gateway's 499
for a connection that was closed."""

ELSEWHERE = {404, 405, 410}
"""Statuses of a wrong address or model. Once the server has answered, a proxy on the way says it for a while."""

MAX_COUNT = 1_000_000_000
"""No request has more tokens."""

MAX_SHOWN = 300
"""The most characters of a server's words in a message."""

MAX_BEGINNING = 80
"""The most characters of an answer that is none in a message."""


@dataclass(frozen=True)
class Response:
    """One answer over HTTP.

    Attributes:
        headers: names in any case.
        text: the body.
    """

    status: int
    headers: Mapping[str, str]
    text: str


def read_response(response: Response, settings: Collection[str], answered: bool) -> Reply:
    """The reply that a response holds. A request that can never succeed has one, too.

    Args:
        settings: names of the request's parameters, which are the same in every request.
        answered: whether the server has answered a request before.

    Raises:
        WriterBusy, WriterFailed, WriterUnusable: see `Writer.write`.
    """
    body = _json(response.text)
    fault = _fault_in(body)
    if response.status < 300 and fault is None:
        return _reply(body, response.text)
    # A router that has begun its answer with 200 says only in the body what happened since.
    status = fault.status if response.status < 300 else response.status
    fault = fault or _Fault(status, set(), response.text, "")
    names, words, said = fault.names, fault.message, shortened(fault.message or response.text)
    kind = f"HTTP {status}" if status == response.status else f"HTTP {response.status} with an error of {status}"
    what, later = f"{kind}: {said}", retry_after(response.headers)
    if names & FILTERED or (status < 500 and _FILTERED.search(words)):
        return Reply(said, finish="refused")
    if status == 402 or names & USED_UP or (status < 500 and _USED_UP.search(words)):
        raise WriterUnusable(f"the quota is used up: {what}; raise it where the server's account is kept")
    if status < 400:
        raise WriterUnusable(f"{kind} points to {_location(response.headers)}, which is not followed; give it as url")
    if names & TOO_LONG or status == 413 or (status == 429 and _ABOVE_RATE.search(words)):
        return Reply(said, finish="too_long")
    if status == 429:
        raise WriterBusy(what, later)
    if status == 401:
        raise WriterUnusable(f"the server refuses the key: {what}")
    if status == 403:  # of a key, or of a request that something on the way does not like
        return Reply(what, finish="rejected")
    if status >= 500 or status in RETRYABLE or (status in ELSEWHERE and answered):
        untold = response.status in GAVE_UP
        raise WriterFailed(kind, said, _used(body), later, away=response.status >= 500, untold=untold)
    if status in ELSEWHERE:
        raise WriterUnusable(f"{what}; check model, and url, which ends in /v1")
    if _TOO_LONG.search(words):
        return Reply(said, finish="too_long")
    if names & UNKNOWN_SETTING or fault.param in settings:
        step = f"change request.{fault.param}, or leave it out, e.g. ~expert.request.{fault.param}"
        if fault.param == TEMPLATE_VALUES:
            step = f"leave {TEMPLATE_KEY} out"
        elif fault.param not in settings:
            step = "change request"
        raise WriterUnusable(f"the server refuses a setting of every request: {what}; {step}")
    return Reply(said, finish="rejected")


def finish_of(reason: Any, used: tuple[int, int] = (0, 0)) -> Finish:
    """How an answer ended.

    Args:
        used: tokens read and written, for the failure.

    Raises:
        WriterFailed: it is none of those known.

    >>> finish_of("eos_token"), finish_of("content_filter: SAFETY"), finish_of("MAX_TOKENS")
    ('stop', 'refused', 'length')
    """
    found = FINISHES.get(reason.partition(":")[0].lower()) if isinstance(reason, str) else None
    if found is None:
        shown = "null" if reason is None else f"{reason!s:.40}"
        what = "this is no end of an answer, so what was written is not taken"
        raise WriterFailed(f"finish_reason {shown}", what, used, untold=used == (0, 0))
    return found


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: ``retry-after-ms``, or ``Retry-After`` as seconds or as a date of HTTP.

    >>> retry_after({"Retry-After": "2"}), retry_after({"retry-after-ms": "50"}), retry_after({"Retry-After": "soon"})
    (2.0, 0.05, None)
    """
    lower = {name.lower(): value for name, value in headers.items()}
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(lower[name]) * unit
        except (KeyError, ValueError):
            continue
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    try:
        return max(parsedate_to_datetime(lower["retry-after"]).timestamp() - time.time(), 0.0)
    except (KeyError, ValueError, OverflowError):
        return None


def shortened(text: str) -> str:
    """The text on one line, at most `MAX_SHOWN` characters."""
    return whole_text(" ".join(text.split()))[:MAX_SHOWN]


def _reply(body: Any, said: str) -> Reply:
    try:
        choice = body["choices"][0]
        message = dict(choice["message"])
    except (LookupError, TypeError, ValueError) as error:
        # Its beginning tells a page from a stream; behind it may stand what the model wrote.
        what = f"the server answered without choices[0].message: {shortened(said[:MAX_BEGINNING])!r}"
        raise _no_answer("no choices", what, body) from error
    # A server that returns thoughts apart uses one of these names; which one depends on its version.
    thought = message.get("reasoning_content") or message.get("reasoning") or ""
    refusal = message.get("refusal")
    text = refusal or message.get("content") or ""
    if not isinstance(text, str):
        raise _no_answer("no text", f"the message's content is no text but a {type(text).__name__}", body)
    finish = finish_of(choice.get("finish_reason"), _used(body))
    return Reply(whole_text(text), whole_text(str(thought)), "refused" if refusal else finish, *_used(body))


def _no_answer(kind: str, what: str, body: Any) -> WriterFailed:
    used = _used(body)
    return WriterFailed(kind, what, used, untold=used == (0, 0))


def _used(body: Any) -> tuple[int, int]:
    """Tokens read and written, as a server's answer says, of success or of failure; 0 where it names no number that
    can be."""
    usage = body.get("usage") if isinstance(body, dict) else None
    counts = [usage.get(f"{name}_tokens") if isinstance(usage, dict) else 0 for name in ("prompt", "completion")]
    read, written = (count if type(count) is int and 0 < count <= MAX_COUNT else 0 for count in counts)
    return read, written


@dataclass(frozen=True)
class _Fault:
    """What the body of an error says: the status that it names, or 500; its names, in lower case; its parameter."""

    status: int
    names: set[str]
    message: str
    param: str


def _fault_in(body: Any) -> _Fault | None:
    """The error that a body describes; None where it describes none."""
    if not isinstance(body, dict):
        return None
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    error = body.get("error") or first.get("error")
    if error is None and not first and any(key in body for key in ("message", "detail", "error_type")):
        error = body
    if error is None:
        return None
    parts = list(_parts(error))
    messages = [part[key] for part in parts for key in ("message", "detail", "msg", "raw") if part.get(key)]
    messages = [message for message in messages if isinstance(message, str)]
    names = {str(part[key]).lower() for part in parts for key in ("code", "type", "status") if part.get(key)}
    names |= {key for part in parts for key in FILTERED & part.keys()}
    codes = [int(name) for name in names if name.isdigit() and 400 <= int(name) < 600]
    param = next((str(part["param"]) for part in parts if part.get("param")), "")
    return _Fault(max(codes, default=500), names, "; ".join(messages) if parts else str(error), param)


def _location(headers: Mapping[str, str]) -> str:
    return shortened(next((value for name, value in headers.items() if name.lower() == "location"), "nowhere"))


def _parts(error: Any) -> Iterator[dict[str, Any]]:
    """The error and those within it, such as Azure's ``innererror`` and OpenRouter's ``metadata``."""
    if isinstance(error, dict):
        yield error
        for key in ("error", "innererror", "metadata", "detail", "message"):
            yield from _parts(error.get(key))
    elif isinstance(error, list):
        for part in error:
            yield from _parts(part)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # no JSON, or JSON that nests too deeply to be an answer
        return None
