"""A seed for each request, and prompts of models whose template is not that of their architecture."""

import asyncio
import pickle
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
@pytest.mark.usefixtures("verls_loop_returns_its_parameters")
def test_null_switches_seeds_off(settings, sent):
    assert sent_by(settings).get("seed") == sent


def sent_by(settings, mode="sync", engine="vllm", **sampling_params):
    """What verl's loop is given as sampling parameters."""
    loop = object.__new__(SeededSingleTurnAgentLoop)
    of_verl = {"trainer": {"v1": {"trainer_mode": mode}}, "actor_rollout_ref": {"rollout": {"name": engine}}}
    loop.config = OmegaConf.create(of_verl | settings)
    return asyncio.run(loop.run(sampling_params, index=7, global_steps=2, session_id=0))


@pytest.fixture
def verls_loop_returns_its_parameters(monkeypatch):
    async def run(self, sampling_params, **kwargs):
        return sampling_params

    monkeypatch.setattr(SingleTurnAgentLoop, "run", run)


@pytest.mark.usefixtures("verls_loop_returns_its_parameters")
@pytest.mark.parametrize("seed", [1, None])
def test_vllm_is_asked_for_tokens_at_the_end(seed):
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    sent = sent_by({"sinternal": {"rollout": {"seed": seed}}}, temperature=0.5)
    # As Ray takes them to the server.
    received = SamplingParams(**pickle.loads(pickle.dumps(sent)))

    assert received.output_kind is RequestOutputKind.FINAL_ONLY
    assert received.detokenize is False
    assert (received.temperature, received.seed) == (0.5, sent.get("seed"))


@pytest.mark.usefixtures("verls_loop_returns_its_parameters")
def test_text_is_made_where_a_stop_string_is_looked_for():
    from vllm import SamplingParams

    assert SamplingParams(**pickle.loads(pickle.dumps(sent_by({}, stop=["."])))).detokenize is True


@pytest.mark.usefixtures("verls_loop_returns_its_parameters")
@pytest.mark.parametrize(("mode", "engine"), [("colocate_async", "vllm"), ("sync", "sglang")])
def test_other_engines_and_interrupted_rollouts_keep_verls_parameters(mode, engine):
    assert not {"output_kind", "detokenize"} & sent_by({}, mode=mode, engine=engine).keys()


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
