"""The safety reward as a plain verl reward function, for verl's stock managers and a guard behind an endpoint.

    reward.custom_reward_function.path=pkg://sinternal_verl.reward_fns.safety
    '+reward.custom_reward_function.reward_kwargs.guard={
        backend: openai_endpoint, url: "http://host:port/v1", engine: {model: Qwen/Qwen3Guard-Gen-8B}}'

or, with a recipe of ours and ``guard=openai_endpoint``, ``…reward_kwargs.guard=${sinternal.guard}``.

Stock managers hand over no prompt, so the rows need it as ``extra_info.question``. All RL files that
`sinternal-verl data` writes have it.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sinternal_verl.guard.verdict import Strictness
from sinternal_verl.scoring.function import NoVerdict, to_fields
from sinternal_verl.scoring.response import Thought
from sinternal_verl.scoring.safety import Judged, SafetyScorer
from sinternal_verl.scoring.score import Sample


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    guard: Mapping[str, Any] | None = None,
    judged: Judged = "answer",
    strictness: Strictness = "strict",
    thought: Thought = "required",
    **kwargs,
) -> dict[str, float]:
    """Score one response, 0 or 1 (paper); ``ground_truth`` is ``harmful`` or ``benign``.

    Args:
        guard: as ``sinternal.guard`` of the configuration: ``backend``, ``url`` and ``engine.model``, and
            ``mode``, ``served_as`` and ``request_timeout_s`` where they differ from the defaults.
        judged, strictness, thought: see `sinternal_verl.scoring.safety.SafetyScorer`.

    Raises:
        NoVerdict: the guard did not give exactly one verdict, or the row's label is neither of the two.
        TimeoutError, GuardUnavailable: the guard gave no answer.
        ValueError: no guard is given, or the row has no question.
    """
    question = (extra_info or {}).get("question")
    if not question:
        raise ValueError(f"a row of {data_source} has no extra_info.question, which the guard is to see")
    prompt = ({"role": "user", "content": str(question)},)
    node = OmegaConf.to_container(guard, resolve=True) if isinstance(guard, DictConfig) else guard
    scorer = _scorer(json.dumps(node), judged, strictness, thought)
    score = await scorer(Sample(data_source, solution_str, ground_truth, prompt))
    if not score.scored:
        raise NoVerdict(f"{data_source}: {score.outcome.name.lower()}: {score.reason}")
    return to_fields(score)


@cache
def _scorer(guard: str, judged: Judged, strictness: Strictness, thought: Thought) -> SafetyScorer:
    """The scorer of these settings, made once in a process: it keeps the guard's tokenizer and connections."""
    return SafetyScorer(json.loads(guard), judged, strictness, thought)
