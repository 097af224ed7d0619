"""The reward manager: one sample in, one score out, on every path.

1. Decode the response, special tokens kept: where ``</think>`` is one, the answer would be lost.
2. Find the scorer of the sample's ``data_source`` (``sinternal.scorers``), or take the user's own
   ``reward.custom_reward_function.path``, which then scores every source.
3. Run it, never longer than ``sinternal.score_timeout_s`` (`sinternal_verl.scoring.run`).
4. Return verl's ``reward_score``, and the same numbers for every sample: ``score``, ``outcome``, ``scored``
   and what a guard says beside (`GUARD_NUMBERS`).

A scorer that fails is an outcome, never an exception: verl would drop the row, shrink the group and
say nothing. What a failure does to training is the trainer's (`sinternal_verl.training.failures`).
"""

from typing import Any

from omegaconf import OmegaConf
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import register
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from sinternal_verl.scoring.function import FunctionScorer
from sinternal_verl.scoring.registry import BoundScorer, Router, ScorerError
from sinternal_verl.scoring.run import DEFAULT_TIMEOUT_S, Scoring
from sinternal_verl.scoring.score import GUARD_NUMBERS, Sample


@register("sinternal")
class SInternalRewardManager(RewardManagerBase):
    """verl's reward manager interface over the scorers.

    Use: ``reward.reward_manager.source=importlib``, ``.name=SInternalRewardManager``,
    ``.module.path=pkg://sinternal_verl.training.manager``; or by name, ``reward.reward_manager.name=sinternal``.

    Raises:
        ScorerError: the scorers are not usable as configured; the checks find it before a model loads.
    """

    def __init__(
        self, config, tokenizer, compute_score, reward_router_address=None, reward_model_tokenizer=None
    ) -> None:
        super().__init__(config, tokenizer, compute_score)
        served = {"reward_router_address": reward_router_address, "reward_model_tokenizer": reward_model_tokenizer}
        router = make_router(config, compute_score, served if reward_router_address else {})
        timeout_s = OmegaConf.select(config, "sinternal.score_timeout_s", default=DEFAULT_TIMEOUT_S)
        self._scoring = Scoring(router, timeout_s)
        self._source_key = config.data.get("reward_fn_key", "data_source")
        self._ends = {tokenizer.eos_token_id, tokenizer.pad_token_id}

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Score the last sequence of ``data`` (a session of several outputs has one reward)."""
        sample = self._sample(data)
        score = await self._scoring.score(sample)
        info = {
            **GUARD_NUMBERS,
            **score.extra,
            "score": score.value,
            "outcome": float(score.outcome),
            "scored": float(score.scored),
        }
        return {"reward_score": score.value, "reward_extra_info": info}

    def _sample(self, data: DataProto) -> Sample:
        # Fields of the last row, one by one: slicing a DataProto costs more than scoring one.
        row = {name: values[-1] for name, values in data.non_tensor_batch.items()}
        responses, mask = data.batch["responses"][-1], data.batch["attention_mask"][-1]
        # verl says how long the response is; its mask is padded apart from it where a session has several.
        length = int(row["response_len"]) if "response_len" in row else int(mask[-len(responses) :].sum())
        ids = responses[:length].tolist()
        while ids and ids[-1] in self._ends:
            ids.pop()
        extra = dict(row.get("extra_info") or {})
        extra.update(row.get("tool_extra_fields") or {})
        # As verl's own managers hand them to a reward function.
        extra |= {"num_turns": row.get("__num_turns__"), "rollout_reward_scores": row.get("reward_scores", {})}
        return Sample(
            source=row.get(self._source_key),
            response=self.tokenizer.decode(ids, skip_special_tokens=False),
            ground_truth=(row.get("reward_model") or {}).get("ground_truth"),
            prompt=tuple(row.get("raw_prompt", ())),
            extra=extra,
        )


def make_router(config, compute_score, served: dict[str, Any]) -> Router:
    """The user's own reward function for every source, else ``sinternal.scorers``.

    Raises:
        ScorerError: neither is there, or a scorer is not usable as configured.
    """
    # verl always passes a compute_score, its own when the user set none: only the path tells.
    if OmegaConf.select(config, "reward.custom_reward_function.path"):
        return Router([BoundScorer("reward.custom_reward_function", ("*",), FunctionScorer(compute_score, **served))])
    scorers = OmegaConf.select(config, "sinternal.scorers")
    if not scorers:
        raise ScorerError("*", None, "no scorer is configured", "add +sinternal.scorers.boxed_math.sources=['*']")
    entries = OmegaConf.to_container(scorers, resolve=True)
    for entry in filter(None, entries.values()):
        # Of guard=verl_router the address is known only here, once verl has started its router.
        if isinstance(guard := entry.get("guard"), dict) and guard.get("backend") == "verl_router":
            guard["url"] = f"http://{served['reward_router_address']}/v1"
    return Router.from_config(entries)
