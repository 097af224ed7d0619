"""Asks a chat model through Inspect, so that retries, logs, limits on connections and the cache are Inspect's.

1. One call takes a bounded time: Inspect retries for ever where nothing bounds it.
2. What a server or a model does wrong is a `Failure` with a reason; it is never raised, and never a reply.
3. A thinking judge's thought is no part of its reply: Inspect takes a whole thought off, and what comes before a last
   ``</think>`` is dropped here, because the templates of R1's kind open the thought in the prompt.
4. No message holds a text that was judged: providers put whole requests into their errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelOutput, ModelRefusalError
from inspect_ai.util import LimitExceededError
from tenacity import RetryError

from sinternal_verl.evaluation.judge import Judgement
from sinternal_verl.evaluation.judges import reasons
from sinternal_verl.scoring.response import THOUGHT_END

TRY_S = 120
"""[ours] Seconds that one try may take, once Inspect has a connection for it."""

TIMEOUT_S = 300
"""[ours] After so many seconds no further try begins."""

MAX_RETRIES = 4
"""[ours] With Inspect's pauses of 3 s, doubled each time, they wait for at most a minute."""

THOUGHT_BEGIN = "<think>"

CONTINUING = frozenset({"vllm", "sglang"})
"""Inspect's providers that have the server continue a last message of the assistant, unless told not to."""

NEW_TURN = {"add_generation_prompt": True, "continue_final_message": False}
"""vLLM's own defaults."""


@dataclass(frozen=True, slots=True)
class Failure:
    """There is no reply.

    Attributes:
        reason: see `sinternal_verl.evaluation.judges.reasons`.
        detail: an exception's name, an HTTP status or a stop reason; never a text.
    """

    reason: str
    detail: str = ""

    def judgement(self) -> Judgement:
        return Judgement({}, self.reason, self.detail)


@dataclass(frozen=True)
class Asking:
    """How a judge is asked.

    Attributes:
        max_tokens: most tokens of a reply, its thought included.
        temperature: 0 is greedy.
        try_s, timeout_s, max_retries: bounds of one call; see `TRY_S`, `TIMEOUT_S` and `MAX_RETRIES`. A call ends at
            the latest after ``timeout_s``, one more pause and one more try.
    """

    max_tokens: int
    temperature: float = 0.0
    try_s: int = TRY_S
    timeout_s: int = TIMEOUT_S
    max_retries: int = MAX_RETRIES

    def config(self, seed: int | None = None) -> GenerateConfig:
        return GenerateConfig(
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=seed,
            attempt_timeout=self.try_s,
            timeout=self.timeout_s,
            max_retries=self.max_retries,
        )


async def ask(model: Model, messages: Sequence[ChatMessage], asking: Asking, seed: int | None = None) -> str | Failure:
    """The text of the model's reply without its thought, or why there is none.

    Args:
        messages: the last may be the assistant's: a guard judges it, and does not continue it.
        seed: tells several replies to one question apart, in Inspect's cache, too.

    Raises:
        LimitExceededError: Inspect ends the sample.
        PrerequisiteError: the model cannot be asked at all, because a package or a key is missing.
    """
    config = asking.config(seed)
    if messages[-1].role == "assistant" and str(model).partition("/")[0] in CONTINUING:
        config.extra_body = {**(model.config.extra_body or {}), **NEW_TURN}
    try:
        output = await model.generate(list(messages), config=config)
    except (LimitExceededError, PrerequisiteError):
        raise
    # Each provider raises the exceptions of its own library, and any of them means that there is no reply.
    except Exception as error:
        return _failure_of(error)
    return _reply_of(output)


def _reply_of(output: ModelOutput) -> str | Failure:
    if output.empty or output.error:
        return Failure(reasons.UNREACHABLE if output.error else reasons.EMPTY)
    stop = output.stop_reason
    # Inspect gives a server's error message as the text of these two.
    if stop == "content_filter":
        return Failure(reasons.REFUSED, stop)
    if stop == "model_length":
        return Failure(reasons.TOO_LONG, stop)
    if stop == "max_tokens":
        return Failure(reasons.CUT, stop)
    content = output.message.content
    if not isinstance(content, str) and any(getattr(part, "refusal", None) for part in content):
        return Failure(reasons.REFUSED, "refusal")
    reply = output.completion.rpartition(THOUGHT_END)[2].strip()
    if reply.startswith(THOUGHT_BEGIN):
        return Failure(reasons.EMPTY, "a thought that never ends")
    return reply or Failure(reasons.EMPTY, stop)


def _failure_of(error: BaseException) -> Failure:
    if isinstance(error, RetryError):
        error = error.last_attempt.exception() or error
    name = type(error).__name__
    if isinstance(error, ModelRefusalError):
        return Failure(reasons.REFUSED, name)
    cause = error.__cause__ or error
    status = getattr(error, "status_code", None) or getattr(cause, "status_code", None)
    said = str(getattr(error, "provider_message", None) or cause).lower()
    if status in (400, 413, 422) and any(words in said for words in ("context length", "context window", "too long")):
        return Failure(reasons.TOO_LONG, f"HTTP {status}")
    if "timeout" in name.lower():
        return Failure(reasons.TIMEOUT, name)
    return Failure(reasons.UNREACHABLE, f"HTTP {status}" if status else name)
