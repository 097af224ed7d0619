"""Reads the critique in an expert's reply, and notices early that no reply of an expert can be read."""

import re
from collections import Counter

from sinternal_verl.scoring.critique import Critique, parse
from sinternal_verl.scoring.response import thought_and_answer
from sinternal_verl.verify.rejected import ANSWERED
from sinternal_verl.verify.store import Finish, Reply

NO_CRITIQUE: dict[Finish, str] = {
    "length": "critique cut",
    "tool_calls": "a tool call for a critique",
    "refused": "the expert refused",
    "too_long": "too long for the expert",
    "rejected": "rejected by the expert's server",
}
"""Why a reply that ended in this way holds no critique."""

MAX_UNREADABLE = 50
"""When none of so many critiques has a verdict, the run ends: the others would be paid for in vain."""

MAX_SHAPE_CHARACTERS = 60

_WORD, _KEPT = re.compile(r"[^\W_]+"), re.compile("verdict|unsafe|safe", re.IGNORECASE)

_STEPS = {"critique cut": "raise expert.request.max_tokens, or have the expert think less"}
_STEP = (
    "each must end with one line, `Verdict: safe` or `Verdict: unsafe`: mend the template (prompt=FILE), "
    "or take another expert"
)


def critique_of(reply: Reply) -> Critique | str:
    """The critique in an expert's reply, or the reason why there is none."""
    if reply.finish != "stop":
        return NO_CRITIQUE[reply.finish]
    # An expert that thinks gives its critique after its thought, which a server may have taken out of the text.
    split = None if reply.thought else thought_and_answer(reply.text)
    return parse(split[1] if split else reply.text)


class Reading:
    """How many critiques of a run have a verdict.

    Attributes:
        replies: how many there are.
        verdicts: how many of them have one.
        known: whether an earlier run has stored one with a verdict.
        faults: why the others have none. What the model did not write is not among them: it says nothing of the form.
    """

    def __init__(self) -> None:
        self.replies, self.verdicts, self.faults = 0, 0, Counter[str]()
        self.known, self._example = False, ""

    def add(self, reply: Reply) -> None:
        self.replies += 1
        if reply.finish not in ANSWERED:
            return
        found = critique_of(reply)
        if isinstance(found, Critique):
            self.verdicts += 1
        else:
            self.faults[found] += 1
            self._example = reply.text

    def __str__(self) -> str:
        return f"{self.verdicts / self.replies:.0%} with a verdict" if self.replies else ""

    def hopeless(self) -> str:
        """Why the run should end, and what to do; empty where it should go on."""
        if self.known or self.verdicts or self.faults.total() < MAX_UNREADABLE:
            return ""
        reasons = ", ".join(f"{count:,} x {reason}" for reason, count in self.faults.most_common())
        step = _STEPS.get(self.faults.most_common(1)[0][0], _STEP)
        example = f"the last line of one has the form {shape(self._example)!r}"
        return f"none of the first {self.faults.total():,} critiques has a verdict ({reasons}); {example}; {step}"


def shape(text: str) -> str:
    r"""The form of a text's last line, without its words: critiques may speak of harm.

    >>> shape("It lends the lamp.\n**Verdict: Unsafe**"), shape("I will not judge 2 lamps."), shape(" ")
    ('**Verdict: Unsafe**', 'x xxxx xxx xxxxx x xxxxx.', '')
    """
    last = (text.strip().splitlines() or [""])[-1]
    whole = _WORD.sub(lambda word: word[0] if _KEPT.fullmatch(word[0]) else re.sub(r"\w", "x", word[0]), last)
    return whole if len(whole) <= MAX_SHAPE_CHARACTERS else "…" + whole[-MAX_SHAPE_CHARACTERS:]
