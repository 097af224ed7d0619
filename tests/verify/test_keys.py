"""What decides a reply is in its key, and nothing else: changing a value changes exactly these keys."""

import os
import shutil
from pathlib import Path

import pytest

from sinternal_verl.hashing import canonical, key_of
from sinternal_verl.verify import origin
from sinternal_verl.verify.build import Build
from sinternal_verl.verify.evaluate import Verification
from sinternal_verl.verify.requests import Prompt
from sinternal_verl.verify.settings import build_settings, compose_build
from sinternal_verl.verify.store import Reply, Store

PROMPT = Prompt("Lend it?", "harmful", "safety/harmful/orla", "7")
ALL = {"answer", "critique", "verify"}
POLICY = {"answer", "verify"}
"""The verifier is the policy unless another is given."""


def model_in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "generation_config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "model.safetensors").write_bytes(bytes(1000))
    (folder / "README.md").write_text("A model.")
    return folder


def keys(tmp_path: Path, *words: str) -> dict[str, bytes]:
    """The key of one answer, and those of a critique and of a verdict on one that is the same whoever wrote it."""
    given = ["prompts=p.jsonl", "out=o", "samples=1", *words]
    settings = build_settings(compose_build(given))
    (tmp_path / "store.sqlite").unlink(missing_ok=True)
    with Store(tmp_path / "store.sqlite") as store:
        build = Build(settings, store)
        (asked,) = build.answer_requests([PROMPT])
        store.add(asked.key, Reply("Here.", thought="It asks."))
        (critique,) = build.critique_requests([PROMPT])
        store.add(critique.key, Reply("It lends.\nVerdict: unsafe"))
        (verdict,) = Verification(settings, build, store).requests([PROMPT])
    return {"answer": asked.key, "critique": critique.key, "verify": verdict.key}


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


SERVED = ("policy.model=p", "policy.url=http://p/v1", "expert.model=e", "expert.url=http://e/v1")


