"""Encodes untrusted text as token ids, none of which is a control token.

Templates insert text unchanged. An answer that is to be judged may hold ``<|im_end|>``; encoded as it stands, it
would end the turn. Here a tokenizer never sees an added token whole, so it encodes the letters of that token. Text
without an added token is encoded in one piece, as verl and vLLM do it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import lru_cache
from typing import Any

MARK = "\ue5c7"
"""A private-use character that marks in a rendered template where a text is cut. In a text it becomes `UNKNOWN`."""

UNKNOWN = "\ufffd"
"""Replaces a letter that would become a control token, and `MARK` itself."""

THOUGHT_TAGS = frozenset(("<think>", "</think>"))
"""Tokens in which an assistant's own text may be written."""


def whole_text(text: str) -> str:
    """``text`` with halves of surrogate pairs, which no tokenizer and no file takes, replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class TextEncoder:
    """Encodes texts, and conversations in the tokenizer's template.

    Args:
        tokenizer: a fast tokenizer of transformers.
        template_kwargs: what its chat template takes besides messages.

    Attributes:
        control_ids: ids of the added tokens, special or not, except tokens of white space alone, which control
            nothing. The template sets them around a conversation's contents; a content gets one only as
            `encode_prompt` says.
    """

    def __init__(self, tokenizer: Any, **template_kwargs: Any) -> None:
        self._tokenizer, self._kwargs = tokenizer, template_kwargs
        added = {token.content: id for id, token in tokenizer.added_tokens_decoder.items() if token.content.strip()}
        self._ids_of, self._added = added, frozenset(added)
        self._added_but_tags = self._added - THOUGHT_TAGS
        self.control_ids = frozenset(added.values())
        self._frames: dict[tuple[str, ...], list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Ids of ``text``, none of them a control id."""
        ids = self._ids(_cut(text, self._added))
        return ids if self.control_ids.isdisjoint(ids) else self._ids(self._harmless(text, self._added))

    def encode_prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Ids of a conversation up to where the assistant writes; only the template sets control ids.

        Two kinds of control tokens in a content stay whole, as they would at inference: the tags of a thought in an
        assistant's own message, and a token that changes what the template makes of the conversation. So a template
        finds the ``</think>`` behind which it leaves out the thought of an earlier turn.
        """
        contents = [message["content"] for message in messages]
        hidden = self._hidden(messages, contents)
        ids = self._render(messages, map(_cut, contents, hidden))
        if self.controls(ids) == self.frame(messages):
            return ids
        # The template depends on the content, or a thought was kept, or a content became a control id.
        return self._render(messages, map(self._harmless, contents, hidden))

    def text(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
        """What the template makes of a conversation, its contents unchanged."""
        return self._tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=add_generation_prompt, tokenize=False, **self._kwargs
        )

    def frame(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The control ids that the template sets for a conversation of these roles."""
        roles = tuple(message["role"] for message in messages)
        if roles not in self._frames:
            self._frames[roles] = self.controls(self._render(messages, [["x"]] * len(messages)))
        return self._frames[roles]

    def controls(self, ids: Sequence[int]) -> list[int]:
        """Those of the ids that are control ids."""
        return [id for id in ids if id in self.control_ids]

    def _hidden(self, messages: Sequence[Mapping[str, str]], contents: Sequence[str]) -> list[frozenset[str]]:
        """For each message the added tokens that its content must not become: all but the two kinds."""
        hidden = [self._added_but_tags if each["role"] == "assistant" else self._added for each in messages]
        found = [frozenset(_found(content, tokens)) for content, tokens in zip(contents, hidden, strict=True)]
        if not any(found):
            return hidden
        whole = self._marked(messages, [[content] for content in contents])

        def ignores(tokens: Sequence[frozenset[str]]) -> bool:
            return self._marked(messages, map(_cut, contents, tokens)).replace(MARK, "") == whole

        if ignores(hidden):
            return hidden
        for number, tokens in enumerate(found):
            for token in tokens:
                alone = [frozenset([token]) if each == number else frozenset() for each in range(len(found))]
                if not ignores(alone):
                    hidden[number] -= alone[number]
        return hidden if ignores(hidden) else [all_of - own for all_of, own in zip(hidden, found, strict=True)]

    def _render(self, messages: Sequence[Mapping[str, str]], contents: Iterable[list[str]]) -> list[int]:
        return self._ids(self._marked(messages, contents).split(MARK))

    def _marked(self, messages: Sequence[Mapping[str, str]], contents: Iterable[list[str]]) -> str:
        """What the template makes of a conversation with these contents, each in pieces, and a mark between two."""
        changed = [
            {**message, "content": MARK.join(piece.replace(MARK, UNKNOWN) for piece in pieces)}
            for message, pieces in zip(messages, contents, strict=True)
        ]
        return self.text(changed)

    def _harmless(self, text: str, hidden: frozenset[str]) -> list[str]:
        """The text in more pieces, for a tokenizer that normalises text before it looks for added tokens.

        Args:
            hidden: the added tokens that must not come out of it.
        """
        ids = {self._ids_of[token] for token in hidden}
        return [part for piece in _cut(text, hidden) for part in self._halved(piece, ids)]

    def _halved(self, piece: str, hidden: Set[int]) -> list[str]:
        """The piece, cut into halves as often as one of them holds one of the ids."""
        if hidden.isdisjoint(self._ids([piece])):
            return [piece]
        if len(piece) == 1:
            return [UNKNOWN]
        half = len(piece) // 2
        return [*self._halved(piece[:half], hidden), *self._halved(piece[half:], hidden)]

    def _ids(self, pieces: Sequence[str]) -> list[int]:
        return [id for piece in pieces if piece for id in self._tokenizer.encode(piece, add_special_tokens=False)]


def _cut(text: str, tokens: frozenset[str]) -> list[str]:
    """The text in pieces, none of which holds one of the tokens: each is cut after its first character."""
    cuts = [match.start() + 1 for match in _occurrences(tokens).finditer(text)] if tokens else []
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def _found(text: str, tokens: frozenset[str]) -> Iterator[str]:
    """The tokens in the text, as often as they are there."""
    return (match.group(1) for match in _occurrences(tokens).finditer(text)) if tokens else iter(())


@lru_cache(maxsize=256)
def _occurrences(tokens: frozenset[str]) -> re.Pattern[str]:
    """Finds the tokens in a text by a look-ahead, so that it finds those that overlap, too."""
    return re.compile(f"(?=({'|'.join(re.escape(token) for token in sorted(tokens, key=len, reverse=True))}))")
