r"""Scores safety prompts by the guard and all others by the boxed answer, as one plain verl reward function.

    reward.custom_reward_function.path=pkg://sinternal_verl.reward_fns.mixed

Settings as in `sinternal_verl.reward_fns.safety` and `sinternal_verl.reward_fns.boxed_math`.

>>> asyncio.run(compute_score("math", r"7+8=15, carry 1.</think> \boxed{85}", "85"))
{'score': 1.0, 'acc': 1.0, 'outcome': 1.0}
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from sinternal_verl.reward_fns import boxed_math, safety

from sinternal_verl.scoring.function import NoVerdict
from sinternal_verl.scoring.score import UNSCORED, Outcome


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    **kwargs,
) -> dict[str, float]:
    """Score one response, 0 or 1: by the guard where its ``data_source`` begins with ``safety/``.

    Raises:
        NoVerdict, TimeoutError, GuardUnavailable, ValueError: see `safety.compute_score`.
    """
    if data_source.startswith("safety/"):
        return await safety.compute_score(data_source, solution_str, ground_truth, extra_info, **kwargs)
    # In a thread, because Math-Verify (mode=symbolic) would block this loop and the guard's answers with it.
    ask = boxed_math.compute_score
    fields = await asyncio.to_thread(ask, data_source, solution_str, ground_truth, extra_info, **kwargs)
    if (outcome := Outcome(int(fields["outcome"]))) in UNSCORED:
        raise NoVerdict(f"{data_source}: {outcome.name.lower()}")
    return fields
