"""Asks every server that a call names before anything starts, so that a wrong key, name, address or setting, a model
without a chat template and a server that hangs are found at once, and not item by item.

1. The model under test is asked for one word, with each decoding of the plan.
2. The model of a judge is asked for one word, too, and the judge then for its verdict on a harmless answer.
3. All are asked at the same time, each request for at most `LIMIT_S`.

A model that is served here is asked when its server is up (`serving`), and its judge before the first item
(`sinternal_verl.evaluation.tasks.opened`).
"""

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Any

from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import ChatMessageUser, GenerateConfig
from tenacity import RetryError

from sinternal_verl.credentials import hide, read_key
from sinternal_verl.evaluation.judges import JudgeError, open_judge
from sinternal_verl.evaluation.running.models import LOADS_AT_ONCE, Choice, open_model, plain
from sinternal_verl.evaluation.tasks.decoding import ANSWERS_STORED, PASSES_BODY
from sinternal_verl.evaluation.tasks.opened import first_verdict
from sinternal_verl.guard.api_key import KEY, URL
from sinternal_verl.guard.errors import EndpointFault, GuardUnavailable
from sinternal_verl.guard.probe import SERVED_AS
from sinternal_verl.verify.outcome import shortened

LIMIT_S = 120
"""[ours] Seconds for one request. A server that loads a model at its first request needs some."""

WORD = "Hello"

ONE_TOKEN, HOSTED_TOKENS = 1, 1024
"""[ours] Of an answer: of a server, and of a provider of Inspect, some of which refuse a request that leaves no room
for a thought."""

NOT_ASKED = (*ANSWERS_STORED, *LOADS_AT_ONCE, "vllm", "none")
"""Providers of Inspect that ask no server, or start one of their own."""

LOG = "see its log"
SLOW = "is it still loading, or busy with others?"
ADDRESS = "check the address, up to and with /v1, and the model's name behind #"

NO_ANSWER = ("content_filter", "model_length")
"""Inspect's reasons to stop whose text is a server's message and not the model's."""

GUARD_STEPS: Mapping[str, str] = {
    KEY: "give its key by --api-key-env qwen3guard=NAME",
    SERVED_AS: "name a Qwen3Guard-Gen model behind a server that takes token ids, as vLLM does",
    URL: "check the address, up to and with /v1; the server must take token ids in /v1/completions, as vLLM does",
}
"""What to do about a setting of a guard's server."""


def server_problems(
    choices: Mapping[str, Choice], settings: Mapping[str, Mapping[str, Any]], decodings: Sequence[GenerateConfig] = ()
) -> list[str]:
    """What is wrong with the servers of a call.

    Args:
        choices: models by the judge that they play; the one of another name is under test.
        settings: of the judges.
        decodings: how the model under test is asked.
    """

    async def ask_all() -> list[str]:
        return await asyncio.gather(*_asks(choices, settings, decodings))

    return list(dict.fromkeys(filter(None, asyncio.run(ask_all()))))


def _asks(
    choices: Mapping[str, Choice], settings: Mapping[str, Mapping[str, Any]], decodings: Sequence[GenerateConfig]
) -> Iterator[Awaitable[str]]:
    for name, choice in choices.items():
        if choice.kind not in ("server", "inspect") or choice.name.partition("/")[0] in NOT_ASKED:
            continue
        yield _judge(name, choice, settings[name]) if name in settings else _model(choice, decodings)
    for name, own in settings.items():
        if own.get("url"):
            yield _guard(name, own)


async def _model(choice: Choice, decodings: Sequence[GenerateConfig]) -> str:
    for decoding in decodings:
        if said := await _one_word(choice, decoding):
            return said
    return ""


async def _judge(name: str, choice: Choice, settings: Mapping[str, Any]) -> str:
    if said := await _one_word(choice, GenerateConfig()):
        return f"judge {name} by {said}"
    model = open_model(choice, connections=1)
    try:
        async with asyncio.timeout(LIMIT_S):
            await first_verdict(open_judge(name, model, **settings))
    except JudgeError as error:
        return str(error)
    except TimeoutError:
        return f"judge {name} by {choice.given}: it has judged no harmless answer after {LIMIT_S} s; {SLOW}"
    finally:
        await model.api.aclose()
    return ""


async def _guard(name: str, settings: Mapping[str, Any]) -> str:
    try:
        judge = open_judge(name, **settings)
    except JudgeError as error:
        return str(error)
    try:
        await judge.check_server()
    except GuardUnavailable as error:
        reason, step = str(error), f"give the folder or hub id of its tokenizer: -J {name}.guard=..."
        if isinstance(error, EndpointFault):
            reason, step = error.reason, GUARD_STEPS[error.key]
        return f"judge {name} by {settings['url']}#{settings['served_as']}: {reason}; {step}"
    finally:
        await judge.close()
    return ""


async def _one_word(choice: Choice, decoding: GenerateConfig) -> str:
    """What is wrong with a model's first answer; empty where it has one."""
    hosted = choice.kind == "inspect"
    body = decoding.extra_body if not hosted or choice.name.partition("/")[0] in PASSES_BODY else None
    changed = {"max_tokens": HOSTED_TOKENS if hosted else ONE_TOKEN, "extra_body": body}
    bounds = {"max_retries": 0, "timeout": LIMIT_S, "attempt_timeout": LIMIT_S}
    model = open_model(choice, connections=1)
    try:
        output = await model.generate(
            [ChatMessageUser(content=WORD)], config=decoding.model_copy(update=changed | bounds)
        )
    # Each provider raises the exceptions of its own library, and any of them means that there is no answer.
    except Exception as error:
        return f"{choice.given}: {_words_of(error, choice)}"
    finally:
        await model.api.aclose()
    if output.error or output.stop_reason in NO_ANSWER:
        return (
            f"{choice.given}: it has no answer to a message of one word ({output.error or output.stop_reason}); {LOG}"
        )
    return ""


def _words_of(error: BaseException, choice: Choice) -> str:
    if isinstance(error, RetryError):
        error = error.last_attempt.exception() or error
    late = "timeout" in type(error).__name__.lower()
    # Inspect puts the whole request into the message where a server refuses it.
    error = error.__cause__ or error
    said = str(getattr(error, "message", "")) or str(error) or type(error).__name__
    said = shortened(hide(plain(said), read_key(choice.api_key_env)))
    status = getattr(error, "status_code", None)
    if isinstance(error, PrerequisiteError):
        return said
    if status is None:
        if late:
            return f"no answer to a message of one word within {LIMIT_S} s; {SLOW}"
        step = f"{ADDRESS}, or {LOG}" if choice.kind == "server" else "check the network"
        return f"it gives no answer ({said}); {step}"
    return f"it refuses a message of one word ({said}); {_step(status, said, choice)}"


def _step(status: int, said: str, choice: Choice) -> str:
    """What to do about an HTTP status."""
    if choice.kind == "inspect" and status < 429:
        return "check the model's name, the key in its provider's variable, and -T, which changes how it is asked"
    if status in (401, 403):
        return f"check the key in {choice.api_key_env}" if choice.api_key_env else "give its key by --api-key-env"
    if status in (404, 405, 410):
        return ADDRESS
    if status == 429:
        return "it is busy, or its quota is used up"
    if status >= 500:
        return LOG
    if "template" in said.lower():
        return "serve it with the chat template of the model that it was trained from (--chat-template)"
    if "repetition_penalty" in said:
        return "-T repetition_penalty=1 leaves that out"
    return f"{LOG}, and -T changes how it is asked"