@pytest.mark.parametrize(
    ("words", "those"),
    [
        # What decides a reply.
        (["seed=2"], {"answer"}),
        (["policy.model=q"], POLICY),
        (["policy.revision=2"], POLICY),
        (["policy.request.temperature=0.7"], {"answer"}),  # the verifier has a temperature of its own
        (["policy.request.top_p=0.9"], POLICY),
        (["+policy.apply_chat_template_kwargs.enable_thinking=false"], POLICY),
        (["+verifier.apply_chat_template_kwargs.enable_thinking=false"], {"verify"}),
        (["+expert.apply_chat_template_kwargs.enable_thinking=false"], {"critique"}),
        (["answers=other", "other.model=q"], {"answer"}),
        (["verifier.model=q"], {"verify"}),
        (["verifier.revision=2"], {"verify"}),
        (["verifier.request.temperature=1"], {"verify"}),
        (["expert.model=f"], {"critique"}),
        (["expert.revision=2"], {"critique"}),
        (["expert.request.max_tokens=100"], {"critique"}),
        (["+expert.request.reasoning_effort=low"], {"critique"}),
        (["+expert.request.response_format={a:null}"], {"critique"}),
        (["specification=brief"], {"critique", "verify"}),
        (["prompt={template}"], {"critique", "verify"}),
        # What says how a reply is read, what is made of it, or how it comes.
        (["policy.thought=none"], set()),
        (["expert.request.temperature=0.0"], set()),
        (["+policy.request.seed=null"], set()),
        (["+policy.request.min_p=null"], set()),
        (["policy.apply_chat_template_kwargs={}", "expert.apply_chat_template_kwargs={}"], set()),
        (["+policy.apply_chat_template_kwargs.enable_thinking=null"], set()),
        (["target=judgment", "fraction=0.5"], set()),
        (["policy.url=https://other/v1", "expert.url=https://other/v1"], set()),
        (["policy.api_key_env=MINE", "expert.api_key_env=null"], set()),
        (["policy.concurrency=1", "policy.timeout_s=1", "policy.retries=0"], set()),
        (["policy.max_requests=1", "expert.budget_tokens=1"], set()),
        # A server has an engine of its own.
        (["policy.engine.max_model_len=100", "policy.engine.dtype=float32"], set()),
        (["samples=1", "label=harmful", "out=elsewhere", "store=elsewhere"], set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_changing_a_value_changes_exactly_these_keys(tmp_path, words, those):
    (tmp_path / "prompt.txt").write_text("{specification} {request} {answer}")
    words = [word.replace("{template}", str(tmp_path / "prompt.txt")) for word in words]

    assert changed(keys(tmp_path, *SERVED), keys(tmp_path, *SERVED, *words)) == those


def test_replies_under_the_servers_own_name_for_a_templates_values_are_found(tmp_path):
    """Before the setting there was, a server could be given them by ``request``."""
    before = keys(tmp_path, *SERVED, "+policy.request.chat_template_kwargs.enable_thinking=false")

    assert keys(tmp_path, *SERVED, "+policy.apply_chat_template_kwargs.enable_thinking=false") == before


def test_without_values_of_a_template_an_origin_is_as_it_was_before_there_were_any():
    settings = build_settings(compose_build(["prompts=p", "out=o", *SERVED]))

    assert settings.writer.origin()["request"] == {"temperature": 0.6, "top_p": 0.95, "max_tokens": 8192}


@pytest.mark.parametrize(
    ("words", "those"),
    [
        (["policy.engine.max_model_len=100"], POLICY),
        (["expert.engine.max_model_len=100"], {"critique"}),
        (["policy.engine.dtype=float32"], POLICY),
        (["+policy.apply_chat_template_kwargs.enable_thinking=false"], POLICY),
        (["+policy.apply_chat_template_kwargs.enable_thinking=null"], set()),
        (["+policy.engine.quantization=fp8"], POLICY),
        (["+policy.engine.hf_overrides={rope_theta:1}"], POLICY),
        (["+policy.engine.tokenizer={other}"], POLICY),
        (["policy.request.max_tokens=null"], POLICY),  # 16 where it is absent, unbounded where it is null
        (["policy.engine.gpu_memory_utilization=0.5", "policy.engine.tensor_parallel_size=2"], set()),
        (["policy.engine.enforce_eager=true", "policy.engine.max_num_batched_tokens=100"], set()),
        (["+policy.engine.enable_prefix_caching=false", "+policy.engine.quantization=null"], set()),
        (["policy.model={copy}"], set()),
        (["policy.model={other}"], POLICY),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_changing_a_value_of_a_model_that_runs_here_changes_exactly_these_keys(tmp_path, words, those):
    model, copy = model_in(tmp_path / "model"), tmp_path / "copy" / "of it"
    shutil.copytree(model, copy)
    os.utime(copy / "model.safetensors", (1, 1))
    other = model_in(tmp_path / "other")
    (other / "model.safetensors").write_bytes(b"1" * 1000)
    words = [word.replace("{copy}", f"'{copy}'").replace("{other}", str(other)) for word in words]
    here = ["policy.model=" + str(model), "expert.model=" + str(model)]

    before = keys(tmp_path, *here)
    if words == ["policy.request.max_tokens=null"]:
        before = keys(tmp_path, *here, "~policy.request.max_tokens")
    assert changed(before, keys(tmp_path, *here, *words)) == those


@pytest.mark.parametrize(
    ("file", "content", "decides"),
    [
        ("model.safetensors", bytes(999) + b"1", True),
        ("model.safetensors", bytes(1001), True),
        ("config.json", b'{"a": 1}', True),
        ("generation_config.json", b'{"a": 1}', True),
        ("tokenizer.json", b'{"a": 1}', True),
        ("chat_template.jinja", b"x", True),
        ("adapter_model.safetensors", b"x", True),
        ("README.md", b"Another card.", False),
    ],
)
@pytest.mark.parametrize("served", [False, True])
def test_other_weights_in_the_same_place_are_another_model(tmp_path, file, content, decides, served):
    model = model_in(tmp_path / "model")
    url = "http://p/v1" if served else "null"
    words = [f"policy.model={model}", f"policy.url={url}", "expert.model=e", "expert.url=http://e/v1"]
    before = keys(tmp_path, *words)
    (model / file).write_bytes(content)

    assert changed(before, keys(tmp_path, *words)) == (POLICY if decides else set())


def test_a_name_of_a_servers_own_is_no_folder_that_happens_to_be_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = keys(tmp_path, *SERVED)
    model_in(tmp_path / "p")

    assert keys(tmp_path, *SERVED) == before


def test_a_build_holds_on_to_the_weights_that_it_began_with(tmp_path):
    model = model_in(tmp_path / "model")
    settings = build_settings(compose_build([f"policy.model={model}", "prompts=p", "out=o", "expert.model=e"]))
    before = settings.writer.origin()
    (model / "model.safetensors").write_bytes(b"2")

    assert settings.writer.origin() == before


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A function that puts a commit of owner/name into the hub's cache; the hub itself is switched off."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def put(commit: str, branch: str = "main") -> None:
        origin.commit_of.cache_clear()
        folder = tmp_path / "hub" / "models--owner--name"
        model_in(folder / "snapshots" / commit)
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / branch).write_text(commit)

    origin.commit_of.cache_clear()
    yield put
    origin.commit_of.cache_clear()


def test_of_a_hub_id_the_commit_counts(tmp_path, hub):
    hub("a" * 40)
    first = origin.origin_of_model("owner/name", False, None, {}, {})
    assert (
        first
        == origin.origin_of_model("owner/name", False, "a" * 40, {}, {})
        == origin.origin_of_model("owner/name", False, "main", {}, {})
    )
    assert first["revision"] == "a" * 40 and first["model"] == "owner/name"
    hub("b" * 40)
    assert origin.origin_of_model("owner/name", False, None, {}, {})["revision"] == "b" * 40


def test_vllm_loads_the_commit_that_the_keys_name(hub, tmp_path):
    hub("a" * 40)

    def engine(*words: str) -> dict:
        given = ["prompts=p", "out=o", "policy.model=owner/name", "expert.model=e", *words]
        return build_settings(compose_build(given)).writer.pinned_engine()

    assert (engine()["revision"], engine()["tokenizer_revision"]) == ("a" * 40, "a" * 40)
    assert engine("policy.revision=main")["revision"] == "a" * 40
    assert "tokenizer_revision" not in engine("+policy.engine.tokenizer=owner/other")
    assert "revision" not in engine(f"policy.model={model_in(tmp_path / 'model')}")


def test_modelscope_has_commits_of_its_own(hub, monkeypatch):
    hub("a" * 40)
    monkeypatch.setenv("VLLM_USE_MODELSCOPE", "True")

    assert "revision" not in origin.origin_of_model("owner/name", False, None, {}, {})


def test_of_a_hub_id_that_nobody_knows_the_name_counts(hub):
    assert origin.origin_of_model("owner/name", False, None, {}, {}) == {
        "model": "owner/name",
        "request": {},
        "engine": {},
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": 0}, {"a": -0.0}),
        ({"a": {"b": [1, 2.5]}}, {"a": {"b": [1.0, 2.5]}}),
        ({"stop": ["x"]}, {"stop": ("x",)}),
        ({"logit_bias": {50256: -100}}, {"logit_bias": {"50256": -100.0}}),
    ],
)
def test_equal_values_are_one_key(one, other):
    assert key_of(canonical(one)) == key_of(canonical(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": 1}, {"a": "1"}), ({"a": 1}, {"a": True}), ({"a": 1}, {"a": 1.5}), ({"stop": "x"}, {"stop": ["x"]})],
)
def test_other_values_are_another_key(one, other):
    assert key_of(canonical(one)) != key_of(canonical(other))
