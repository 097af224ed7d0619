r"""What a model is to write of a turn, after what the chat template has written of it.

Some templates write the beginning of the assistant's turn themselves: R1's opens the thought, and Qwen3's with
``enable_thinking=false`` writes an empty thought. What a template has written the model does not write again:

>>> rest_of_turn("<|Assistant|><think>\n", "<think>\nIt lends the lamp.\n</think>\n\nNo.")
'It lends the lamp.\n</think>\n\nNo.'
>>> rest_of_turn("<|im_start|>assistant\n", "\n<think>\nIt lends the lamp.\n</think>\n\nNo.")
'<think>\nIt lends the lamp.\n</think>\n\nNo.'
>>> rest_of_turn("<|im_start|>assistant\n<think>\n\n</think>\n\n", "<think>\n\n</think>\n\nNo.")
'No.'
"""

import re
from dataclasses import dataclass

from sinternal_verl.data.adapter import RowError
from sinternal_verl.scoring.critique import THOUGHT_TAGS

OPENS, CLOSES = THOUGHT_TAGS

UNCLOSED = (
    f"the chat template opens a thought, and its completion has no {CLOSES}: all of it would be a thought; begin it "
    f"with {OPENS}THOUGHT{CLOSES} (for VerificationDataset: data.verification.thinks=true)"
)
THINKS_AGAIN = (
    "the chat template has written an empty thought, and its completion thinks once more; set "
    "+data.apply_chat_template_kwargs.enable_thinking=true, or leave the thought out (for VerificationDataset: "
    "data.verification.thinks=false)"
)

NO_TEXT = "its completion holds nothing but an empty thought"

RECIPIENT = " to="
"""Stands in harmony before the channel, where the turn goes to a tool."""
_RECIPIENT = re.compile(rf"{RECIPIENT}\S+ ?")


@dataclass(frozen=True)
class Header:
    """The header of a turn that a template leaves open, as that of harmony (gpt-oss) does: the model itself writes the
    channel. A turn may have several parts, each with its header.

    Attributes:
        opening: what the template writes of the turn, such as ``<|start|>assistant``.
        start: the control token that begins it.
        rest: what closes the header before an answer, such as ``<|channel|>final<|message|>``.
        controls: its control tokens; the template waits for the first.
        end: the control token that ends an earlier turn, such as ``<|end|>``; "" where there is none.
    """

    opening: str
    start: str
    rest: str
    controls: tuple[str, ...]
    end: str

    def check(self, completion: str, calls: bool = False) -> None:
        """
        Args:
            calls: the completion ends with another token than an answer does, such as ``<|call|>``.

        Raises:
            RowError: the completion is not one or more parts, each with its header, of which the last is an answer or
                a call.
        """
        if not completion.startswith((self.controls[0], RECIPIENT)):
            reason = f"the chat template waits for {self.controls[0]}, and its completion begins without it"
            raise RowError(f"{reason}; write its answer as {self.rest}ANSWER, and a thought in the model's own form")
        if completion.count(self.start) != completion.count(self.opening):
            raise RowError(f"its completion holds {self.start} without the assistant's role: a turn of another role")
        joint = self.end + self.opening
        parts = [self._split(part, joint) for part in completion.split(joint)]
        if not any(text.strip() for _, text in parts):
            raise RowError("its completion holds headers and no text")
        names, _ = parts[-1]
        if names != self._names(self.rest) and not calls:
            raise RowError(f"its completion ends without an answer: its last part must begin with {self.rest}")

    def read(self, text: str) -> tuple[str, str]:
        """The thought and the answer of what a model has written after the opening. The answer is the text of the last
        part, where this is one; the other parts are the thought.

        >>> controls = ("<|channel|>", "<|message|>")
        >>> final = "<|channel|>final<|message|>"
        >>> header = Header("<|start|>assistant", "<|start|>", final, controls, "<|end|>")
        >>> header.read(f"<|channel|>analysis<|message|>It lends the lamp.<|end|><|start|>assistant{final}No.")
        ('It lends the lamp.', 'No.')
        >>> header.read("<|channel|>analysis<|message|>It lends")
        ('It lends', '')
        """
        *parts, last = (self._pieces(part) for part in text.split(self.end + self.opening))
        answers = last[2:-1:2] == self._names(self.rest)
        parts += [] if answers else [last]
        return "\n".join(pieces[-1] for pieces in parts), last[-1] if answers else ""

    def _split(self, part: str, joint: str) -> tuple[list[str], str]:
        """What stands between the control tokens of a part's header, and its text."""
        pieces = self._pieces(part)
        recipient, names, text = pieces[0], pieces[2:-1:2], pieces[-1]
        if (
            tuple(pieces[1::2]) != self.controls
            or not all(name.strip() for name in names)
            or (recipient and not _RECIPIENT.fullmatch(recipient))
        ):
            step = f"write each part as {self.rest}TEXT, or with another name, and {joint} between two"
            raise RowError(f"its completion holds a part without a whole header, or a text between two parts; {step}")
        return names, text

    def _names(self, header: str) -> list[str]:
        return self._pieces(header)[2:-1:2]

    def _pieces(self, text: str) -> list[str]:
        """The text cut at control tokens, which have the odd numbers."""
        tokens = "|".join(re.escape(token) for token in {*self.controls, self.start, self.end} - {""})
        return re.split(f"({tokens})", text)


def rest_of_turn(opening: str, completion: str, header: Header | None = None, calls: bool = False) -> str:
    """What the model is to write of a completion, after what the template has written of the turn.

    Args:
        opening: what the template writes of it.
        completion: thought and answer, without end token.
        header: where the template leaves the turn's header open.
        calls: as of `Header.check`.

    Raises:
        RowError: the two do not make one turn with at most one thought.
    """
    if not completion.strip():
        raise RowError("its completion is empty")
    if header is not None:
        completion = completion if completion.startswith(RECIPIENT) else completion.lstrip()
        header.check(completion, calls)
        return completion
    # White space before a thought is of no use: no template writes any.
    thinks = completion.lstrip().startswith(OPENS)
    rest = completion.lstrip().removeprefix(OPENS) if thinks else completion
    tag = max(THOUGHT_TAGS, key=opening.rfind)
    if tag not in opening and thinks:
        _check_one_thought(rest, "its completion opens a thought and never closes it")
        return OPENS + rest
    if tag == OPENS and tag in opening:
        rest = _without_line_end(opening, rest) if thinks else rest
        _check_one_thought(rest, UNCLOSED)
        return rest
    if thinks:
        thought, _, rest = rest.partition(CLOSES)
        if thought.strip():
            raise RowError(THINKS_AGAIN)
        rest = _without_line_end(opening, rest)
    if OPENS in rest or CLOSES in rest:
        raise RowError(f"its completion holds {OPENS} or {CLOSES} where it has no thought; begin the thought with it")
    if not rest.strip():
        raise RowError(f"{NO_TEXT} that the chat template has written")
    return rest


def _without_line_end(opening: str, rest: str) -> str:
    """The rest without the line ends at its beginning, where the template has written one there."""
    return rest.lstrip("\n") if opening.endswith("\n") else rest


def _check_one_thought(rest: str, unclosed: str) -> None:
    """Check what follows an opening tag.

    Args:
        unclosed: the reason where no thought ends.
    """
    if CLOSES not in rest:
        raise RowError(unclosed)
    if OPENS in rest or rest.count(CLOSES) > 1:
        raise RowError(f"its completion holds {OPENS} or {CLOSES} once more: a thought would begin or end twice")
    if not rest.replace(CLOSES, "").strip():
        raise RowError(NO_TEXT)
