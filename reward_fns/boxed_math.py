r"""Strict boxed-answer matching as a plain verl reward function, for verl's stock managers.

>>> compute_score("any", r"7+8=15, carry 1.</think> \boxed{85}", "85")
{'score': 1.0, 'acc': 1.0, 'outcome': 1.0}
>>> compute_score("any", r"\boxed{85} is only a thought", "85")["score"]
0.0

Use: ``reward.custom_reward_function.path=pkg://sinternal_verl.reward_fns.boxed_math`` or this file's
path. Settings: for example ``+reward.custom_reward_function.reward_kwargs.mode=literal``.
"""

from sinternal_verl.scoring.boxed_math import Mode, score_boxed
from sinternal_verl.scoring.function import to_fields
from sinternal_verl.scoring.response import Thought


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: dict | None = None,
    mode: Mode = "normalized",
    thought: Thought = "required",
    **kwargs,
) -> dict[str, float]:
    """Score one response, 0 or 1 (paper).

    Returns:
        ``score`` and ``acc`` (0.0 or 1.0) and ``outcome`` (`sinternal_verl.scoring.score.Outcome` as
        a number): the same numeric keys for every sample, as verl's validation needs.
    """
    return to_fields(score_boxed(solution_str, ground_truth, mode=mode, thought=thought))
