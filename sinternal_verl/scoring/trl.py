r"""The scorers as one reward function of TRL's trainers. (TRL 1.16)

>>> reward = TRLReward({"boxed_math": {"sources": ["*"]}}, name="math")
>>> columns = {"data_source": ["math"], "reward_model": [{"ground_truth": "85"}]}
>>> reward(["47+38?"], [r"7+8=15, carry 1.</think> \boxed{85}"], **columns)
[1.0]

1. What is scored is what the assistant wrote, never the text of a tool. With ``tokenizer`` a reply is read from its
   tokens. Without it the reply is put together from TRL's messages (`text_of`), in which some thoughts are lost.
2. TRL gets a reward for each completion, and None where there is no verdict. It gives those rows no advantage.
3. TRL logs the mean of the rewards under the instance's name. The shares of the outcomes of each source go to TRL's
   ``log_metric``, and each row's outcome and reason to its table of completions (``log_extra``).
4. An instance can be pickled, as asynchronous GRPO needs. Its event loop starts at the first call in a process.
"""

import asyncio
import atexit
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Lock, Thread
from typing import Any

from sinternal_verl.scoring.registry import Router
from sinternal_verl.scoring.response import THOUGHT_END
from sinternal_verl.scoring.run import DEFAULT_TIMEOUT_S, Scoring
from sinternal_verl.scoring.score import Outcome, Sample, Score

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 5.0

THOUGHT_FIELDS = ("reasoning_content", "thinking", "reasoning")
"""Fields of a message into which a parser puts the thought. TRL's own schemas use the first two."""

THOUGHT_BEGIN = "<think>"

Text = str | Sequence[Mapping[str, Any]]
"""A string, or messages."""

_names: Counter[str] = Counter()


