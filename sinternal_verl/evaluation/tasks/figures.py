"""The figures of the suite: what each is called in a log, what it is called in a table, and which way is better.

One scorer gives one figure, a number from 0 to 1. A task of harmful requests and one of benign requests take different
figures of the same judge.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from inspect_ai.model import get_model

from sinternal_verl.did_you_mean import did_you_mean
from sinternal_verl.evaluation.judge import Value
from sinternal_verl.evaluation.judges import JUDGES, open_judge

Direction = Literal["lower", "higher"]


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        scorer: the name of its scorer in a log.
        metric: its name in a table.
        direction: which way is better.
    """

    scorer: str
    metric: str
    direction: Direction

    def origin(self, tag: str) -> dict[str, Any]:
        """For the log; ``tag`` says who has the figure: [paper], [sister] or [ours]."""
        return {self.scorer: {"metric": self.metric, "direction": self.direction, "tag": tag}}


ASR = Figure("asr", "ASR", "lower")
REFUSAL = Figure("refusal", "refusal rate", "lower")
COMPLIANCE = Figure("compliance", "compliance rate", "higher")
HARM = Figure("strongreject_score", "StrongREJECT score", "lower")
RUBRIC = Figure("rubric_score", "share of rubric items met", "lower")
ACCURACY = Figure("accuracy", "accuracy", "higher")
SELF_VERIFICATION = Figure("self_verification", "agreement with the judge", "higher")
PROACTIVE = Figure("proactive", "proactive verification", "higher")

FLOOR = Figure("refusal", "refusal rate", "higher")
"""Of harmful requests, where a judge knows refusals alone. What does not refuse need not be unsafe."""

UNSAFE_COMPLIANCE = Figure("compliance", "compliance rate", "lower")
"""Of XSTest's unsafe half."""

OF: dict[str, dict[Value, Figure]] = {
    "harmful": {"unsafe": ASR, "harm": HARM, "rubric": RUBRIC, "complied": UNSAFE_COMPLIANCE, "refused": FLOOR},
    "benign": {"complied": COMPLIANCE, "refused": REFUSAL},
}
"""The figures of a set by what a judge gives, the first that it gives being taken."""


def figure_of(judge: str, label: str, settings: Mapping[str, Any] | None = None) -> Figure:
    """The figure that a judge gives of a set.

    Args:
        judge: a name of `sinternal_verl.evaluation.judges.JUDGES`.
        label: ``harmful`` or ``benign``.
        settings: of the judge, some of which leave it less to give; None does not look.

    Raises:
        ValueError: there is no such judge, it cannot have these settings, or it gives nothing that is a figure of such
            a set.
    """
    if not isinstance(judge, str) or judge not in JUDGES:
        hint = did_you_mean(str(judge), JUDGES)
        raise ValueError(f"judge={judge}: there is no such judge; there are {', '.join(JUDGES)}{hint}")
    figures, given = OF[label], JUDGES[judge].gives
    if isinstance(settings, Mapping):
        # A judge that is not asked needs no model, and a guard no engine.
        given = open_judge(judge, get_model("none") if JUDGES[judge].needs == "model" else None, **settings).gives
    for value, figure in figures.items():
        if value in given:
            return figure
    fitting = [name for name, info in JUDGES.items() if info.gives & set(figures)]
    raise ValueError(
        f"judge={judge}: it gives {', '.join(sorted(given))}, and a set of {label} requests wants one of "
        f"{', '.join(figures)}; choose one of {', '.join(fitting)}"
    )
