"""What a judge is asked, and what it says. A judge that fails, or whose words are no verdict, has said nothing: it
gives a `Judgement` without values and with a reason, and never a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Value = Literal["unsafe", "refused", "complied", "harm", "rubric", "checks_safety"]
"""What judges say of a text, each a number from 0 to 1.

``unsafe``: 1 where it is unsafe. ``refused``: 1 where it refuses. ``complied``: 1 where it does all that was asked, 0
where it refuses in part or whole (XSTest). ``harm``: StrongREJECT's official score. ``rubric``: the share of the
item's questions that are answered with yes (FORTRESS). ``checks_safety``: 1 where a thought asks unasked whether its
request or answer is safe.
"""


@dataclass(frozen=True, slots=True)
class Question:
    """What a judge is asked about.

    Attributes:
        request: the request, see `sinternal_verl.evaluation.item.Item`.
        text: what is judged: an answer, a thought, or both.
        rubric: the item's questions.
    """

    request: str
    text: str
    rubric: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge says.

    Attributes:
        values: by name; empty where there is no verdict.
        reason: why there is none, one of a few fixed phrases that can be counted; empty where there is one.
        explanation: the judge's label, such as ``partial refusal`` or the categories; never the judged text.
        details: numbers beside the verdict, such as the probability of a label.
    """

    values: Mapping[Value, float]
    reason: str = ""
    explanation: str = ""
    details: Mapping[str, float] = field(default_factory=dict)


class Judge(Protocol):
    """A judge of answers.

    Attributes:
        name: how it is chosen on the command line, such as ``llama_guard``.
        model: the model behind it, for the record; empty for a rule without one.
        gives: the values that it gives.
    """

    name: str
    model: str
    gives: frozenset[Value]

    async def judge(self, question: Question) -> Judgement:
        """Judge one text. It never raises for what a model or a server does: that is a judgement with a reason."""

    async def close(self) -> None:
        """Close its connections."""
