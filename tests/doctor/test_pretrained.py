"""What a model's own files say is read from its folder or the hub's cache, without the network."""

from types import SimpleNamespace

import huggingface_hub.constants
import pytest
from transformers import Gemma3TextConfig, LlamaConfig, Qwen2Config

from sinternal_verl.doctor.pretrained import ALLOW_LONG, context_of, local_file, read_config, too_long
from sinternal_verl.doctor.tokenizer import compare

THETA = {"rope_theta": 10000.0}
CONFIGS = {
    "plain": LlamaConfig(max_position_embeddings=2048),
    "linear": LlamaConfig(max_position_embeddings=2048, rope_parameters=THETA | {"rope_type": "linear", "factor": 4.0}),
    "yarn": Qwen2Config(
        max_position_embeddings=131072,
        rope_parameters=THETA | {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
    ),
    "yarn, long already": Qwen2Config(
        max_position_embeddings=32768,
        rope_parameters=THETA | {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 32768},
    ),
    "llama3": LlamaConfig(
        max_position_embeddings=131072,
        rope_parameters=THETA
        | {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    ),
    "gemma3": Gemma3TextConfig(max_position_embeddings=131072),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_context_is_the_one_that_vllm_reckons(name):
    from vllm.config.model import _get_and_verify_max_len

    config = CONFIGS[name]
    known = SimpleNamespace(derived_max_model_len_and_key=(config.max_position_embeddings, "max_position_embeddings"))
    theirs = _get_and_verify_max_len(config, known, None, None, False, None)

    assert context_of(config) == theirs


def test_vllm_refuses_above_it_unless_it_is_told_to(monkeypatch):
    monkeypatch.delenv(ALLOW_LONG, raising=False)
    assert too_long(2049, 2048) and not too_long(2048, 2048)
    assert not too_long(None, 2048) and not too_long(2049, None)

    monkeypatch.setenv(ALLOW_LONG, "1")
    assert not too_long(2049, 2048)


@pytest.fixture
def cached(world, tmp_path, monkeypatch):
    """The small policy as ``small/policy`` in the hub's cache, and no network."""
    snapshot = tmp_path / "models--small--policy" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--small--policy" / "refs").mkdir()
    (tmp_path / "models--small--policy" / "refs" / "main").write_text("0123")
    for file in world["policy"].iterdir():
        (snapshot / file.name).symlink_to(file)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    return snapshot


def test_a_hub_id_is_read_from_the_cache(cached):
    assert local_file("small/policy", "config.json") == cached / "config.json"
    assert local_file("small/policy", "absent.json") is None
    assert context_of(read_config("small/policy")) == 512


def test_its_tokenizer_is_looked_at_too(cached):
    assert list(compare("model.path", "small/policy")) == []

    text = (cached / "tokenizer_config.json").read_text()
    (cached / "tokenizer_config.json").unlink()
    (cached / "tokenizer_config.json").write_text(text.replace("TokenizersBackend", "LlamaTokenizerFast"))
    config = (cached / "config.json").read_text()
    (cached / "config.json").unlink()
    (cached / "config.json").write_text(config.replace('"qwen2"', '"llama"'))
    (problem,) = compare("model.path", "small/policy")
    assert problem.value == "small/policy" and str(cached) in problem.next_step


@pytest.mark.parametrize("model", ["small/other", "no id at all", "/nowhere"])
def test_what_is_not_there_is_none(cached, model):
    assert local_file(model, "config.json") is None and read_config(model) is None
