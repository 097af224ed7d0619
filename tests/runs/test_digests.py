"""A path stands for what it names."""

import pytest

from sinternal_verl.runs import digests
from sinternal_verl.runs.digests import digest_of, digest_of_target


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model's folder whose weights are too large to be read whole."""
    monkeypatch.setattr(digests, "WHOLE", 1000)
    monkeypatch.setattr(digests, "PIECES", 16)
    monkeypatch.setattr(digests, "PIECE", 64)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(10_000))
    return folder


@pytest.mark.parametrize(
    "value", ["fsdp2", "", "normalized", "/nowhere.parquet", "no/such-model", "a" * 10_000, "a\0b"]
)
def test_a_word_names_nothing(value):
    assert digest_of(value) is None


def test_a_folder_that_is_no_model_names_nothing(tmp_path):
    assert digest_of(str(tmp_path)) is None


def test_a_file_is_read_whole(tmp_path):
    file = tmp_path / "rows"
    file.write_bytes(bytes(100_000))
    before = digest_of(str(file))
    file.write_bytes(bytes(50_000) + b"1" + bytes(49_999))

    assert digest_of(str(file)) != before


@pytest.mark.parametrize("at", [0, 9_999, 5_000 + 20])
def test_weights_differ_where_a_piece_does(model, at):
    before = digest_of(str(model))
    weights = bytearray(bytes(10_000))
    weights[max(at - 300, 0) : at + 300] = b"1" * 600
    (model / "model.safetensors").write_bytes(weights[:10_000])

    assert digest_of(str(model)) != before


@pytest.mark.parametrize(
    ("name", "text", "same"),
    [("README.md", "x", True), ("config.json", '{"a": 1}', False), ("chat_template.jinja", "x", False)],
)
def test_of_a_model_count_the_files_that_decide_what_it_is(model, name, text, same):
    before = digest_of(str(model))
    (model / name).write_text(text)

    assert (digest_of(str(model)) == before) == same


def test_a_hub_id_is_its_commit_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--owner--name"
    (folder / "snapshots" / "abc123").mkdir(parents=True)
    (folder / "snapshots" / "abc123" / "config.json").write_text("{}")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc123")

    assert digest_of("owner/name") == "commit abc123"


def test_modules_of_installed_versions_need_no_digest():
    assert digest_of("pkg://sinternal_verl.data.sft") is None and digest_of("pkg://verl.utils.reward_score") is None
    assert digest_of("pkg://json.decoder") is not None and digest_of("pkg://no.such.module") is None


def test_a_target_is_its_module_and_its_attribute():
    assert digest_of_target("json.decoder.JSONDecoder") == f"JSONDecoder of {digest_of('pkg://json.decoder')}"
    assert digest_of_target("json.decoder.scanstring") != digest_of_target("json.decoder.JSONDecoder")


@pytest.mark.parametrize(
    "target",
    [
        "sinternal_verl.scoring.boxed_math.BoxedMath",
        "verl.utils.reward_score.default_compute_score",
        "no.such.f",
        "f",
        "",
    ],
)
def test_of_our_modules_and_of_none_there_is_no_digest(target):
    assert digest_of_target(target) is None
