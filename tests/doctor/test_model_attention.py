"""An attention that the model's class does not take is found before the model is made."""

import pytest
from public_templates import FAMILIES
from transformers import AutoModelForCausalLM

from sinternal_verl.doctor import model_attention
from sinternal_verl.doctor.model_attention import check_model_attention

pytestmark = pytest.mark.versions


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return {name: FAMILIES[name].model(tmp_path_factory.mktemp(name)) for name in ("llama3", "gemma", "gpt_oss")}


@pytest.fixture(params=["grpo", "sft"])
def configured(request, models, grpo_config, sft_config):
    """The model's key, and a function from a family and an ``attn_implementation`` to a configuration."""
    key, make = ("actor_rollout_ref.model", grpo_config) if request.param == "grpo" else ("model", sft_config)

    def config(name, wanted):
        return make(f"{key}.path={models[name]}", f"{key}.override_config.attn_implementation={wanted}")

    return key, config


@pytest.mark.parametrize("name", ["llama3", "gemma", "gpt_oss"])
@pytest.mark.parametrize("wanted", ["sdpa", "eager"])
def test_what_transformers_refuses_is_a_problem(configured, models, name, wanted):
    key, config = configured
    found = [problem.key for problem in check_model_attention(config(name, wanted))]

    try:
        AutoModelForCausalLM.from_pretrained(models[name], attn_implementation=wanted)
    except ValueError:
        assert found == [f"{key}.override_config.attn_implementation"]
    else:
        assert found == []


def test_a_model_that_needs_a_kernel_from_the_hub_is_refused_without_it(configured, monkeypatch):
    key, config = configured
    (problem,) = check_model_attention(config("gpt_oss", "flash_attention_2"))

    assert problem.next_step.startswith(f"{key}.override_config.attn_implementation=eager")
    assert list(check_model_attention(config("llama3", "flash_attention_2"))) == []
    monkeypatch.setattr(model_attention.importlib.util, "find_spec", lambda name: name)
    assert list(check_model_attention(config("gpt_oss", "flash_attention_2"))) == []


def test_other_engines_and_unknown_models_are_left_alone(sft_config, models, tmp_path):
    named = f"model.path={models['gpt_oss']}"
    assert list(check_model_attention(sft_config(named)))
    assert list(check_model_attention(sft_config(named, "engine.strategy=megatron"))) == []
    assert list(check_model_attention(sft_config(f"model.path={tmp_path}"))) == []
