"""One row of SFT as tokens: the prompt as a server would make it, and what the model is to write after it.

A server renders the messages with the generation prompt, and stops at one of the model's end tokens. Between these
two stands the completion, less what the template has written of it (`sinternal_verl.data.opening`). A row that makes
no such turn is refused, because the model would learn what no server shows.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from sinternal_verl.data.adapter import RowError
from sinternal_verl.data.opening import Header, rest_of_turn
from sinternal_verl.end_tokens import end_tokens
from sinternal_verl.scoring.critique import THOUGHT_TAGS
from sinternal_verl.tokens import TextEncoder

ROLES = ("system", "developer", "user", "assistant", "tool")

_PROBE = "q{}probe{}q"
_HELLO = {"role": "user", "content": "Hello"}


class TurnEncoder:
    """Encodes rows for one tokenizer.

    Args:
        tokenizer: a fast tokenizer with a chat template. The model's other end tokens are read from its folder.
        template_kwargs: what the template takes besides messages, as at inference.

    Attributes:
        header: of a turn that the template leaves open; None where it leaves none.

    Raises:
        ValueError: the tokenizer has no chat template, or no end token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, **template_kwargs: Any) -> None:
        self._tokenizer, self._encoder = tokenizer, TextEncoder(tokenizer, **template_kwargs)
        if tokenizer.eos_token_id is None or not tokenizer.chat_template:
            raise ValueError(f"the tokenizer {tokenizer.name_or_path} has no chat template, or no end token")
        # Some tokenizers pad with an ordinary word, which ends nothing.
        ends = end_tokens(tokenizer.name_or_path or None, tokenizer) & self._encoder.control_ids
        stops = ends | {tokenizer.eos_token_id}
        # Padding is no end that a row is written with, except where one token serves for both.
        self._stops = stops - ({tokenizer.pad_token_id} - {tokenizer.eos_token_id})
        last, earlier = self._turn_end(), self._turn_end(_HELLO)
        self._end = last if last in self._stops else tokenizer.eos_token_id
        self._ends = stops | ({last} - {None})
        closing = "|".join(re.escape(self._word(id)) for id in self._ends | ({earlier} - {None}))
        self._closing = re.compile(rf"({closing})(?:\s|{closing})*\Z")
        self.header = self._open_header("" if earlier is None else self._word(earlier))
        self._left_out: dict[tuple[str, ...], int | None] = {}

    def encode(self, messages: Sequence[Mapping[str, Any]], completion: str) -> tuple[list[int], list[int]]:
        """The ids of the prompt, and those that the model is to write, its end token included.

        Raises:
            RowError: the messages cannot be rendered, or the completion does not fit the template.
        """
        messages = checked(messages)
        try:
            prompt = self._encoder.encode_prompt(messages)
            opening = self._opening(messages)
            left_out, frame = self._message_left_out(messages), self._encoder.frame(messages)
        # The messages are sound, so the template has no place for one of them, and raises what it likes.
        except (TemplateError, TypeError, ValueError) as error:
            raise RowError(f"the chat template does not take its prompt: {error}") from error
        if left_out is not None:
            role = messages[left_out]["role"]
            raise RowError(f"the chat template leaves out message {left_out} of its prompt, which has the role {role}")
        if not prompt:
            raise RowError("the chat template makes nothing of its prompt")
        written, end = self._split_end(completion)
        written = rest_of_turn(opening, written, self.header, calls=end != self._end)
        ids = self._tokenizer.encode(written, add_special_tokens=False)
        # Behind an open header one turn has several parts, each with the tokens that begin a turn.
        self._check_controls(ids, [] if self.header else frame)
        return prompt, [*ids, end]

    def _split_end(self, completion: str) -> tuple[str, int]:
        """The completion without the end tokens that it is written with, and its end token: the first of these where a
        server stops at it, else the template's."""
        closing = self._closing.search(completion)
        if closing is None:
            return completion, self._end
        end = self._tokenizer.convert_tokens_to_ids(closing.group(1))
        return completion[: closing.start()], end if end in self._stops else self._end

    def _check_controls(self, ids: Iterable[int], frame: Iterable[int]) -> None:
        """One row is one turn: nothing in it ends it, and nothing begins another.

        Args:
            frame: the control tokens that the template sets.
        """
        tags = {self._tokenizer.convert_tokens_to_ids(tag) for tag in THOUGHT_TAGS}
        forbidden = self._ends | (set(frame) - tags)
        for id in ids:
            if id in forbidden:
                raise RowError(f"its completion holds {self._word(id)}, which ends or begins a turn, and goes on")

    def _opening(self, messages: Sequence[Mapping[str, str]]) -> str:
        """What the template writes of the assistant's turn."""
        with_turn, without = (self._encoder.text(messages, add_generation_prompt=each) for each in (True, False))
        if with_turn != without:
            # Of letters, not of a path's parts: some templates write something else in its place.
            return with_turn[len(os.path.commonprefix([with_turn, without])) :]  # noqa: RUF071
        # A guard's template writes it in any case.
        last = messages[-1]["content"].strip()
        return with_turn.rpartition(last)[2] if last and last in with_turn else ""

    def _turn_end(self, *later: dict[str, str]) -> int | None:
        """The control token that the template sets right behind an assistant's text; None where it sets none.

        Args:
            later: the messages after it.
        """
        _, behind = self._around_probe(*later)
        found = self._controls_of(behind)[:1]
        return found[0] if found and behind.lstrip().startswith(self._word(found[0])) else None

    def _open_header(self, end: str) -> Header | None:
        """What an earlier turn of the assistant has between the opening and its text, if there are control tokens, and
        not only the tags of a thought.

        Args:
            end: what ends an earlier turn.
        """
        try:
            begun, opening = self._encoder.text([_HELLO]), self._opening([_HELLO])
        except (TemplateError, TypeError, ValueError):
            return None
        before, _ = self._around_probe(_HELLO)
        more = before.removeprefix(begun)
        starts, words = ([self._word(id) for id in self._controls_of(text)] for text in (opening, more))
        if not before.startswith(begun) or not starts or not words or words[0] in THOUGHT_TAGS:
            return None
        return Header(opening, starts[0], more, tuple(word for word in words if word not in THOUGHT_TAGS), end)

    def _around_probe(self, *later: dict[str, str]) -> tuple[str, str]:
        """What the template writes before and behind an assistant's text; nothing where it takes no such turn."""
        probe = _PROBE.format(0, 0)
        try:
            messages = [_HELLO, {"role": "assistant", "content": probe}, *later]
            before, _, behind = self._encoder.text(messages, add_generation_prompt=False).rpartition(probe)
        except (TemplateError, TypeError, ValueError):
            return "", ""
        return before, behind

    def _controls_of(self, text: str) -> list[int]:
        return self._encoder.controls(self._tokenizer.encode(text, add_special_tokens=False))

    def _message_left_out(self, messages: Sequence[Mapping[str, str]]) -> int | None:
        """The number of the first message, none of an assistant, that the template does not show; None where there is
        none. It depends on the roles alone."""
        roles = tuple(message["role"] for message in messages)
        if roles not in self._left_out:
            probes = [_PROBE.format(number, number) for number in range(len(roles))]
            text = self._encoder.text(
                [{**message, "content": probe} for message, probe in zip(messages, probes, strict=True)]
            )
            hidden = (n for n, probe in enumerate(probes) if probe not in text and roles[n] != "assistant")
            self._left_out[roles] = next(hidden, None)
        return self._left_out[roles]

    def _word(self, id: int) -> str:
        return self._tokenizer.decode([id], skip_special_tokens=False)


def checked(messages: Any) -> list[dict[str, Any]]:
    """The messages, without the keys that parquet has filled with null.

    Raises:
        RowError: they are no prompt.
    """
    if not isinstance(messages, list) or not messages:
        raise RowError("its prompt holds no messages")
    found = []
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise RowError(f"message {number} of its prompt is no {{role, content}}")
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise RowError(f"message {number} of its prompt has the role {role!r}; known are {', '.join(ROLES)}")
        if message.get("tool_calls"):
            raise RowError(f"message {number} of its prompt has tool_calls; rows with tool calls are not supported")
        if not isinstance(content, str):
            kind = "null" if content is None else "a list of parts; join their text into one"
            raise RowError(f"the content of message {number} of its prompt is {kind}")
        found.append({key: value for key, value in message.items() if value is not None})
    return found
