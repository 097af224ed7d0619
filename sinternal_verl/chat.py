"""A conversation as token ids, whose text can never become control tokens.

Templates put text in raw. An answer that is to be judged may hold ``<|im_end|>``; encoded as it stands it
would end the turn. Text without such a thing is encoded in one piece, as verl and vLLM do it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

MARK = "\ue5c7"
"""A private character, which stands where a text is cut and is never encoded."""


class PromptEncoder:
    """Args: a fast tokenizer of transformers, and what its chat template takes beside messages."""

    def __init__(self, tokenizer: Any, **template_kwargs: Any) -> None:
        self._tokenizer, self._kwargs = tokenizer, template_kwargs
        added = sorted((token.content for token in tokenizer.added_tokens_decoder.values()), key=len, reverse=True)
        # A look-ahead finds occurrences that overlap, too.
        self._added = re.compile(f"(?={'|'.join(map(re.escape, added))})(.)", re.DOTALL) if added else None

    def encode(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The ids up to where the assistant writes."""
        cut = [{**message, "content": self._cut(message["content"])} for message in messages]
        text = self._tokenizer.apply_chat_template(cut, add_generation_prompt=True, tokenize=False, **self._kwargs)
        return [id for piece in text.split(MARK) for id in self._tokenizer.encode(piece, add_special_tokens=False)]

    def _cut(self, text: str) -> str:
        """Every added token in two, after its first character."""
        text = text.replace(MARK, "")
        return self._added.sub(rf"\1{MARK}", text) if self._added else text
