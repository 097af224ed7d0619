"""Agent loop workers that start beside verl's other parts.

verl starts them last, when the rollout servers are up, because each is made with a client of these servers. It
needs that client for its first request only, so here it is made without one and gets it later. (verl 0.9.1)
"""

import ray
from omegaconf import DictConfig, open_dict
from verl.trainer.ppo.utils import need_teacher_policy
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ, AgentLoopWorkerTQ
from verl.workers.rollout.llm_server import LLMServerClient

from sinternal_verl.runs.start import say_when_up
from sinternal_verl.training.spread import start_spread

NAME = "sinternal_agent_loop_worker_{}"
START_TIMEOUT_S = 900.0
"""How long to wait until all workers have started; the same as the reward workers' bound."""


class EarlyWorker(AgentLoopWorkerTQ.__ray_actor_class__):
    """verl's worker; `connect` gives it the client of the rollout servers."""

    def connect(self, client: LLMServerClient) -> None:
        if tokenizer := getattr(self.llm_client, "tokenizer", None):
            client.tokenizer = tokenizer  # verl puts it there to trace the text of each call
        self.llm_client = client


class EarlyManager(AgentLoopManagerTQ):
    """verl's manager of workers that have been started by `start_early`."""

    async def _init_agent_loop_workers(self) -> None:
        """Give the workers their client.

        Raises:
            ray.exceptions.RayError: a worker did not start; the message says why.
            TimeoutError: a worker did not start within `START_TIMEOUT_S`.
        """
        numbers = range(self.rollout_config.agent.num_workers)
        self.agent_loop_workers = [ray.get_actor(NAME.format(number)) for number in numbers]
        connected = [worker.connect.remote(self.llm_client) for worker in self.agent_loop_workers]
        ray.get(connected, timeout=START_TIMEOUT_S)


def can_start_early(config: DictConfig) -> bool:
    """Whether the manager is verl's own, and its workers ask nothing but rollout servers and reward workers."""
    custom = config.actor_rollout_ref.rollout.agent.get("agent_loop_manager_class")
    return not custom and not need_teacher_policy(config)


def start_early(config: DictConfig, reward_workers: list[ray.actor.ActorHandle]) -> list[ray.actor.ActorHandle]:
    """Start the workers, name our manager in ``config``, and return the workers for the caller to keep."""
    agent = config.actor_rollout_ref.rollout.agent
    arguments = (config, LLMServerClient(config), None, reward_workers)
    workers = start_spread(ray.remote(EarlyWorker), NAME, agent.num_workers, *arguments)
    with open_dict(agent):
        agent.agent_loop_manager_class = f"{__name__}.{EarlyManager.__name__}"
    say_when_up("agent loop", workers)
    return workers