class TRLReward:
    """A callable for ``reward_funcs`` over datasets in our RL schema.

    Args:
        scorers: as ``sinternal.scorers`` of the configuration.
        timeout_s: the time limit for one sample.
        name: what TRL calls its curves (``rewards/<name>/mean``); by default the names of the scorers, and a number
            where another instance of this process has the same name.
        tokenizer: the policy's tokenizer, or its folder or hub id. Give it where TRL parses replies (``tools``, or a
            tokenizer with a response schema) and where ``</think>`` is a special token.

    Raises:
        ScorerError: one of the scorers cannot be used as it is configured.
    """

    def __init__(
        self,
        scorers: Mapping[str, Mapping[str, Any]],
        timeout_s: float = DEFAULT_TIMEOUT_S,
        name: str | None = None,
        tokenizer: Any = None,
    ) -> None:
        if name is None:
            name = "+".join(scorers)
            _names[name] += 1
            name += f"_{_names[name]}" if _names[name] > 1 else ""
        self.__setstate__({"scorers": scorers, "timeout_s": timeout_s, "name": name, "tokenizer": tokenizer})

    def __getstate__(self) -> dict[str, Any]:
        return self._settings

    def __setstate__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self.__name__ = settings["name"]  # TRL names its curves by it
        self._scoring = Scoring(Router.from_config(settings["scorers"]), settings["timeout_s"])
        self._reader = _TokenReader(settings["tokenizer"]) if settings["tokenizer"] is not None else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process, self._starting = os.getpid(), Lock()
        self._seen: defaultdict[str, set[Outcome]] = defaultdict(set)
        self._warned = False

    def __call__(
        self,
        prompts: Sequence[Text],
        completions: Sequence[Text],
        data_source: Sequence[str],
        reward_model: Sequence[Mapping[str, Any]],
        extra_info: Sequence[Mapping[str, Any]] | None = None,
        completion_ids: Sequence[Sequence[int]] | None = None,
        log_extra: Callable[[str, list], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """A reward for each completion, or None where there is no verdict.

        Args:
            completion_ids: the tokens of each completion; they are read where the instance has a tokenizer.
            log_extra, log_metric: TRL's own; its asynchronous GRPO has none.
        """
        nothing = [None] * len(prompts)
        known = zip(
            prompts,
            completions,
            completion_ids or nothing,
            data_source,
            reward_model,
            extra_info or nothing,
            strict=True,
        )
        samples = [
            Sample(source, self._read(completion, ids), truth.get("ground_truth"), messages_of(prompt), extra or {})
            for prompt, completion, ids, source, truth, extra in known
        ]
        scores = asyncio.run_coroutine_threadsafe(self._score(samples), self._running()).result()
        self._warn_of_unclosed_thoughts(scores)
        if log_metric:
            for metric, value in self._shares(samples, scores).items():
                log_metric(metric, value)
        if log_extra:
            log_extra(f"{self.__name__}/outcome", [score.outcome.name.lower() for score in scores])
            log_extra(f"{self.__name__}/reason", [score.reason for score in scores])
        return [score.value if score.scored else None for score in scores]

    def _read(self, completion: Text, ids: Sequence[int] | None) -> str:
        # The tokens after a tool call hold the tool's text, too.
        one_reply = isinstance(completion, str) or len(completion) == 1
        return self._reader.read(ids) if self._reader and ids is not None and one_reply else text_of(completion)

    def _running(self) -> asyncio.AbstractEventLoop:
        """The event loop of this process. Connections outlive a call, and the caller may run a loop already."""
        with self._starting:
            if self._process != os.getpid():  # forked: the thread of the loop stayed behind
                self.__setstate__(self._settings)
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                Thread(target=self._loop.run_forever, daemon=True, name="sinternal-reward").start()
                atexit.register(self._close)
            return self._loop

    def _close(self) -> None:
        if self._process == os.getpid() and self._loop:
            asyncio.run_coroutine_threadsafe(self._scoring.close(), self._loop).result(CLOSE_TIMEOUT_S)

    async def _score(self, samples: list[Sample]) -> list[Score]:
        return await asyncio.gather(*map(self._scoring.score, samples))

    def _shares(self, samples: list[Sample], scores: list[Score]) -> dict[str, float]:
        """``<name>/<data_source>/scored`` and ``<name>/<data_source>/outcome/<outcome>``: shares of the source's rows
        in this call. TRL takes the mean over calls and processes. An outcome that was seen once is logged from then
        on, because without its zeros a mean would be too high."""
        by_source: defaultdict[str, list[Score]] = defaultdict(list)
        for sample, score in zip(samples, scores, strict=True):
            by_source[sample.source].append(score)
        shares: dict[str, float] = {}
        for source, own in by_source.items():
            self._seen[source].update(score.outcome for score in own)
            prefix = f"{self.__name__}/{source}"
            shares[f"{prefix}/scored"] = sum(score.scored for score in own) / len(own)
            for outcome in sorted(self._seen[source]):
                share = sum(score.outcome is outcome for score in own) / len(own)
                shares[f"{prefix}/outcome/{outcome.name.lower()}"] = share
        return shares

    def _warn_of_unclosed_thoughts(self, scores: list[Score]) -> None:
        unclosed = sum(score.outcome is Outcome.THOUGHT_UNCLOSED for score in scores)
        if unclosed * 2 <= len(scores) or self._warned:
            return
        self._warned = True
        tokens = "" if self._reader else " Where TRL parses replies, or </think> is a special token, give tokenizer=."
        logger.warning(
            "%s: %d of %d replies have no %s, so they are scored 0.%s For a model that does not think, give the "
            "scorers thought: none. Replies that are cut need more tokens.",
            self.__name__,
            unclosed,
            len(scores),
            THOUGHT_END,
            tokens,
        )


class _TokenReader:
    """Reads a reply from its tokens, as our reward manager does: with special tokens, without those at its end."""

    def __init__(self, tokenizer: Any) -> None:
        if isinstance(tokenizer, str | os.PathLike):
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(tokenizer)
        self._tokenizer = tokenizer
        special = {place for place, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._ends = special - {tokenizer.convert_tokens_to_ids(THOUGHT_END)}

    def read(self, ids: Iterable[int]) -> str:
        ids = [int(each) for each in ids]
        while ids and ids[-1] in self._ends:
            ids.pop()
        return self._tokenizer.decode(ids, skip_special_tokens=False)


def text_of(completion: Text) -> str:
    """What the assistant wrote, with its thought where TRL has parsed that into a field of its own. Messages of other
    roles are left out: a tool's text is not the policy's.

    A parser drops a thought without text, and the message then looks like one that never ended its thought. Only
    the tokens tell the two apart.

    >>> text_of([{"role": "assistant", "content": "Yes."}])
    'Yes.'
    >>> text_of([{"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}])
    'Hm.</think>Yes.'
    >>> call = {"role": "assistant", "content": "", "tool_calls": [{}], "reasoning_content": "Hm."}
    >>> text_of([call, {"role": "tool", "content": "May I?"}, {"role": "assistant", "content": "Yes."}])
    'Hm.</think>Yes.'
    """
    if isinstance(completion, str):
        return completion
    return "".join(_said(message) for message in completion if message.get("role") == "assistant")


def _said(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if not isinstance(content, str):  # blocks, as multimodal models have them
        content = "".join(block.get("text") or "" for block in content)
    thought = next((text for field in THOUGHT_FIELDS if (text := message.get(field))), None)
    # A parser finds a tool call behind the thought, also behind one without text.
    called = bool(message.get("tool_calls")) and THOUGHT_BEGIN not in content
    return f"{thought or ''}{THOUGHT_END}{content}" if thought or called else content


def messages_of(prompt: Text) -> tuple[Mapping[str, Any], ...]:
    """The prompt as messages; a string becomes one message of the user."""
    return ({"role": "user", "content": prompt},) if isinstance(prompt, str) else tuple(prompt)
