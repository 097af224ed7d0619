"""What is wrong with a build's settings is found before anything starts, all of it at once."""

import pytest

from sinternal_verl.verify.settings import build_settings, compose_build, find_problems

GOOD = ("prompts=org/set", "out=o", "policy.model=p", "expert.model=e", "expert.url=http://h/v1")


def problems(*overrides: str, stages=("sample", "critique", "select")) -> dict[str, str]:
    return {problem.key: str(problem) for problem in find_problems(compose_build([*GOOD, *overrides]), stages)}


def test_the_recipe_holds_the_published_values():
    settings = build_settings(compose_build(GOOD))

    assert (settings.samples, settings.target, settings.answers, settings.fraction) == (
        8,
        "critique+judgment",
        "self",
        1,
    )
    assert problems() == {}


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("answers=mine", "answers"),
        ("target=verdict", "target"),
        ("label=evil", "label"),
        ("samples=0", "samples"),
        ("seed=x", "seed"),
        ("fraction=1.5", "fraction"),
        ("fraction=0", "fraction"),
        ("shard=8/8", "shard"),
        ("specification=nine", "specification"),
        ("specification=/no/such.yaml", "specification"),
        ("prompt=/no/such.txt", "prompt"),
        ("prompts=/no/such.jsonl", "prompts"),
        ("against=[/no/such.jsonl]", "against"),
        ("expert.url=h:8000", "expert.url"),
        ("expert.concurrency=0", "expert.concurrency"),
        ("expert.timeout_s=0", "expert.timeout_s"),
        ("expert.max_requests=0", "expert.max_requests"),
        ("policy.thought=maybe", "policy.thought"),
        ("+expert.temperature=0", "expert.temperature"),
        ("policy.model=null", "policy.model"),
        ("out=null", "out"),
        ("answers=other", "other.model"),
    ],
)
def test_each_bad_value_is_named(override, key):
    assert key in problems(override)


def test_all_of_them_at_once():
    assert len(problems("fraction=2", "samples=0", "expert.concurrency=0", "specification=nine")) == 4


def test_an_engine_longer_than_its_model_is_found_before_it_loads(world):
    """The policy of the small world takes 512 tokens."""
    engine, here = "policy.engine.max_model_len", f"policy.model={world['policy']}"

    assert "context of 512" in problems(here)[engine] and f"{engine}=512" in problems(here)[engine]
    assert problems(here, f"{engine}=512") == {}
    assert problems(here, "policy.url=http://h/v1") == {}
    assert problems(here, stages=("critique",)) == {}
    assert engine in problems(f"{engine}=null")
    assert "policy.model" in problems("policy.model=/no/such/model")


def test_vllms_own_permission_to_go_beyond_is_heeded(world, monkeypatch):
    monkeypatch.setenv("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "1")

    assert problems(f"policy.model={world['policy']}") == {}


def test_what_a_stage_does_not_use_is_not_looked_at():
    assert problems("expert.concurrency=0", stages=("sample",)) == {}


def test_answers_need_no_expert():
    assert problems("expert.model=null", stages=("sample",)) == {}
    assert "expert.model" in problems("expert.model=null", stages=("critique",))


def test_another_model_takes_what_it_is_not_given_from_the_policy():
    settings = build_settings(compose_build([*GOOD, "answers=other", "other.model=q", "policy.request.temperature=1"]))

    assert (settings.writer.model, settings.writer.request["temperature"]) == ("q", 1)
    assert settings.thinks
