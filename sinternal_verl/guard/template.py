"""The guard's own chat template around one conversation, as token ids.

The template is rendered once, with two marks in the place of the texts, and cut at the marks. A prompt is then
these fixed ids with the encoded texts between them: whatever a policy writes, the ids outside its place stay
the same. (The structure is that of Qwen3Guard-Gen's template for judging a response.)
"""

from dataclasses import dataclass
from typing import Any

from sinternal_verl.guard.content import neutralise
from sinternal_verl.guard.errors import TemplateError
from sinternal_verl.tokens import TextEncoder

USER, ASSISTANT = "USER:", "ASSISTANT:"
OPENS, CLOSES = "<BEGIN CONVERSATION>", "<END CONVERSATION>"
ASKS_FOR = ("Safety:", "Categories:", "Refusal:")

_MARKS = ("q7usermark7q", "q7assistantmark7q")
_PROBES = (
    ("Hello?", "Hello! How can I help?"),
    ("Name three colours.\n- short", "Red, green and blue."),
    ("  1 + 1 =", "2\n\nIt is *two*.\n"),
    ("Wie heißt du? 你好", "Ich heiße Ada. 👍"),
)
_CUT = "[…]"
"""Marks where the beginning of an answer, or the end of a prompt, was left out."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation as the guard sees it.

    Attributes:
        ids: the whole prompt.
        spans: (start, end) of the user's text in ``ids``, then of the assistant's.
        cut: how many tokens of content the conversation had beyond the room for it.
        answer_cut: how many tokens of the assistant's text were left out, because of its length or the user's.
    """

    ids: list[int]
    spans: tuple[tuple[int, int], tuple[int, int]]
    cut: int
    answer_cut: int = 0


class GuardTemplate:
    """Renders conversations for one guard.

    Args:
        tokenizer: the guard's own, with its chat template.
        max_tokens: most tokens of a rendered conversation: the guard's context less what it generates.

    Raises:
        TemplateError: the template lacks part of the structure, ``max_tokens`` leaves too little room, or the
            tokenizer does not keep the parts apart; the message names what is wrong and what to use.
    """

    def __init__(self, tokenizer: Any, max_tokens: int) -> None:
        self._content, self._tokenizer, self._max_tokens = TextEncoder(tokenizer), tokenizer, max_tokens
        text = tokenizer.apply_chat_template(_messages(*_MARKS), tokenize=False)
        parts = _split(text)
        _check_structure(parts)
        # White space around a text is encoded with it, because a tokenizer may join the two.
        before, between, after = parts
        self._around_user = (" " * _spaces(before), _leading(between))
        self._around_assistant = (" " * _spaces(between), _leading(after))
        fixed = (before.rstrip(" "), between.strip(), after.lstrip())
        self._fixed = [tokenizer.encode(part, add_special_tokens=False) for part in fixed]
        room = max_tokens - sum(map(len, self._fixed))
        if room < 64:
            raise TemplateError(f"max_tokens={max_tokens} leaves {room} for the conversation; give the guard more")
        for user, assistant in _PROBES:
            theirs = tokenizer.apply_chat_template(_messages(user, assistant), tokenize=False)
            if self.render(user, assistant).ids != tokenizer.encode(theirs, add_special_tokens=False):
                raise TemplateError(
                    f"the tokenizer joins the conversation {user!r}, {assistant!r} with the text around it: "
                    "its prompts cannot be composed from parts; use a Qwen3Guard-Gen tokenizer"
                )

    @property
    def overhead(self) -> int:
        """Tokens around the two texts of every conversation."""
        return len(self.render("", "").ids)

    def render(self, user: str, assistant: str) -> Conversation:
        """The guard's prompt for one conversation. Texts that are too long are cut: the user's keeps its beginning,
        and at least half of the room if it needs it; the assistant's keeps its end."""
        asked = self._encode(user, self._around_user)
        said = self._encode(assistant, self._around_assistant)
        room = self._max_tokens - sum(map(len, self._fixed))
        cut, answer_cut = max(len(asked) + len(said) - room, 0), 0
        if cut:
            asked_room = max(room - len(said), room // 2)
            if len(asked) > asked_room:
                asked = self._shorten(asked, self._around_user, asked_room, beginning=True)
            if len(said) > room - len(asked):
                answer_cut = len(said) - (room - len(asked))
                said = self._shorten(said, self._around_assistant, room - len(asked), beginning=False)
        before, between, after = self._fixed
        first = (len(before), len(before) + len(asked))
        second = (first[1] + len(between), first[1] + len(between) + len(said))
        return Conversation(before + asked + between + said + after, (first, second), cut, answer_cut)

    def _shorten(self, whole: list[int], around: tuple[str, str], room: int, *, beginning: bool) -> list[int]:
        """As much of the beginning, or of the end, of an encoded text as fits. The part is neutralised again, for a
        cut may lay bare a label that stood within a word."""
        kept = min(room, len(whole))
        while True:
            part = self._tokenizer.decode(
                whole[:kept] if beginning else whole[len(whole) - kept :], clean_up_tokenization_spaces=False
            )
            part = f"{part.removeprefix(around[0])} {_CUT}" if beginning else f"{_CUT} {part.removesuffix(around[1])}"
            ids = self._encode(part, around)
            if len(ids) <= room or not kept:
                return ids
            kept = max(kept - (len(ids) - room), 0)

    def _encode(self, text: str, around: tuple[str, str]) -> list[int]:
        return self._content.encode(around[0] + neutralise(text) + around[1])


def _messages(user: str, assistant: str) -> list[dict[str, str]]:
    """User and assistant only: the template shows a system message as if the user had said it."""
    return [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]


def _split(text: str) -> tuple[str, str, str]:
    counts = [text.count(mark) for mark in _MARKS]
    if counts != [1, 1] or text.index(_MARKS[0]) > text.index(_MARKS[1]):
        raise TemplateError(
            f"the chat template shows the user's text {counts[0]} times and the assistant's {counts[1]} times, "
            "each must appear once, in this order; use the guard's own tokenizer (Qwen3Guard-Gen)"
        )
    before, rest = text.split(_MARKS[0])
    between, after = rest.split(_MARKS[1])
    return before, between, after


def _check_structure(parts: tuple[str, str, str]) -> None:
    before, between, after = parts
    wanted = {
        f"{OPENS} once, before the user's text": before.count(OPENS) == 1 and (between + after).count(OPENS) == 0,
        f"{USER} before the user's text": before.rstrip(" ").endswith(USER),
        f"{ASSISTANT} alone between the texts": between.strip() == ASSISTANT,
        f"{CLOSES} once, after the assistant's text": after.lstrip().startswith(CLOSES) and after.count(CLOSES) == 1,
        f"the lines {', '.join(ASKS_FOR)} asked for at the end": all(line in after for line in ASKS_FOR),
        "an opened answer with an empty thought at the end": after.rstrip().endswith("</think>"),
    }
    missing = [what for what, there in wanted.items() if not there]
    if missing:
        raise TemplateError(
            f"the chat template does not have the guard's structure; missing: {'; '.join(missing)}. Use the guard's "
            "own tokenizer (Qwen3Guard-Gen)"
        )


def _spaces(text: str) -> int:
    return len(text) - len(text.rstrip(" "))


def _leading(text: str) -> str:
    """The white space ``text`` begins with."""
    return text[: len(text) - len(text.lstrip())]
