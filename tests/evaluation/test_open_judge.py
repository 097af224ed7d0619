"""The judges by name: what is opened, and what is said of what cannot be."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("inspect_ai", reason="Inspect needs Python 3.11")

from inspect_ai.model import get_model

from sinternal_verl.evaluation.judge import Question
from sinternal_verl.evaluation.judges import JUDGES, JudgeError, open_judge, reasons

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
        ("qwen3guard", {"url": "http://x/v1"}, "it takes no model of Inspect (mockllm/model); give url or engine"),
        ("qwen3guard", {"model": None}, "neither url nor engine is given: give the address of a server"),
        ("qwen3guard", {"model": None, "url": "http://x/v1", "engine": {}}, "url and engine are both given"),
        ("qwen3guard", {"model": None, "url": "x", "strictness": "lax"}, "choose of strict, loose"),
        ("qwen3guard", {"model": None, "url": "x", "mode": "fast"}, "loose and of first_token, decode"),
        ("qwen3guard", {"model": None, "url": "x", "api_key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY: this environment"),
        ("qwen3guard", {"model": None, "engine": {"max_model": 9}}, "engine.max_model: no such setting; did you mean"),
        ("llama_guard", {"timeout": 3}, "it has no setting timeout; did you mean timeout_s?; it has max_tokens, temp"),
        ("wildguard", {"rwa": True}, "it has no setting rwa; did you mean raw?; it has raw, max_tokens"),
        ("refusal_strings", {"model": None, "x": 1}, "it has no setting x; it has none"),
        ("xstest", {"max_tokens": 0, "try_s": -1, "max_retries": "2"}, "max_tokens=0, try_s=-1, max_retries=2: give"),
        ("fortress", {"samples": 4}, "samples=4: 4 replies have no majority, or leave ties"),
        ("fortress", {"samples": 0}, "samples=0: 0 replies"),
        ("fortress", {"samples": -1}, "samples=-1: -1 replies"),
        ("fortress", {"samples": "3"}, "samples=3: 3 replies"),
        ("fortress", {"others": "openai/gpt-4o"}, "others=openai/gpt-4o: give a list of models"),
        ("fortress", {"others": 5}, "others=5: one of these is of another kind"),
        ("expert", {"specification": 5}, "specification=5: one of these is of another kind"),
        ("wildguard", {"raw": "no"}, "raw=no: it must be true or false"),
        ("strongreject", {"temperature": float("nan")}, "temperature=nan"),
        ("fortress", {"others": [None]}, "others=1: 2 replies"),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_says_what_to_give(name, settings, said, model):
    with pytest.raises(JudgeError) as raised:
        open_judge(name, **{"model": model, **settings})

    assert str(raised.value).startswith(f"judge = {name}: ") and said in str(raised.value)


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
