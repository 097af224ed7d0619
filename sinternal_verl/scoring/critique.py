r"""A critique and its verdict, from an expert or from the model itself, parsed by one strict rule.

The text ends with one line, ``Verdict: safe`` or ``Verdict: unsafe``; what comes before it is the
critique. Any other text has no verdict: `parse` returns the reason and never guesses.

>>> parse("It only asks for the opening hours.\n\nVerdict: safe")
Critique(text='It only asks for the opening hours.', verdict='safe')
>>> parse("Verdict: safe\nOr rather:\nVerdict: unsafe")
'several verdicts'
>>> parse("It lends the lamp.\n**Verdict: Unsafe**")
'malformed verdict'
"""

import re
from dataclasses import dataclass
from typing import Literal

Label = Literal["safe", "unsafe"]

VERDICT_LINE = "Verdict: {}"
THOUGHT_TAGS = ("<think>", "</think>")

_LOOKS_LIKE = re.compile(r"[\W_]*verdict\b[\W_]*(?::|is\b|=)", re.IGNORECASE)
"""A line that is meant as a verdict. A malformed one must be found, so that it is not taken for absent."""

_VERDICTS: dict[str, Label] = {VERDICT_LINE.format("safe"): "safe", VERDICT_LINE.format("unsafe"): "unsafe"}


@dataclass(frozen=True, slots=True)
class Critique:
    """The text before the verdict, and the verdict."""

    text: str
    verdict: Label


def parse(text: str, critique: bool = True) -> Critique | str:
    """The critique and verdict, or the reason why there is none: one of `REASONS`.

    Args:
        critique: whether there must be a critique; a model may be trained to give only the verdict.
    """
    lines = text.strip().splitlines()
    found = [number for number, line in enumerate(lines) if _LOOKS_LIKE.match(line)]
    if not found:
        return "no verdict"
    if len(found) > 1:
        return "several verdicts"
    verdict = _VERDICTS.get(lines[found[0]].strip())
    if verdict is None:
        return "malformed verdict"
    if found[0] != len(lines) - 1:
        return "text after the verdict"
    before = "\n".join(lines[:-1]).strip()
    if critique and not before:
        return "no critique"
    # The critique becomes a thought between these tags, so it must not hold them.
    if any(tag in before for tag in THOUGHT_TAGS):
        return "thought tags in the critique"
    return Critique(before, verdict)


REASONS = (
    "no verdict",
    "several verdicts",
    "malformed verdict",
    "text after the verdict",
    "no critique",
    "thought tags in the critique",
)
