"""What is a secret, and what only looks like one."""

import pytest
from omegaconf import OmegaConf

from sinternal_verl.config import compose_config
from sinternal_verl.doctor.problem import Problem
from sinternal_verl.runs.identity import identity_of
from sinternal_verl.runs.record import write_configuration
from sinternal_verl.runs.secrets import MASK, SECRET, SECRET_VARIABLE, masked, secrets_of
from sinternal_verl.scoring.registry import ScorerError

COMPOSED = (
    ["+recipe=sinternal_grpo", "guard=ray_actor"],
    ["+recipe=sinternal_grpo", "guard=openai_endpoint"],
    ["+recipe=sinternal_grpo", "guard=verl_router"],
    ["+recipe=sinternal_sft"],
)


@pytest.mark.parametrize(
    "key",
    [
        "sinternal.guard.api_key",
        "sinternal.guard.apikey",
        "sinternal.scorers.mine.apiKey",
        "sinternal.scorers.mine.headers.x-api-key",
        "sinternal.scorers.mine.headers.Authorization",
        "sinternal.scorers.mine.headers.X-Auth-Token",
        "sinternal.scorers.mine.headers.Cookie",
        "sinternal.scorers.mine.aws_secret_access_key",
        "ray_kwargs.ray_init.runtime_env.env_vars.GUARD_KEY",
        "ray_kwargs.ray_init.runtime_env.env_vars.KEY",
        "ray_kwargs.ray_init.runtime_env.env_vars.HF_TOKEN",
        "ray_kwargs.ray_init.runtime_env.env_vars.DB_PASSWORD",
        "ray_kwargs.ray_init.runtime_env.env_vars.CLIENT_SECRET",
    ],
)
def test_the_value_of_a_secrets_key_is_masked(key):
    assert masked(key, "sk-abc") == MASK
    assert masked(key, 12345678) == MASK and masked(key, None) is None and masked(key, False) is False
    node, _, name = key.rpartition(".")
    assert masked(node, {name: "sk-abc"}) == {name: MASK}
    assert masked(f"{key}_env", "NAME") == "NAME"


@pytest.mark.parametrize(
    "key",
    [
        "max_tokens",
        "data.pad_token_id",
        "data.pad_token",
        "data.eos_token",
        "data.reward_fn_key",
        "data.target_key",
        "distillation.teacher_models.teacher_model.key",
        "sinternal.guard.api_key_env",
        "ray_kwargs.ray_init.runtime_env.env_vars.KEYBOARD",
        "ray_kwargs.ray_init.runtime_env.env_vars.MONKEY",
        "trainer.bypass",
    ],
)
def test_a_word_that_looks_like_one_is_none(key):
    assert masked(key, "a word") == "a word"


@pytest.mark.parametrize("words", COMPOSED, ids=" ".join)
def test_no_key_of_a_composed_configuration_is_taken_for_one(words):
    config = compose_config(words)
    plain = OmegaConf.to_container(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"]))

    def keys(node, prefix=""):
        for name, below in node.items():
            if isinstance(below, dict):
                yield from keys(below, f"{prefix}{name}.")
            elif not isinstance(below, bool):
                yield f"{prefix}{name}"

    # Each value is made a text, because null is never masked.
    assert len(list(keys(plain))) > 100 and [key for key in keys(plain) if masked(key, "text", ()) != "text"] == []


@pytest.mark.parametrize("name", ["GUARD_KEY", "OPENAI_API_KEY", "WANDB_API_KEY", "HF_TOKEN", "MY_SECRET"])
def test_the_value_of_a_secrets_variable_is_masked_wherever_it_stands(monkeypatch, name):
    monkeypatch.setenv(name, "sk-0123456789")

    assert masked("a", "sk-0123456789") == MASK and masked("a.list", ["Bearer sk-0123456789"]) == [f"Bearer {MASK}"]


@pytest.mark.parametrize("name", ["PWD", "SSH_KEY_PATH", "PATH", "MONKEY"])
def test_other_variables_hold_no_secrets(name):
    assert not SECRET_VARIABLE.search(name) and not SECRET.search(name)


def test_the_variable_that_an_api_key_env_names_is_one_whatever_it_is_called(monkeypatch):
    monkeypatch.setenv("MY_GUARD", "hush")
    config = {"sinternal": {"guard": {"api_key_env": "MY_GUARD"}}}

    assert "hush" in secrets_of(config) and "hush" not in secrets_of({})
    assert masked("a", "hush", secrets_of(config)) == MASK
    # It is short, so a longer word has it by chance.
    assert masked("a", "hushed", secrets_of(config)) == "hushed"


def test_a_reference_to_a_variable_stays():
    assert masked("sinternal.scorers.mine.api_key", "${oc.env:MY_KEY}") == "${oc.env:MY_KEY}"


def test_neither_configuration_nor_identity_holds_one(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_GUARD", "hush-of-the-environment")
    config = OmegaConf.create(
        {
            "ray_kwargs": {"ray_init": {"runtime_env": {"env_vars": {"GUARD_KEY": "sk-ray", "LANG": "C"}}}},
            "sinternal": {
                "guard": {"api_key_env": "MY_GUARD"},
                "scorers": {
                    "mine": {
                        "headers": {"x-api-key": "sk-header", "accept": "json"},
                        "bearer": "Bearer ${oc.env:MY_GUARD}",
                        "urls": ["http://host/v1?n=1&key=sk-query"],
                    }
                },
            },
        }
    )
    write_configuration(tmp_path / "config.yaml", config)
    shown = (tmp_path / "config.yaml").read_text() + str(identity_of(config, {}))

    assert not [secret for secret in ("sk-ray", "sk-header", "sk-query", "hush") if secret in shown]
    assert "LANG: C" in shown and "accept: json" in shown and "MY_GUARD" in shown and "Bearer" in shown


def test_messages_show_none():
    nested = {"engine": {"model": "m"}, "api_key": "sk-abc"}
    shown = [
        str(Problem("sinternal.guard.api_key", "sk-abc", "a", "b")),
        str(Problem("sinternal.guard", nested, "a", "b")),
        str(Problem("sinternal.guard", OmegaConf.create(nested), "a", "b")),
        str(ScorerError("mine", nested, "a", "b")),
        str(ScorerError("mine.api_key", "sk-abc", "a", "b").value),
    ]

    assert not [text for text in shown if "sk-abc" in text] and all(MASK in text for text in shown)
    assert str(Problem("data.seed", 1, "a", "b")).startswith("data.seed = 1\n")
