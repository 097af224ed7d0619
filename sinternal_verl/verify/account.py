"""Accounts for every answer that an evaluation asked for: what became of it, by the label of its prompt.

An answer takes three steps, and may be lost at each: the policy writes it, the expert judges it, and the model judges
it. Whoever reads a figure must see how many answers it is about, and why the others are not in it.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from sinternal_verl.scoring.critique import Label

Step = Literal["answers", "critiques", "replies"]

Outcomes = dict[Step, dict[str, dict[str, int]]]
"""Counts by step, by the label of the prompt and by outcome: ``{"answers": {"harmful": {"whole": 3}}}``."""

WHOLE = "whole"
_TITLES: dict[Step, str] = {
    "answers": "answers asked for",
    "critiques": "the expert's critiques",
    "replies": "the model's replies",
}
_HARMS = ("harmful", "benign")


@dataclass(frozen=True, slots=True)
class Item:
    """One answer that was asked for, and two verdicts on it.

    Attributes:
        source, index: which row the prompt comes from.
        harm: the prompt's label, harmful or benign.
        sample: number of the answer among the prompt's answers.
        expert: the expert's verdict, which counts as true; None where there is none.
        model: the model's verdict; None where there is none. The model is asked where the expert has a verdict.
        reason: why the first verdict that is missing is missing; empty where both are there.
        answered: whether there is an answer.
    """

    source: str
    index: str
    harm: str
    sample: int
    expert: Label | None
    model: Label | None
    reason: str = ""
    answered: bool = True

    def outcomes(self) -> dict[Step, str]:
        """How each step ended that the answer came to."""
        if not self.answered:
            return {"answers": self.reason}
        if self.expert is None:
            return {"answers": WHOLE, "critiques": self.reason}
        return {"answers": WHOLE, "critiques": self.expert, "replies": self.model or self.reason}


class Accounting:
    """Counts of outcomes by step and by the label of the prompt.

    >>> accounting = Accounting()
    >>> accounting.add(Item("orla", "1", "harmful", 0, None, None, "the expert refused"))
    >>> accounting.add(Item("orla", "2", "benign", 0, "safe", "safe"))
    >>> accounting.count("critiques"), accounting.count("critiques", "the expert refused", "harmful")
    (2, 1)
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[Step, str, str]] = Counter()

    def add(self, item: Item) -> None:
        for step, outcome in item.outcomes().items():
            self._counts[step, outcome, item.harm] += 1

    def count(self, step: Step, outcome: str | None = None, harm: str | None = None) -> int:
        """How many answers came to a step; with ``outcome`` how many of these ended it so; with ``harm`` how many of
        these are answers to such prompts."""
        return sum(
            count
            for (at, how, label), count in self._counts.items()
            if at == step and outcome in (None, how) and harm in (None, label)
        )

    def as_dict(self) -> Outcomes:
        found: Outcomes = {step: {harm: {} for harm in _HARMS} for step in _TITLES}
        for (step, outcome, harm), count in sorted(self._counts.items()):
            found[step][harm][outcome] = count
        return found


def table(outcomes: Outcomes) -> list[str]:
    """The lines of a table: each step, and below it how it ended, by the label of the prompt.

    >>> print("\\n".join(table({"answers": {"harmful": {"whole": 3, "answer cut": 1}, "benign": {"whole": 4}}})))
                        harmful    benign     total
    answers asked for         4         4         8
      whole                   3         4         7
      answer cut              1         0         1
    """
    rows: list[tuple[str, list[int]]] = []
    for step, by_harm in outcomes.items():
        rows.append((_TITLES[step], [sum(by_harm[harm].values()) for harm in _HARMS]))
        found = sorted({outcome for counts in by_harm.values() for outcome in counts}, key=_order)
        rows += [(f"  {outcome}", [by_harm[harm].get(outcome, 0) for harm in _HARMS]) for outcome in found]
    width = max(len(name) for name, _ in rows)
    header = " " * width + "".join(f"{name:>10}" for name in (*_HARMS, "total"))
    cells = ((name, (*counts, sum(counts))) for name, counts in rows)
    return [header, *(name.ljust(width) + "".join(f"{count:>10,}" for count in counts) for name, counts in cells)]


def _order(outcome: str) -> tuple[int, str]:
    """What is as it should be comes first."""
    wanted = (WHOLE, "safe", "unsafe")
    return (wanted.index(outcome) if outcome in wanted else len(wanted), outcome)
