r"""MATH-500 and AIME 2024 as tasks of Inspect, scored by strict boxed-answer matching, as a run's reward is.

The sister's prompts are the bare problems, so whether a model boxes its answer is left to it [sister].
``-T instruction=boxed`` adds DeepSeek-R1's sentence, which asks for a box [ours].
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from inspect_ai import Task, task
from inspect_ai._util.error import PrerequisiteError

from sinternal_verl.evaluation.tasks.asking import ask_model
from sinternal_verl.evaluation.tasks.decoding import AIME, GREEDY, Decoding
from sinternal_verl.evaluation.tasks.figures import ACCURACY
from sinternal_verl.evaluation.tasks.making import choose, make_task, read_set, together
from sinternal_verl.evaluation.tasks.scorers import accuracy
from sinternal_verl.scoring.boxed_math import Mode
from sinternal_verl.scoring.response import Thought


@task
def math500(
    source: str | None = None,
    mode: Mode = "normalized",
    thought: Thought = "required",
    instruction: str | None = None,
    **decoding: Any,
) -> Task:
    """MATH-500: pass@1, higher is better. [paper]

    Args:
        mode: how answers are compared, see `sinternal_verl.scoring.boxed_math`.
        instruction: none [sister] or boxed [ours].
    """
    return _math_task("math500", source, mode, thought, instruction, lambda: GREEDY.changed("math500", decoding), 1)


@task
def aime2024(
    source: str | None = None,
    mode: Mode = "normalized",
    thought: Thought = "required",
    instruction: str | None = None,
    k: int = 16,
    **decoding: Any,
) -> Task:
    """AIME 2024: pass@16 of 16 samples, higher is better. [paper]

    Args:
        k: of pass@k, estimated without bias from ``epochs`` samples: 1 - C(n-c, k) / C(n, k).
        mode, instruction: as of `math500`.

    Raises:
        PrerequisiteError: k is above the epochs, where pass@k is not defined.
    """
    return _math_task("aime2024", source, mode, thought, instruction, lambda: _with_k(decoding, k), k)


def _with_k(given: Mapping[str, Any], k: int) -> Decoding:
    decoding = AIME.changed("aime2024", given)
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise PrerequisiteError(f"aime2024: k={k}: give a whole number above 0")
    if k > decoding.epochs:
        raise PrerequisiteError(
            f"aime2024: k={k} with epochs={decoding.epochs}: pass@k of fewer than k samples is not defined; give "
            f"epochs={k} or more, or a smaller k"
        )
    return replace(decoding, epochs=int(decoding.epochs))


def _math_task(
    name: str,
    source: str | None,
    mode: Mode,
    thought: Thought,
    instruction: str | None,
    decode: Callable[[], Decoding],
    k: int,
) -> Task:
    decoding, _ = together(decode, lambda: choose(name, source=source, mode=mode, thought=thought))
    if mode == "symbolic":
        from sinternal_verl.scoring.symbolic import require_math_verify

        try:
            require_math_verify()
        except ImportError as error:
            raise PrerequisiteError(str(error)) from error
    loaded = read_set(name, source, {"instruction": instruction})
    several = decoding.epochs > 1
    figure = replace(ACCURACY, metric=f"pass@{k}")
    return make_task(
        loaded,
        decoding,
        ask_model(thought, decoding.epochs),
        accuracy(mode, thought),
        figure.origin("[paper]"),
        {"mode": mode, "thought": thought, "judged": "answer", "k": k},
        ["mean", f"pass_at_{k}"] if several else ["mean"],
    )
