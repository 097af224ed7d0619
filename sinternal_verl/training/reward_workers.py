"""Reward workers that Ray restarts. verl never restarts a dead one. Agent loops pick a worker at random, so
its share of every later step would be lost. (verl 0.9.1)

A restarted worker keeps its handle, so the agent loops notice nothing. Ray repeats the calls that the worker
had when it died.
"""

import asyncio
import logging

import ray
from omegaconf import DictConfig, OmegaConf
from verl import DataProto
from verl.experimental.reward_loop import RewardLoopManager, RewardLoopWorker

from sinternal_verl.guard.errors import GuardUnavailable
from sinternal_verl.scoring.run import DEFAULT_TIMEOUT_S
from sinternal_verl.training.frozen import end_when_frozen
from sinternal_verl.training.spread import start_spread

logger = logging.getLogger(__name__)

NAME = "sinternal_reward_worker_{}"
MAX_RESTARTS = 100
"""How often one worker is restarted in a run; at the next death the watchdog ends the run."""

START_TIMEOUT_S = 900.0
"""How long to wait until all workers have started; the same as the guard's default."""

MAX_RETRIES = 3
"""How often a sample is tried again when its worker died; a sample that kills its worker each time is lost,
and counted as missing."""


class RestartingRewardWorker(RewardLoopWorker):
    """verl's reward worker; it logs when it replaces one that died."""

    def __init__(self, config: DictConfig, reward_router_address: str | None = None) -> None:
        super().__init__(config, reward_router_address)
        self._limit_s = OmegaConf.select(config, "sinternal.score_timeout_s", default=DEFAULT_TIMEOUT_S)
        self._heartbeat: asyncio.Task | None = None
        if ray.get_runtime_context().was_current_actor_reconstructed:
            logger.error("this reward worker replaces one that died; its samples are scored again")

    async def ready(self) -> None:
        """Wait until the manager can score; a user's own manager has no such method and is ready.

        Raises:
            GuardUnavailable: see `sinternal_verl.scoring.run.Scoring.ready`.
        """
        if ready := getattr(self.reward_manager, "ready", None):
            await ready()

    async def compute_score(self, data: DataProto) -> dict:
        """As verl's, except with ``guard=verl_router``: there verl would take the guard for a classifier and
        ask it without the manager, so this asks the manager."""
        # The event loop of an actor runs by now; in its constructor it may not.
        self._heartbeat = self._heartbeat or asyncio.create_task(end_when_frozen(self._limit_s))
        if OmegaConf.select(self.config, "sinternal.guard.backend") == "verl_router":
            return await self.reward_manager.run_single(data)
        return await super().compute_score(data)


class RewardWorkers:
    """The ``reward.num_workers`` workers of a configuration, spread over the nodes as verl spreads its own. They
    start when this is made."""

    def __init__(self, config: DictConfig, reward_router_address: str | None = None) -> None:
        worker = ray.remote(max_restarts=MAX_RESTARTS, max_task_retries=MAX_RETRIES)(RestartingRewardWorker)
        # Kept as long as the workers: Ray drops a large argument once the actor runs, and then could not restart it.
        self._given, self._config = config, ray.put(config)
        self.actors = start_spread(worker, NAME, config.reward.num_workers, self._config, reward_router_address)

    def wait(self) -> None:
        """Wait until all workers have started and can score.

        Raises:
            GuardUnavailable: the guard does not judge; the message says why.
            ray.exceptions.RayError: a worker did not start; the message says why.
            TimeoutError: a worker did not start within `START_TIMEOUT_S`, or its guard within that and the guard's
                ``start_timeout_s``.
        """
        ray.get([actor.__ray_ready__.remote() for actor in self.actors], timeout=START_TIMEOUT_S)
        guard_s = OmegaConf.select(self._given, "sinternal.guard.start_timeout_s") or 0.0
        try:
            ray.get([actor.ready.remote() for actor in self.actors], timeout=START_TIMEOUT_S + guard_s)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, GuardUnavailable):
                raise error.cause from None  # without the lines of the worker's traceback
            raise

    def serve(self, manager: RewardLoopManager) -> None:
        """Become the workers of a manager that has none."""
        manager.reward_loop_workers, manager.kept = self.actors, self
