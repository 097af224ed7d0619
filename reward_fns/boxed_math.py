r"""Strict boxed-answer matching as a plain verl reward function.

The text after the last ``</think>`` is the answer; only its last ``\boxed{…}`` counts, and it must
equal the ground truth character for character. Nothing else earns reward: no box inside the thought,
no "Answer:" line, no box left open. Reward 0 or 1, as in the paper.

>>> compute_score("any", r"7+8=15, carry 1.</think> \boxed{85}", "85")["score"]
1.0
>>> compute_score("any", r"\boxed{85} is only a thought", "85")["score"]
0.0

Use: ``reward.custom_reward_function.path=pkg://sinternal_verl.reward_fns.boxed_math``.
"""

THOUGHT_END = "</think>"
BOX = r"\boxed{"


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict | None = None, **kwargs
) -> dict[str, float]:
    """Score one response.

    Returns:
        ``score`` and ``acc`` (both 0.0 or 1.0) and ``boxed`` (1.0 when a closed box was found after
        the thought), the same numeric keys for every sample, as verl's validation needs.
    """
    answer = boxed_answer(solution_str)
    correct = float(answer is not None and answer == ground_truth.strip())
    return {"score": correct, "acc": correct, "boxed": float(answer is not None)}


def boxed_answer(response: str) -> str | None:
    r"""The content of the last ``\boxed{…}`` after the last ``</think>``, or None if there is none.

    Escaped braces (``\{``, ``\}``) do not count. A last box that never closes is no answer, even
    behind a complete one. Linear in the length of ``response``.
    """
    _, closed, final = response.rpartition(THOUGHT_END)
    start = final.rfind(BOX)
    if not closed or start < 0:
        return None
    depth, position = 1, start + len(BOX)
    for index in range(position, len(final)):
        if final[index - 1] == "\\" and final[index - 2] != "\\":
            continue
        depth += {"{": 1, "}": -1}.get(final[index], 0)
        if depth == 0:
            return final[position:index].strip()
    return None
