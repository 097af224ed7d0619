r"""A reward of your own: the boxed answer's reward, but 0 for a thought of more than 2,000 characters.

    python -m verl.trainer.main_ppo +recipe=sinternal_grpo guard=none ... \
      reward.custom_reward_function.path=examples/my_reward.py

>>> compute_score("any", r"7+8=15, carry 1.</think> \boxed{85}", "85")
1.0
>>> compute_score("any", "hm. " * 1000 + r"</think> \boxed{85}", "85")
0.0
"""

from sinternal_verl.scoring.boxed_math import score_boxed

LONGEST_THOUGHT = 2000


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs) -> float:
    """verl calls this for every sample. It returns a number, or a dict with ``score`` and further numbers."""
    if len(solution_str.partition("</think>")[0]) > LONGEST_THOUGHT:
        return 0.0
    return score_boxed(solution_str, ground_truth).value
