"""A seed for each request, and prompts of models whose template is not that of their architecture."""

import asyncio
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf
from public_templates import R1_DISTILL
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from verl.experimental.agent_loop.agent_loop import DictConfigWrap
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop
from verl.utils.tokenizer.continuous_token import (
    ContinuousTokenBuilder,
    DeepSeekContinuousTokenBuilder,
    QwenContinuousTokenBuilder,
)

from sinternal_verl.training.agent_loop import SeededSingleTurnAgentLoop, request_seed

DEEPSEEK = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"]  # noqa: RUF001
CHATML = ["<|im_start|>", "<|im_end|>"]
CHATML_TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def test_every_part_makes_another_seed_and_the_same_parts_the_same():
    seeds = {
        request_seed(run, index, step, session)
        for run in range(2)
        for index in range(10)
        for step in range(10)
        for session in range(8)
    }

    assert len(seeds) == 2 * 10 * 10 * 8
    assert request_seed(1, 2, 3, 4) == request_seed(1, 2, 3, 4)


def test_parts_cannot_run_into_each_other():
    assert request_seed(1, "1", 11, 1) != request_seed(1, "11", 1, 1)


def test_vllm_takes_the_seed():
    from vllm import SamplingParams

    assert SamplingParams(seed=request_seed(1, "uuid-like", 3, 0)).seed < 2**31


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({"sinternal": {"rollout": {"seed": 1}}}, request_seed(1, 7, 2, 0)),
        ({"sinternal": {"rollout": {"seed": None}}}, None),
        ({}, request_seed(0, 7, 2, 0)),
    ],
)
def test_null_switches_seeds_off(monkeypatch, settings, sent):
    async def run(self, sampling_params, **kwargs):
        return sampling_params

    monkeypatch.setattr(SingleTurnAgentLoop, "run", run)
    loop = object.__new__(SeededSingleTurnAgentLoop)
    loop.config = OmegaConf.create({"trainer": {"v1": {"trainer_mode": "sync"}}} | settings)

    assert asyncio.run(loop.run({}, index=7, global_steps=2, session_id=0)).get("seed") == sent


def byte_tokenizer(control: list[str], template: str) -> PreTrainedTokenizerFast:
    """One token a byte, and these control tokens; the last but one ends a turn where there are several."""
    vocabulary = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(token, special=True) for token in control])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=control[0], eos_token=control[1], chat_template=template
    )


def make_loop(tokenizer, model_type) -> SeededSingleTurnAgentLoop:
    config = OmegaConf.create({"actor_rollout_ref": {"rollout": {"prompt_length": 64, "response_length": 64}}})
    return SeededSingleTurnAgentLoop(
        trainer_config=DictConfigWrap(config),
        server_manager=None,
        tokenizer=tokenizer,
        processor=None,
        dataset_cls=SimpleNamespace,
        data_config=DictConfigWrap(OmegaConf.create({})),
        hf_model_type=model_type,
    )


@pytest.mark.parametrize("model_type", ["qwen2", "qwen3", "llama"])
def test_a_distilled_model_gets_the_prompt_of_its_own_template(model_type):
    """verl's own loop fails on it with the first rollout: a Qwen without <|im_end|>."""
    tokenizer = byte_tokenizer(DEEPSEEK, R1_DISTILL)
    loop = make_loop(tokenizer, model_type)
    messages = [{"role": "user", "content": "47+38?"}]
    rendered = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)

    assert type(loop.continuous_token_builder) is DeepSeekContinuousTokenBuilder
    assert loop.continuous_token_builder.build_initial_tokens(messages) == tokenizer.encode(
        rendered, add_special_tokens=False
    )


@pytest.mark.parametrize(
    ("control", "model_type", "builder"),
    [
        (CHATML, "qwen2", QwenContinuousTokenBuilder),
        (CHATML, "qwen3", QwenContinuousTokenBuilder),
        (["<s>", "</s>"], "qwen3", ContinuousTokenBuilder),
        (["<s>", "</s>"], "minimax_m2", ContinuousTokenBuilder),
        (CHATML, "of_tomorrow", ContinuousTokenBuilder),
        (CHATML, None, ContinuousTokenBuilder),
    ],
)
def test_any_other_model_keeps_verls_own_choice_where_it_can_be_made(control, model_type, builder):
    tokenizer = byte_tokenizer(control, CHATML_TEMPLATE)

    assert type(make_loop(tokenizer, model_type).continuous_token_builder) is builder
