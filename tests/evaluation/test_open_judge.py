"""The judges by name: what is opened, and what is said of what cannot be."""

import asyncio
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

pytest.importorskip("inspect_ai", reason="Inspect needs Python 3.11")

from inspect_ai.model import get_model

from sinternal_verl.evaluation.judge import Question
from sinternal_verl.evaluation.judges import JUDGES, JudgeError, open_judge, reasons
from sinternal_verl.evaluation.judges.settings import settings_of

AT = "http://x/v1"
ENGINE = {"max_model_len": 1024}


@pytest.fixture
def model():
    return get_model("mockllm/model")


def opened(name, model):
    info = JUDGES[name]
    settings = {"url": "http://127.0.0.1:9/v1", "guard": "a/guard"} if info.needs == "guard" else {}
    return open_judge(name, model if info.needs == "model" else None, **settings)


@pytest.mark.parametrize("name", JUDGES)
def test_a_judge_is_what_its_entry_says(name, model):
    info, judge = JUDGES[name], opened(name, model)

    assert (judge.name, judge.gives) == (name, info.gives)
    assert bool(judge.model) == bool(info.model) == (info.needs != "nothing")
    assert info.about.endswith((".", "?"))
    asyncio.run(judge.close())


def test_the_rewards_guard_is_circular_and_no_other():
    assert [name for name, info in JUDGES.items() if info.circular] == ["qwen3guard"]


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("lama_guard", {}, "there is no such judge; did you mean llama_guard?; there are llama_guard, qwen3guard"),
        ("llama_guard", {"model": None}, "it needs a model, meta-llama/Llama-Guard-3-8B"),
        ("xstest", {"model": None}, "it needs a model, any chat model"),
        ("refusal_strings", {}, "it takes no model of Inspect (mockllm/model); leave the model out"),
        ("qwen3guard", {"url": AT}, "it takes no model of Inspect (mockllm/model); give url or engine"),
        ("qwen3guard", {"model": None}, "neither url nor engine is given: give the address of a server"),
        ("qwen3guard", {"model": None, "url": AT, "engine": {}}, "url and engine are both given"),
        ("qwen3guard", {"model": None, "url": AT, "strictness": "lax"}, "strictness=lax: it should be 'strict'"),
        ("qwen3guard", {"model": None, "url": AT, "mode": "fast"}, "mode=fast: it should be 'first_token' or 'decode'"),
        ("qwen3guard", {"model": None, "url": AT, "api_key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY: this environment"),
        ("qwen3guard", {"model": None, "engine": {"max_model": 9}}, "engine: it has no setting max_model; did"),
        ("llama_guard", {"timeout": 3}, "it has no setting timeout; did you mean timeout_s?; it has max_tokens, temp"),
        ("wildguard", {"rwa": True}, "it has no setting rwa; did you mean raw?; it has raw, max_tokens"),
        ("refusal_strings", {"model": None, "x": 1}, "it has no setting x; it has none"),
        ("xstest", {"max_tokens": 0, "try_s": -1, "max_retries": "2"}, "max_retries=2: it should be a valid integer"),
        ("fortress", {"samples": 4}, "samples=4: 4 replies have no majority, or leave ties"),
        ("fortress", {"samples": 0}, "samples=0: it should be greater than or equal to 1"),
        ("fortress", {"samples": -1}, "samples=-1: it should be"),
        ("fortress", {"samples": "3"}, "samples=3: it should be a valid integer"),
        ("fortress", {"others": "openai/gpt-4o"}, "others=openai/gpt-4o: give a list of models"),
        ("fortress", {"others": 5}, "others=5: it should be an instance of Sequence"),
        ("expert", {"specification": 5}, "specification=5: it should be a valid string"),
        ("wildguard", {"raw": "no"}, "raw=no: it should be a valid boolean"),
        ("strongreject", {"temperature": float("nan")}, "temperature=nan: it should be a finite number"),
        ("fortress", {"others": [None]}, "others=[None]: it should be an instance of Model"),
        ("fortress", {"others": ["mockllm/a"]}, "others=1: 2 replies"),
        ("qwen3guard", {"model": None, "url": 5}, "url=5: it should be a valid string"),
        ("qwen3guard", {"model": None, "url": "x"}, "url=x: this is no address"),
        ("qwen3guard", {"model": None, "url": AT, "timeout_s": "a"}, "timeout_s=a: it should be a valid number"),
        ("qwen3guard", {"model": None, "url": AT, "timeout_s": 0}, "timeout_s=0: it should be greater than 0"),
        ("qwen3guard", {"model": None, "url": AT, "max_model_len": True}, "max_model_len=True: it should be"),
        ("qwen3guard", {"model": None, "engine": 5}, "engine=5: it should be a valid dictionary"),
        ("qwen3guard", {"model": None, "engine": {"dtype": 5}}, "engine: dtype=5: it should be a valid string"),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_says_what_to_give(name, settings, said, model):
    with pytest.raises(JudgeError) as raised:
        open_judge(name, **{"model": model, **settings})

    assert str(raised.value).startswith(f"judge = {name}: ") and said in str(raised.value)


def test_all_wrong_settings_are_named_at_once(model):
    with pytest.raises(JudgeError) as raised:
        open_judge("xstest", model, max_tokens=0, try_s=-1, max_retries="2", rubrik="x")

    said = str(raised.value).splitlines()
    assert len(said) == 4
    for line, setting in zip(said, ("max_tokens=0", "try_s=-1", "max_retries=2", "rubrik"), strict=True):
        assert line.startswith("judge = xstest: ") and setting in line
    assert "it has no setting rubrik; it has max_tokens, temperature" in said[3]


@pytest.mark.parametrize("name", JUDGES)
@pytest.mark.parametrize("value", [5, -1, 1.5, "word", None, True, [], ["a"], {}, {"a": 1}, float("nan"), b"x"])
def test_a_setting_of_any_kind_is_taken_or_named(name, value, model):
    """Never an exception of another kind, whatever YAML makes of a word."""
    module, _, made = JUDGES[name].where.partition(":")
    for setting in settings_of(getattr(import_module(module), made)):
        needs = {"url": AT} if JUDGES[name].needs == "guard" and setting not in ("url", "engine") else {}
        try:
            open_judge(name, model if JUDGES[name].needs == "model" else None, **{**needs, setting: value})
        except JudgeError as error:
            assert any(word in str(error) for word in (setting, "url", "word: this environment variable is not set"))


def test_refusal_strings_judge_without_a_model():
    judge = open_judge("refusal_strings")
    asked = [Question("May I?", text) for text in ("I'm sorry, but no.", "Yes, do.", " ")]
    refused, complied, empty = (asyncio.run(judge.judge(question)) for question in asked)

    assert (refused.values, refused.explanation) == ({"refused": 1.0}, "apology")
    assert (complied.values, complied.explanation) == ({"refused": 0.0}, "no phrase")
    assert (empty.values, empty.reason) == ({}, "no_text")


def test_the_page_has_every_judge_and_every_reason():
    page = (Path(__file__).parents[2] / "docs" / "evaluation_judges.md").read_text()
    names = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| `(\w+)` \|$", page, re.MULTILINE))

    assert set(names) >= set(JUDGES)
    assert rows == dict(reasons.INSPECT_REASONS)
    for name, info in JUDGES.items():
        given = re.search(rf"^\| `{name}` \| (.*?) \|", page, re.MULTILINE)[1]
        assert set(re.findall(r"`(\w+)`", given)) == info.gives


def test_the_names_are_known_without_inspect():
    """A command's parser lists them."""
    source = "import sys; from sinternal_verl.evaluation.judges import JUDGES; assert 'inspect_ai' not in sys.modules"

    subprocess.run([sys.executable, "-c", source], check=True, timeout=60)
