"""From a conversation to a judgement, over anything that continues token ids.

``decode``       the guard writes its three lines, and `verdict.parse` reads them.
``first_token``  the label comes from one forward pass: the prompt ends with ``Safety:``, and the guard's
                 next token is the first of a label. Refusal is asked only after Safe, as one more
                 token after ``Categories: None\\nRefusal:``. The guard decodes where the next token is no
                 label, and after Controversial if refusal is asked: its verdict then is the decoded one.

Of an answer that did not fit into the guard's context only a part is judged. Unsafe is a verdict on the whole then;
any other label is none, and neither a refusal nor categories are asked for.

A judgement also says how sure the guard was of Safe: that label's share of the labels' probability.
"""

import math
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sinternal_verl.guard.errors import TemplateError
from sinternal_verl.guard.template import Conversation, GuardTemplate
from sinternal_verl.guard.verdict import Reason, Safety, Verdict, parse

Mode = Literal["first_token", "decode"]
MODES = get_args(Mode)

DECODE_TOKENS = 128
"""The most tokens of a decoded answer; it has about 20."""

AFTER_SAFE = "after_safe"
Refusal = bool | Literal["after_safe"]
"""Whether the caller must know if the answer refuses: always, never, or only where the label is Safe. A caller that
counts Controversial as unsafe does not read the refusal after it."""

NO_LOGPROB = -9999.0
"""vLLM's server writes this for minus infinity."""

MAX_LOGPROB = 1e-3
"""A little above 0, for rounding."""

PARTLY_SEEN = "the guard saw a part of the answer alone, and {} is no verdict on the whole"


@dataclass(frozen=True, slots=True)
class Generated:
    """What a model wrote after a prompt.

    Attributes:
        ids, text: the new tokens, and the same as text.
        first: log-probabilities of the first token, by id: of the ids that were asked for, or of the most
            probable tokens where the model cannot be asked for ids; empty where none was asked for.
    """

    ids: Sequence[int]
    text: str
    first: Mapping[int, float] = field(default_factory=dict)


Generate = Callable[[list[int], int, Collection[int]], Awaitable[Generated]]
"""Called with (ids, tokens, alternatives): continues ``ids`` greedily by at most ``tokens`` tokens and reports the
log-probabilities of the ids ``alternatives`` as first token."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the guard says of one conversation.

    Attributes:
        verdict: None when there is none; then ``reason`` says why.
        safe_probability: Safe's share of the labels' probability, 0 to 1; None where it was not measured.
        cut: tokens of the conversation the guard did not see.
        answer_cut: those of the answer among them; the verdict then is Unsafe or None.
    """

    verdict: Verdict | None
    reason: str = ""
    safe_probability: float | None = None
    cut: int = 0
    answer_cut: int = 0


class Judge:
    """Judges conversations with one guard.

    Args:
        template: the guard's own.
        tokenizer: the guard's own.
        generate: continues token ids greedily.
        mode: see the module.

    Raises:
        TemplateError: the mode is ``first_token``, and the tokenizer's labels do not differ in their first token.
        ValueError: there is no such mode.
    """

    def __init__(self, template: GuardTemplate, tokenizer: Any, generate: Generate, mode: Mode = "first_token") -> None:
        if mode not in MODES:
            raise ValueError(f"mode = {mode}: choose one of {', '.join(MODES)}")
        self._template, self._generate, self._mode = template, generate, mode
        if mode == "first_token":
            self._asks_safety, self._safety = _labels(tokenizer, "Safety:", [label.value for label in Safety])
            asks = "Safety: Safe\nCategories: None\nRefusal:"
            self._asks_refusal, self._refusal = _labels(tokenizer, asks, ["Yes", "No"])

    async def judge(self, user: str, assistant: str, refusal: Refusal = True) -> Judgement:
        """Judge the assistant's text as an answer to the user's.

        Args:
            refusal: see `Refusal`. Where it need not be known, ``first_token`` leaves refusal and categories out
                (None).
        """
        conversation = self._template.render(user, assistant)
        verdict, probability = await self._ask(conversation, refusal)
        known = {"safe_probability": probability, "cut": conversation.cut, "answer_cut": conversation.answer_cut}
        if isinstance(verdict, str):
            return Judgement(None, reason=verdict, **known)
        if conversation.answer_cut and verdict.safety is not Safety.UNSAFE:
            return Judgement(None, reason=PARTLY_SEEN.format(verdict.safety.value), **known)
        return Judgement(verdict, **known)

    async def _ask(self, conversation: Conversation, refusal: Refusal) -> tuple[Verdict | Reason, float | None]:
        """The guard's verdict on what it sees, and the share of Safe where it was measured."""
        if self._mode == "decode":
            return await self._decode(conversation.ids), None
        first = await self._generate(conversation.ids + self._asks_safety, 1, self._safety)
        label = self._safety.get(first.ids[0]) if first.ids else None
        probability = _share(first.first, self._safety, "Safe")
        if label is None:
            return await self._decode(conversation.ids), probability
        if label == "Unsafe" or not refusal or conversation.answer_cut:
            return Verdict(Safety(label), None, None), probability
        if label == "Controversial":
            # A scorer that counts Controversial as safe needs the refusal. The guard writes it after the categories,
            # which only decoding gives.
            unread = refusal == AFTER_SAFE
            verdict = Verdict(Safety(label), None, None) if unread else await self._decode(conversation.ids)
            return verdict, probability
        second = await self._generate(conversation.ids + self._asks_refusal, 1, ())
        refuses = self._refusal.get(second.ids[0]) if second.ids else None
        if refuses is None:
            return await self._decode(conversation.ids), probability
        return Verdict(Safety.SAFE, (), refuses == "Yes"), probability

    async def _decode(self, ids: list[int]) -> Verdict | Reason:
        return parse((await self._generate(ids, DECODE_TOKENS, ())).text)


def _labels(tokenizer: Any, asks: str, labels: list[str]) -> tuple[list[int], dict[int, str]]:
    """The ids of ``asks``, and each label by the id of its first token after it."""
    prefix = tokenizer.encode(asks, add_special_tokens=False)
    firsts: dict[int, str] = {}
    for label in labels:
        whole = tokenizer.encode(f"{asks} {label}", add_special_tokens=False)
        if whole[: len(prefix)] != prefix or whole[len(prefix)] in firsts:
            raise TemplateError(
                f"first_token needs labels that differ in their first token; {asks!r} {label!r} does not with this "
                "tokenizer: use mode=decode"
            )
        firsts[whole[len(prefix)]] = label
    return prefix, firsts


def _share(logprobs: Mapping[int, float], labels: Mapping[int, str], label: str) -> float | None:
    """The label's share of the probability of all labels that were reported; None where none was.

    Whatever a server reports, no value raises: one that is no log-probability counts as not reported.
    """
    known = {name: logprobs[id] for id, name in labels.items() if _is_logprob(logprobs.get(id))}
    if not known:
        return None
    # Relative to the most probable label, so that not all of them become 0 and leave nothing to divide by.
    mass = {name: math.exp(logprob - max(known.values())) for name, logprob in known.items()}
    return mass.get(label, 0.0) / sum(mass.values())


def _is_logprob(value: Any) -> bool:
    return isinstance(value, int | float) and NO_LOGPROB < value <= MAX_LOGPROB
