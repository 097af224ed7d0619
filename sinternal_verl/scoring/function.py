"""A plain verl reward function as a scorer: a user's own ``compute_score`` works unchanged.

>>> def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
...     return {"score": 0.5, "style": 1.0}
>>> score = FunctionScorer(compute_score)(Sample("any", "text"))
>>> score, score.extra
(Score(value=0.5, outcome=<Outcome.SCORED: 12>), {'style': 1.0})
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

from sinternal_verl.scoring.plain import as_float
from sinternal_verl.scoring.score import Outcome, Sample, Score


class NoVerdict(RuntimeError):
    """Nothing can be said of a response. An exception is the only way to tell verl's own managers."""


OWN_FIELDS = frozenset({"score", "outcome", "scored"})
"""Keys of a result that its `Score` has fields for; all others are its ``extra``."""


class FunctionScorer:
    """Calls ``compute_score(data_source, solution_str, ground_truth, extra_info, **settings)``.

    Args:
        compute_score: sync or async; returns a number, a dict with ``score``, or None for a sample that
            it does not score.
        settings: further keyword arguments of every call.
    """

    def __init__(self, compute_score: Callable[..., Any], **settings: Any) -> None:
        self._compute_score, self._settings = compute_score, settings
        self.is_async = inspect.iscoroutinefunction(compute_score)

    def __call__(self, sample: Sample) -> Any:
        """A score, or an awaitable of one.

        Raises:
            TypeError: the function returned neither a number, nor a dict with ``score``, nor None.
        """
        result = self._compute_score(
            data_source=sample.source,
            solution_str=sample.response,
            ground_truth=sample.ground_truth,
            # A copy as dict, because a function may write to it.
            extra_info=dict(sample.extra),
            **self._settings,
        )
        return _awaited(result) if self.is_async else to_score(result)


async def _awaited(result: Any) -> Score:
    return to_score(await result)


def to_score(result: Any) -> Score:
    """Convert what a verl reward function returned to a `Score`, with its ``outcome`` where that is one of ours.

    Raises:
        TypeError: it is neither a number, nor a dict with ``score``, nor None.
    """
    if result is None:
        return Score(0.0, Outcome.NOT_APPLICABLE)
    fields = result if isinstance(result, dict) else {"score": result}
    value = as_float(fields.get("score"))
    if value is None:
        raise TypeError(f"a reward function must return a number or a dict with 'score', not {result!r:.200}")
    if not math.isfinite(value):
        return Score(0.0, Outcome.FAILED)
    extra = {name: field for name, field in fields.items() if name not in OWN_FIELDS}
    outcome = as_float(fields.get("outcome"))
    known = outcome is not None and outcome in Outcome._value2member_map_
    return Score(value, Outcome(int(outcome)) if known else Outcome.SCORED, extra)


def to_fields(score: Score) -> dict[str, float]:
    """Convert a score to what our reward functions return: the same numeric keys for every sample, as verl's
    validation needs.

    >>> to_fields(Score(1.0, Outcome.SAFE))
    {'score': 1.0, 'acc': 1.0, 'outcome': 13.0}
    """
    return {"score": score.value, "acc": score.value, "outcome": float(score.outcome)}
