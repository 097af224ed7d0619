"""Agent loop workers that start before the servers they ask."""

from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.versions


def test_a_worker_gets_its_client_with_the_tokenizer_that_traces_calls():
    from sinternal_verl.training.agent_workers import EarlyWorker

    worker = object.__new__(EarlyWorker)
    worker.llm_client = SimpleNamespace()
    plain, traced = SimpleNamespace(), SimpleNamespace()
    worker.connect(plain)
    assert worker.llm_client is plain and not hasattr(plain, "tokenizer")

    worker.llm_client = SimpleNamespace(tokenizer="a tokenizer")
    worker.connect(traced)
    assert worker.llm_client is traced and traced.tokenizer == "a tokenizer"


def test_a_manager_of_the_users_own_and_a_teacher_keep_verls_order(grpo_config):
    from sinternal_verl.training.agent_workers import can_start_early

    assert can_start_early(grpo_config())
    assert not can_start_early(grpo_config("actor_rollout_ref.rollout.agent.agent_loop_manager_class=my.Manager"))
    assert not can_start_early(grpo_config("distillation.enabled=true"))
