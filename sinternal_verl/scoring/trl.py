r"""The scorers as one reward function of TRL's trainers.

>>> reward = TRLReward({"boxed_math": {"sources": ["*"]}})
>>> columns = {"data_source": ["math"], "reward_model": [{"ground_truth": "85"}]}
>>> reward(["47+38?"], [r"7+8=15, carry 1.</think> \boxed{85}"], **columns)
[1.0]
"""

import asyncio
import atexit
from collections.abc import Mapping, Sequence
from threading import Thread
from typing import Any

from sinternal_verl.scoring.registry import Router
from sinternal_verl.scoring.response import THOUGHT_END
from sinternal_verl.scoring.run import DEFAULT_TIMEOUT_S, Scoring
from sinternal_verl.scoring.score import Sample

CLOSE_TIMEOUT_S = 5.0

Text = str | Sequence[Mapping[str, Any]]
"""A string, or messages."""


class TRLReward:
    """A callable for ``reward_funcs`` over datasets in our RL schema.

    Args:
        scorers: as ``sinternal.scorers`` of the configuration.
        timeout_s: the time limit for one sample.

    Raises:
        ScorerError: one of the scorers cannot be used as it is configured.
    """

    __name__ = "sinternal"  # TRL names its curves by it

    def __init__(self, scorers: Mapping[str, Mapping[str, Any]], timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._scoring = Scoring(Router.from_config(scorers), timeout_s)
        # An event loop of its own: connections outlive a call, and the caller may run a loop already.
        self._loop = asyncio.new_event_loop()
        Thread(target=self._loop.run_forever, daemon=True, name="sinternal-reward").start()
        atexit.register(self._close)

    def __call__(
        self,
        prompts: Sequence[Text],
        completions: Sequence[Text],
        data_source: Sequence[str],
        reward_model: Sequence[Mapping[str, Any]],
        extra_info: Sequence[Mapping[str, Any]] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """A reward for each completion; None where there is no verdict. TRL (1.16) gives those no advantage."""
        known = zip(prompts, completions, data_source, reward_model, extra_info or [{}] * len(prompts), strict=True)
        samples = [
            Sample(source, text_of(completion), truth.get("ground_truth"), messages_of(prompt), extra or {})
            for prompt, completion, source, truth, extra in known
        ]
        scores = asyncio.run_coroutine_threadsafe(self._score(samples), self._loop).result()
        return [score.value if score.scored else None for score in scores]

    def _close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._scoring.close(), self._loop).result(CLOSE_TIMEOUT_S)

    async def _score(self, samples: list[Sample]) -> list:
        return await asyncio.gather(*map(self._scoring.score, samples))


def text_of(completion: Text) -> str:
    """What the assistant wrote, with its thought where TRL has parsed that into a field of its own.

    >>> text_of([{"role": "assistant", "content": "Yes."}])
    'Yes.'
    >>> text_of([{"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}])
    'Hm.</think>Yes.'
    """
    if isinstance(completion, str):
        return completion
    said, thought = str(completion[-1]["content"]), completion[-1].get("reasoning_content")
    return f"{thought}{THOUGHT_END}{said}" if thought else said


def messages_of(prompt: Text) -> tuple[Mapping[str, Any], ...]:
    """The prompt as messages; a string becomes one message of the user."""
    return ({"role": "user", "content": prompt},) if isinstance(prompt, str) else tuple(prompt)
