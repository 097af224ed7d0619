"""The reward manager: it returns exactly one score for every sample.

1. Decode the response and keep special tokens: for some models ``</think>`` is one, and without it the
   answer could not be found.
2. Find the scorer of the sample's ``data_source`` (``sinternal.scorers``), or take the user's own
   ``reward.custom_reward_function.path``, which then scores every source.
3. Run it for at most ``sinternal.score_timeout_s`` (`sinternal_verl.scoring.run`).
4. Return verl's ``reward_score``, and beside it what `sinternal_verl.training.wire` lets through.

A scorer that fails becomes an outcome, never an exception: at an exception verl would drop the row and
shrink the group without a message. The trainer decides what a failure does to training
(`sinternal_verl.training.failures`).
"""

from typing import Any

from omegaconf import OmegaConf
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import register
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from sinternal_verl.end_tokens import end_tokens
from sinternal_verl.scoring.function import FunctionScorer
from sinternal_verl.scoring.registry import BoundScorer, Router, ScorerError
from sinternal_verl.scoring.run import DEFAULT_TIMEOUT_S, Scoring
from sinternal_verl.scoring.score import Sample
from sinternal_verl.training.live_scores import LiveScores
from sinternal_verl.training.wire import VALIDATION, to_wire


@register("sinternal")
class SInternalRewardManager(RewardManagerBase):
    """Offers our scorers through verl's reward manager interface.

    Use: ``reward.reward_manager.source=importlib``, ``.name=SInternalRewardManager``,
    ``.module.path=pkg://sinternal_verl.training.manager``; or by name, ``reward.reward_manager.name=sinternal``.

    Raises:
        ScorerError: a scorer is not usable as configured. The doctor's checks find this before a model loads.
    """

    def __init__(
        self, config, tokenizer, compute_score, reward_router_address=None, reward_model_tokenizer=None
    ) -> None:
        super().__init__(config, tokenizer, compute_score)
        served = {"reward_router_address": reward_router_address, "reward_model_tokenizer": reward_model_tokenizer}
        router = make_router(config, compute_score, served if reward_router_address else {})
        timeout_s = OmegaConf.select(config, "sinternal.score_timeout_s", default=DEFAULT_TIMEOUT_S)
        self._scoring = Scoring(router, timeout_s)
        self._scoring.start()
        self._live = LiveScores()
        self._source_key = config.data.get("reward_fn_key", "data_source")
        self._ends = end_tokens(OmegaConf.select(config, "actor_rollout_ref.model.path"), tokenizer)
        folders = {False: "trainer.rollout_data_dir", True: "trainer.validation_data_dir"}
        self._dumped = {validation: bool(OmegaConf.select(config, key)) for validation, key in folders.items()}

    async def ready(self) -> None:
        """Wait until the scorers have what they need; see `Scoring.ready`."""
        await self._scoring.ready()

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Score the last sequence of ``data``: a session of several outputs has one reward."""
        # The last row's fields are read one by one: slicing a DataProto costs more than scoring a sample.
        row = {name: values[-1] for name, values in data.non_tensor_batch.items()}
        ids = _response(data, row)
        sample = self._sample(row, ids)
        with self._live.sample(sample.source):
            score = await self._scoring.score(sample)
        self._live.scored(sample.source, score)
        validation = bool(row.get(VALIDATION, False))
        wire = to_wire(score, sample, len(ids), validation=validation, dumped=self._dumped[validation])
        return {"reward_score": wire["score"], "reward_extra_info": wire}

    def _sample(self, row: dict[str, Any], ids: list[int]) -> Sample:
        ids = ids.copy()
        while ids and ids[-1] in self._ends:
            ids.pop()
        extra = dict(row.get("extra_info") or {})
        extra.update(row.get("tool_extra_fields") or {})
        # verl's own managers hand these two to a reward function, too.
        extra |= {"num_turns": row.get("__num_turns__"), "rollout_reward_scores": row.get("reward_scores", {})}
        return Sample(
            source=row.get(self._source_key),
            response=self.tokenizer.decode(ids, skip_special_tokens=False),
            ground_truth=(row.get("reward_model") or {}).get("ground_truth"),
            prompt=tuple(row.get("raw_prompt", ())),
            extra=extra,
        )


def _response(data: DataProto, row: dict[str, Any]) -> list[int]:
    """The last sequence's tokens, without padding."""
    responses, mask = data.batch["responses"][-1], data.batch["attention_mask"][-1]
    # verl gives the response's length where it can: with several outputs the mask is padded differently.
    length = int(row["response_len"]) if "response_len" in row else int(mask[-len(responses) :].sum())
    return responses[:length].tolist()


def make_router(config, compute_score, served: dict[str, Any]) -> Router:
    """The user's own reward function for every source, if there is one, else ``sinternal.scorers``.

    Args:
        served: address and tokenizer of verl's reward model, as arguments of the user's function; empty
            where verl starts none.

    Raises:
        ScorerError: neither is configured, or a scorer is not usable as configured.
    """
    # verl passes its own compute_score when the user set none, so only the path tells which it is.
    if OmegaConf.select(config, "reward.custom_reward_function.path"):
        return Router([BoundScorer("reward.custom_reward_function", ("*",), FunctionScorer(compute_score, **served))])
    scorers = OmegaConf.select(config, "sinternal.scorers")
    if not scorers:
        raise ScorerError("*", None, "no scorer is configured", "add +sinternal.scorers.boxed_math.sources=['*']")
    entries = OmegaConf.to_container(scorers, resolve=True)
    for entry in filter(None, entries.values()):
        # With guard=verl_router the address is known only here, because verl has started its router by now.
        if isinstance(guard := entry.get("guard"), dict) and guard.get("backend") == "verl_router":
            guard["url"] = f"http://{served['reward_router_address']}/v1"
    return Router.from_config(entries)
