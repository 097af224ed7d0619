"""Seeded sampling: every request has a seed of its own, so that a run can be repeated and resumed.

verl samples without seeds, or (``full_determinism``) with one seed for all requests, which makes the
rollouts of a group identical. (verl 0.9.1)
"""

import hashlib
from typing import Any

from omegaconf import OmegaConf
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, register
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop


def request_seed(seed: int, index: Any, step: int, session: int) -> int:
    """The seed of one request, 0 to 2**31 - 1.

    >>> request_seed(1, index="7", step=3, session=0)
    1884253712
    >>> request_seed(1, index=7, step=3, session=0) == request_seed(1, index="7", step=3, session=0)
    True

    Args:
        seed: of the run.
        index: the row's ``extra_info.index``.
        step: of training.
        session: number of the response within its group.
    """
    digest = hashlib.sha256(f"{seed}/{index}/{step}/{session}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


@register("sinternal_single_turn")
class SeededSingleTurnAgentLoop(SingleTurnAgentLoop):
    """verl's single-turn loop; use: ``actor_rollout_ref.rollout.agent.default_agent_loop=sinternal_single_turn``."""

    async def run(self, sampling_params: dict[str, Any], priority: int = 0, **kwargs) -> AgentLoopOutput:
        if self.config.trainer.v1.trainer_mode != "sync":
            # An interrupted response goes on with the parameters it began with: the same seed would draw
            # its first noise again.
            return await super().run(sampling_params, priority=priority, **kwargs)
        run_seed = OmegaConf.select(self.config, "sinternal.rollout.seed", default=0)
        seed = request_seed(run_seed, kwargs["index"], kwargs["global_steps"], kwargs["session_id"])
        return await super().run({**sampling_params, "seed": seed}, priority=priority, **kwargs)
