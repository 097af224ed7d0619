"""The tokens at which a model's responses end, from the files it comes with."""

import json
from types import SimpleNamespace

import pytest

from sinternal_verl import end_tokens as module
from sinternal_verl.end_tokens import end_tokens

TOKENIZER = SimpleNamespace(eos_token_id=1, pad_token_id=0)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"generation_config.json": {"eos_token_id": [1, 106]}}, {0, 1, 106}),
        ({"generation_config.json": {"eos_token_id": 7}}, {0, 1, 7}),
        ({"generation_config.json": {}}, {0, 1}),
        ({"config.json": {"model_type": "llama", "eos_token_id": [5, 6]}}, {0, 1, 5, 6}),
        ({"config.json": {"model_type": "x", "text_config": {"eos_token_id": 9}}}, {0, 1, 9}),
        ({"config.json": {"model_type": "llama"}}, {0, 1}),
        ({"generation_config.json": {"eos_token_id": 7}, "config.json": {"eos_token_id": 8}}, {0, 1, 7}),
        ({}, {0, 1}),
    ],
)
def test_all_of_them_are_found_where_vllm_finds_them(tmp_path, files, expected):
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))

    assert end_tokens(str(tmp_path), TOKENIZER) == expected


def test_a_file_that_is_torn_is_no_reason_to_stop(tmp_path, caplog):
    (tmp_path / "generation_config.json").write_text('{"eos_tok')

    assert end_tokens(str(tmp_path), TOKENIZER) == {0, 1}
    assert "no end tokens are known" in caplog.text


def test_a_tokenizer_without_padding_and_no_model_are_fine():
    assert end_tokens(None, SimpleNamespace(eos_token_id=2, pad_token_id=None)) == {2}


@pytest.mark.parametrize(
    ("in_cache", "asks_hub"), [(None, True), ("/a/generation_config.json", False), (object(), False)]
)
def test_the_hub_is_asked_only_where_its_cache_does_not_tell(monkeypatch, in_cache, asks_hub):
    """The cache gives an object of its own for a file that the hub does not have."""
    asked = []

    def load(path, local_files_only):
        asked.append(not local_files_only)
        raise OSError("not there")

    monkeypatch.setattr(module, "try_to_load_from_cache", lambda path, name: in_cache)
    monkeypatch.setattr(module.GenerationConfig, "from_pretrained", load)

    assert end_tokens("nobody/has-this-model", TOKENIZER) == {0, 1}
    assert asked == [asks_hub]


def test_vllm_takes_the_same_tokens(tmp_path):
    from vllm.transformers_utils.config import try_get_generation_config

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "eos_token_id": [5, 6]}))
    assert set(try_get_generation_config(str(tmp_path), trust_remote_code=False).eos_token_id) == {5, 6}
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 106]}))
    assert set(try_get_generation_config(str(tmp_path), trust_remote_code=False).eos_token_id) == {1, 106}
