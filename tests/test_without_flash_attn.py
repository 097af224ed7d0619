"""What a run does with and without flash-attn, composed as verl's mains would; only its presence is made up."""

import pytest

from sinternal_verl import attention
from sinternal_verl.config import compose_config

GRPO, SFT = "actor_rollout_ref.actor.ppo_max_token_len_per_gpu", "data.max_token_len_per_gpu"


@pytest.fixture(params=[True, False], ids=["with", "without"])
def flash_attn(request, monkeypatch) -> bool:
    monkeypatch.setattr(attention, "has_flash_attn", lambda: request.param)
    return request.param


@pytest.mark.parametrize(
    ("words", "longest_row", "configured"),
    [
        (["hardware=8gpu_7b"], 10240, 20480),
        (["hardware=8gpu_14b"], 10240, 12288),
        (["hardware=1gpu_7b", "guard=none"], 10240, 32768),
        (["hardware=1gpu_7b", "guard=none", "data.max_response_length=20000"], 22048, 32768),
    ],
)
def test_grpo_packs_and_takes_half_the_tokens_without_flash_attn(flash_attn, words, longest_row, configured):
    config = compose_config(["+recipe=sinternal_grpo", *words])
    model, actor = config.actor_rollout_ref.model, config.actor_rollout_ref.actor

    assert model.override_config.attn_implementation == ("flash_attention_2" if flash_attn else "sdpa")
    assert model.use_remove_padding and model.use_fused_kernels is not flash_attn
    assert actor.ppo_max_token_len_per_gpu == (configured if flash_attn else max(configured // 2, longest_row))


def test_sft_packs_and_takes_half_the_tokens_without_flash_attn(flash_attn):
    config = compose_config(["+recipe=sinternal_sft"])

    assert config.model.override_config.attn_implementation == ("flash_attention_2" if flash_attn else "sdpa")
    assert config.model.use_remove_padding and config.model.use_fused_kernels is not flash_attn
    assert config.data.max_token_len_per_gpu == (16384 if flash_attn else 8192)


@pytest.mark.parametrize(
    ("recipe", "key", "attention_key"),
    [
        ("sinternal_grpo", GRPO, "actor_rollout_ref.model.override_config.attn_implementation"),
        ("sinternal_sft", SFT, "model.override_config.attn_implementation"),
    ],
)
def test_what_the_user_says_stays(flash_attn, recipe, key, attention_key):
    from omegaconf import OmegaConf

    config = compose_config([f"+recipe={recipe}", f"{key}=12345", f"{attention_key}=eager"])

    assert (OmegaConf.select(config, key), OmegaConf.select(config, attention_key)) == (12345, "eager")


@pytest.mark.parametrize(("installed", "there"), [({"flash-attn"}, True), ({"flash-attn-4"}, False), (set(), False)])
def test_the_distribution_is_asked_for(monkeypatch, installed, there):
    """flash-attn-4 has a package of the same name."""

    def version(name: str) -> str:
        if name not in installed:
            raise attention.metadata.PackageNotFoundError(name)
        return "2.8.3"

    monkeypatch.setattr(attention.metadata, "version", version)
    assert attention.has_flash_attn() is there
