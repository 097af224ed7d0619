"""A model whose tokenizer is not of its architecture, with verl's own agent loops and with ours."""

import json

import pytest
from transformers import AutoConfig

from sinternal_verl.doctor.agent_loop import KEY, check_agent_loop
from sinternal_verl.world.guard_model import make_guard_tokenizer
from sinternal_verl.world.policy_model import make_tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A Qwen3 whose tokenizer has no <|im_end|>."""
    folder = tmp_path_factory.mktemp("model")
    make_tokenizer(["1+1=2"]).save_pretrained(folder)
    settings = folder / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    AutoConfig.for_model("qwen3").save_pretrained(folder)
    return folder


@pytest.mark.parametrize("loop", ["single_turn_agent", "tool_agent"])
def test_verls_own_loops_are_refused_before_the_first_rollout(grpo_config, model, loop):
    (problem,) = check_agent_loop(grpo_config(f"actor_rollout_ref.model.path={model}", f"{KEY}={loop}"))

    assert "<|im_end|>" in problem.reason and "sinternal_single_turn" in problem.next_step


def test_the_tokenizer_that_verl_will_load_is_judged(grpo_config, model, tmp_path):
    make_guard_tokenizer([]).save_pretrained(tmp_path / "chatml")
    words = (f"actor_rollout_ref.model.path={model}", f"{KEY}=single_turn_agent")

    assert not list(
        check_agent_loop(grpo_config(*words, f"actor_rollout_ref.model.tokenizer_path={tmp_path / 'chatml'}"))
    )


def test_our_loop_takes_the_model_and_verls_take_one_of_its_own(grpo_config, model):
    assert not list(check_agent_loop(grpo_config(f"actor_rollout_ref.model.path={model}")))
    assert not list(check_agent_loop(grpo_config(f"{KEY}=single_turn_agent")))
    assert not list(check_agent_loop(grpo_config("actor_rollout_ref.model.path=of/the-hub", f"{KEY}=tool_agent")))
