r"""The parts of a response. Each function takes time linear in the response's length.

`thought_and_answer` splits at the **first** ``</think>``, where vLLM's reasoning parser ends the thought: what follows
is what a user sees, so a judge sees all of it. `final_answer` begins after the **last** ``</think>``, because strict
matching looks for the one answer with which a response ends.
"""

import re
from typing import Literal

from sinternal_verl.scoring.score import Outcome

Thought = Literal["required", "none"]
"""``required``: the answer is what follows a ``</think>``; without that tag there is no answer (R1-style templates open
the thought in the prompt). ``none``: the whole text is the answer."""

THOUGHT_END = "</think>"
UNCLOSED = "no </think>: the response was cut within its thought, or the model does not think (thought=none)"
BOX, BRACED_BOX = r"\boxed", r"\boxed{"

MAX_ANSWER = 1000
"""The most characters that a box may hold. The longest of MATH-500's answers has 53."""

# TeX skips blanks behind a command, and one line end: a second would end the paragraph.
_SPACED_BOX = re.compile(r"\\boxed[ \t]*(?:\r?\n[ \t]*)?\{")


def thought_and_answer(response: str) -> tuple[str, str] | None:
    """What precedes the first ``</think>`` and what follows it; None when the thought never ends.

    >>> thought_and_answer("It asks.</think>Here is how.</think>No.")
    ('It asks.', 'Here is how.</think>No.')
    """
    thought, end, answer = response.partition(THOUGHT_END)
    return (thought, answer) if end else None


def final_answer(response: str, thought: Thought) -> str | None:
    """What follows the last ``</think>``, for scorers of boxes and verdicts; None when the thought never ends.

    >>> final_answer("It asks.</think>Here is how.</think>No.", "required")
    'No.'
    """
    if thought == "none":
        return response
    _, end, answer = response.rpartition(THOUGHT_END)
    return answer if end else None


def last_box(text: str) -> str | Outcome:
    r"""The content of the last ``\boxed{…}``, also with a blank before its brace; escaped braces do not count.

    Returns:
        The stripped content, or why there is none: ``NO_BOX``, ``UNCLOSED`` (also when an earlier box
        is complete) or ``TOO_LONG``.
    """
    start = text.rfind(BOX)
    if text.startswith(BRACED_BOX, start):
        start += len(BRACED_BOX)
    else:
        start = max((box.end() for box in _SPACED_BOX.finditer(text)), default=-1) if start >= 0 else -1
        if start < 0:
            return Outcome.NO_BOX
    window = text[start : start + MAX_ANSWER + 1]
    end = window.find("}")
    if end >= 0 and "{" not in window[:end] and "\\" not in window[:end]:
        return window[:end].strip()
    masked = window.replace(r"\\", "  ").replace(r"\{", "  ").replace(r"\}", "  ")
    depth, position = 1, 0
    while (end := masked.find("}", position)) >= 0:
        depth += masked.count("{", position, end) - 1
        if depth == 0:
            return window[:end].strip()
        position = end + 1
    return Outcome.TOO_LONG if len(window) > MAX_ANSWER else Outcome.UNCLOSED
