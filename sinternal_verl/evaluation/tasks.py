"""The safety sets as tasks of Inspect.

    inspect eval sinternal_verl/strongreject --model vllm/MODEL --model-role judge=vllm/meta-llama/Llama-Guard-3-8B

Their parameters (``-T name=value``):

``source``          a file; without it the hub's pinned revision
``judge``           a name of `sinternal_verl.evaluation.judges.JUDGES`; its model plays the role ``judge``
``judge_settings``  the judge's own settings, as JSON
``judged``          answer, thought or both: what the judge reads
``thought``         required: an answer follows ``</think>``; none: the model does not think

and those of `sinternal_verl.evaluation.decoding.Decoding`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from inspect_ai import Task, task

from sinternal_verl.evaluation.asking import ask_model
from sinternal_verl.evaluation.decoding import GREEDY
from sinternal_verl.evaluation.figures import UNSAFE_COMPLIANCE, Figure, figure_of
from sinternal_verl.evaluation.judge import Value
from sinternal_verl.evaluation.making import check, choose, make_task
from sinternal_verl.evaluation.opened import JUDGE_ROLE
from sinternal_verl.evaluation.scorers import JUDGED_SCORERS
from sinternal_verl.scoring.response import Thought
from sinternal_verl.scoring.safety import Judged

Label = Literal["harmful", "benign"]

ASR_JUDGE, REFUSAL_JUDGE, XSTEST_JUDGE = "llama_guard", "wildguard", "xstest"
"""[sister] Who judges attacks, refusals of benign requests, and XSTest."""


@dataclass(frozen=True)
class Judging:
    """The parameters that all these tasks share; see the module."""

    source: str | None
    judge: str
    judged: Judged
    thought: Thought
    judge_settings: dict[str, Any] | None
    decoding: Mapping[str, Any] = field(default_factory=dict)


def safety_task(
    set_name: str, label: Label, tag: str, judging: Judging, figure: Figure | None = None, **options: Any
) -> Task:
    """A task of a set.

    Args:
        label: of the set's requests.
        tag: who has the figure.
        figure: instead of the one that is usual for such requests.
        options: of `sinternal_verl.evaluation.sets.load`.

    Raises:
        PrerequisiteError: a parameter is wrong, or the set cannot be loaded; the message says what to do.
    """
    decoding = GREEDY.changed(set_name, judging.decoding)
    value, usual = check(figure_of, judging.judge, label)
    choose(set_name, judged=judging.judged, thought=judging.thought)
    chosen = {"judge": judging.judge, "judged": judging.judged, "thought": judging.thought}
    scorer = JUDGED_SCORERS[usual.scorer](**chosen, settings=judging.judge_settings)
    solver = ask_model(judging.thought, decoding.epochs, [(judging.judge, JUDGE_ROLE, judging.judge_settings)])
    figures = (figure if figure and figure.scorer == usual.scorer else usual).origin(tag)
    return make_task(set_name, judging.source, options, decoding, solver, scorer, figures, chosen)
