"""Encodes untrusted text as token ids, none of which is a control token.

Templates insert text unchanged. An answer that is to be judged may hold ``<|im_end|>``; encoded as it stands, it
would end the turn. Here a tokenizer never sees an added token whole, so it encodes the letters of that token. Text
without an added token is encoded in one piece, as verl and vLLM do it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

MARK = "\ue5c7"
"""A private-use character that marks where a text is cut; it is never encoded."""


class TextEncoder:
    """Encodes texts, and conversations in the tokenizer's template.

    Args:
        tokenizer: a fast tokenizer of transformers.
        template_kwargs: what its chat template takes besides messages.

    Attributes:
        control_ids: ids of the added tokens, special or not. The template sets them around a conversation's
            contents; no content gets one.
    """

    def __init__(self, tokenizer: Any, **template_kwargs: Any) -> None:
        self._tokenizer, self._kwargs = tokenizer, template_kwargs
        added = {token.content: id for id, token in tokenizer.added_tokens_decoder.items()}
        self.control_ids = frozenset(added.values())
        alternatives = "|".join(re.escape(token) for token in sorted(added, key=len, reverse=True))
        # A look-ahead finds occurrences that overlap, too.
        self._added = re.compile(f"(?={alternatives})(.)", re.DOTALL) if added else None
        self._frames: dict[tuple[str, ...], list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Ids of ``text``, none of them a control id."""
        ids = self._ids(self._cut(text))
        return ids if self.control_ids.isdisjoint(ids) else self._ids(self._spell(text))

    def encode_prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Ids of a conversation up to where the assistant writes; only the template sets control ids."""
        ids = self._render(messages, [self._cut(message["content"]) for message in messages])
        if self._controls(ids) == self._frame(messages):
            return ids
        # Either the template depends on the content, or a content became a control id: such a content is spelt out.
        return self._render(messages, [self._harmless(message["content"]) for message in messages])

    def _frame(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The control ids that the template sets for a conversation of these roles."""
        roles = tuple(message["role"] for message in messages)
        if roles not in self._frames:
            self._frames[roles] = self._controls(self._render(messages, ["x"] * len(messages)))
        return self._frames[roles]

    def _controls(self, ids: list[int]) -> list[int]:
        return [id for id in ids if id in self.control_ids]

    def _render(self, messages: Sequence[Mapping[str, str]], contents: Sequence[str]) -> list[int]:
        changed = [{**message, "content": content} for message, content in zip(messages, contents, strict=True)]
        text = self._tokenizer.apply_chat_template(changed, add_generation_prompt=True, tokenize=False, **self._kwargs)
        return self._ids(text)

    def _harmless(self, text: str) -> str:
        cut = self._cut(text)
        return cut if self.control_ids.isdisjoint(self._ids(cut)) else self._spell(text)

    def _cut(self, text: str) -> str:
        """The text with a mark after the first character of every added token in it."""
        text = text.replace(MARK, "")
        return self._added.sub(rf"\1{MARK}", text) if self._added else text

    def _spell(self, text: str) -> str:
        """The text with a mark after every letter, for a tokenizer that normalises text before it looks for added
        tokens. A letter that is an added token itself is left out."""
        return MARK.join(letter for letter in text if self.control_ids.isdisjoint(self._ids(letter)))

    def _ids(self, marked: str) -> list[int]:
        pieces = filter(None, marked.split(MARK))
        return [id for piece in pieces for id in self._tokenizer.encode(piece, add_special_tokens=False)]
