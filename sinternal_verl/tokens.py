"""Encodes untrusted text as token ids, none of which is a control token.

Templates insert text unchanged. An answer that is to be judged may hold ``<|im_end|>``; encoded as it stands, it
would end the turn. Here a tokenizer never sees an added token whole, so it encodes the letters of that token. Text
without an added token is encoded in one piece, as verl and vLLM do it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

MARK = "\ue5c7"
"""A private-use character that marks in a rendered template where a text is cut. In a text it becomes `UNKNOWN`."""

UNKNOWN = "\ufffd"
"""Replaces a letter that would become a control token, and `MARK` itself."""


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
            nothing. The template sets them around a conversation's contents; no content gets one.
    """

    def __init__(self, tokenizer: Any, **template_kwargs: Any) -> None:
        self._tokenizer, self._kwargs = tokenizer, template_kwargs
        added = {token.content: id for id, token in tokenizer.added_tokens_decoder.items() if token.content.strip()}
        self.control_ids = frozenset(added.values())
        alternatives = "|".join(re.escape(token) for token in sorted(added, key=len, reverse=True))
        # A look-ahead finds occurrences that overlap, too.
        self._added = re.compile(f"(?={alternatives})") if added else None
        self._frames: dict[tuple[str, ...], list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Ids of ``text``, none of them a control id."""
        ids = self._ids(self._cut(text))
        return ids if self.control_ids.isdisjoint(ids) else self._ids(self._harmless(text))

    def encode_prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Ids of a conversation up to where the assistant writes; only the template sets control ids."""
        ids = self._render(messages, [self._cut(message["content"]) for message in messages])
        if self._controls(ids) == self._frame(messages):
            return ids
        # Either the template depends on the content, or a content became a control id.
        return self._render(messages, [self._harmless(message["content"]) for message in messages])

    def _frame(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The control ids that the template sets for a conversation of these roles."""
        roles = tuple(message["role"] for message in messages)
        if roles not in self._frames:
            self._frames[roles] = self._controls(self._render(messages, [["x"]] * len(messages)))
        return self._frames[roles]

    def _controls(self, ids: list[int]) -> list[int]:
        return [id for id in ids if id in self.control_ids]

    def _render(self, messages: Sequence[Mapping[str, str]], contents: Sequence[list[str]]) -> list[int]:
        changed = [
            {**message, "content": MARK.join(piece.replace(MARK, UNKNOWN) for piece in pieces)}
            for message, pieces in zip(messages, contents, strict=True)
        ]
        text = self._tokenizer.apply_chat_template(changed, add_generation_prompt=True, tokenize=False, **self._kwargs)
        return self._ids(text.split(MARK))

    def _cut(self, text: str) -> list[str]:
        """The text in pieces, none of which holds an added token: each such token is cut after its first character."""
        cuts = [match.start() + 1 for match in self._added.finditer(text)] if self._added else []
        return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    def _harmless(self, text: str) -> list[str]:
        """The text in more pieces, for a tokenizer that normalises text before it looks for added tokens."""
        return [part for piece in self._cut(text) for part in self._halved(piece)]

    def _halved(self, piece: str) -> list[str]:
        """The piece, cut into halves as often as one of them holds a control id."""
        if self.control_ids.isdisjoint(self._ids([piece])):
            return [piece]
        if len(piece) == 1:
            return [UNKNOWN]
        half = len(piece) // 2
        return [*self._halved(piece[:half]), *self._halved(piece[half:])]

    def _ids(self, pieces: Sequence[str]) -> list[int]:
        return [id for piece in pieces if piece for id in self._tokenizer.encode(piece, add_special_tokens=False)]
