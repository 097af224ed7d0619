"""Starts the parts of a trainer side by side: a part that needs nothing of verl's starts before or beside verl's own.

1. The reward workers start first, and with them the agent loop workers. With a reward model the reward workers
   need its address, so both start after it.
2. The guard starts when the trainer has reserved all of its own GPUs and CPUs, so that it takes only what is left.
3. verl's own parts start in verl's order.

The trainer waits for guard and reward workers before its loop begins. verl itself waits for no reward worker: one that
did not start would show only as rollouts without a reward. Each part prints a line when it is up (`runs.start`).
"""

import logging
from typing import Any

import ray
from omegaconf import DictConfig, OmegaConf
from verl.experimental.agent_loop import AgentLoopManager

from sinternal_verl.guard.replica import GuardSettings, StartingGuard, guard_settings
from sinternal_verl.guard.throughput import describe
from sinternal_verl.runs.start import SayWhenLogged, say_up, say_when_up
from sinternal_verl.training.by_value import send_by_value
from sinternal_verl.training.light_handles import send_light_handles
from sinternal_verl.training.pools import reserve_when_created
from sinternal_verl.training.reward_workers import RewardWorkers

ANSWER_TIMEOUT_S = 60.0
"""How long a replica that is ready may take to say how fast it is."""

logger = logging.getLogger(__name__)

LOGGER = "verl.trainer.ppo.v1.trainer_base"
LOGGED = {"actor and ref model engine initialized": "training worker"}
"""A line that verl logs when a part is up -> the part's name. (verl 0.9.1)"""


class StartTogether:
    """Put before one of verl's v1 trainers; ``MODE`` is that trainer's own name."""

    MODE: str

    def __init__(self, config: DictConfig) -> None:
        super().__init__(config)
        self._guard_settings: GuardSettings | None = None
        self._starting_guard: StartingGuard | None = None
        self._reward_workers: RewardWorkers | None = None
        self._agent_loop_workers: list[ray.actor.ActorHandle] = []

    def _load_checkpoint(self) -> None:
        # verl loads the checkpoint when the rollout server is up.
        say_up("rollout server")
        super()._load_checkpoint()

    def _init_resource_pool_mgr(self) -> None:
        super()._init_resource_pool_mgr()
        # A mode with rollout servers of its own reserves their GPUs last, and its guard starts after them.
        if self._guard_settings and not self._starting_guard and self.MODE != "separate_async":
            pools, device = self.resource_pool_manager, self.config.trainer.device
            self.resource_pool_manager = reserve_when_created(pools, device, self._start_guard)

    def _setup(self) -> None:
        """Start verl's parts, and at the same time the guard and the workers of rewards and of agent loops."""
        # It imports verl's trainers, see `sinternal_verl.training.trainer`.
        from sinternal_verl.training.agent_workers import can_start_early, start_early

        say_up("TransferQueue")
        logging.getLogger(LOGGER).addHandler(SayWhenLogged(LOGGED))
        send_by_value()
        guard = OmegaConf.select(self.config, "sinternal.guard", default={})
        if guard.get("backend") == "ray_actor":
            self._guard_settings = guard_settings(OmegaConf.to_container(guard, resolve=True))
        reward = self.config.reward
        streamed = not reward.reward_model.enable or reward.reward_model.enable_resource_pool
        # With a reward model the workers need its address, which is known only once verl has started it.
        early = None if reward.reward_model.enable else self._start_reward_workers(self.config)
        if early and can_start_early(self.config):
            self._agent_loop_workers = start_early(self.config, early.actors)
        if self.config.actor_rollout_ref.rollout.name == "vllm":
            send_light_handles()
        workers = reward.num_workers
        if streamed:
            reward.num_workers = 0  # so that verl starts none of its own
        super()._setup()
        reward.num_workers = workers
        if self._guard_settings and not self._starting_guard:
            self._start_guard()
        if streamed:
            manager = self.reward_loop_manager
            self._reward_workers = early or self._start_reward_workers(self.config, manager.reward_router_address)
            self._reward_workers.serve(manager)

    def _start_guard(self) -> None:
        self._starting_guard = StartingGuard(self._guard_settings, say_up)

    def _say_how_fast(self, replicas: list[ray.actor.ActorHandle]) -> None:
        """Print what the guard does, and how many replicas the rollouts of a step need."""
        rollouts = self.config.data.train_batch_size * self.config.actor_rollout_ref.rollout.n
        calls = [replica.verdicts_per_second.remote() for replica in replicas]
        try:
            per_second = ray.get(calls, timeout=ANSWER_TIMEOUT_S)
        except ray.exceptions.RayError as error:  # one that died since it was ready, and that Ray starts again
            logger.warning("the guard's replicas do not say how fast they are: %s", error)
            return
        if all(per_second):  # None of one that was started again
            print(describe(per_second, rollouts), flush=True)

    def _start_reward_workers(self, *arguments: Any) -> RewardWorkers:
        workers = RewardWorkers(*arguments)
        say_when_up("reward workers", workers.actors)
        return workers

    def fit(self, agent_loop_manager: AgentLoopManager) -> None:
        """Run verl's loop once guard and reward workers are up.

        Raises:
            GuardUnavailable: see `sinternal_verl.guard.replica.start_guard`.
            ray.exceptions.RayError, TimeoutError: see `RewardWorkers.wait`.
        """
        workers = getattr(agent_loop_manager, "agent_loop_workers", None)
        if workers and not self._agent_loop_workers:
            say_when_up("agent loop", workers)
        if self._starting_guard:
            self._guard = self._starting_guard.wait()
            self._say_how_fast(self._guard)
        if self._reward_workers:
            self._reward_workers.wait()
        super().fit(agent_loop_manager)
