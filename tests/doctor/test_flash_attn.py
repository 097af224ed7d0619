"""flash-attn that is asked for and not installed is found before an actor loads."""

import pytest

from sinternal_verl.config import compose_config
from sinternal_verl.doctor import flash_attn
from sinternal_verl.doctor.flash_attn import attention_line, check_attention
from sinternal_verl.doctor.problem import Note, Problem, problems_of

GRPO = ("actor_rollout_ref.model", "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=8192")
SFT = ("model", "data.max_token_len_per_gpu=8192")
GPU = "trainer.device=cuda"


@pytest.fixture
def installed(monkeypatch):
    """The packages that are there; the one seam."""
    packages = set()
    monkeypatch.setattr(flash_attn, "has_flash_attn", lambda: "flash_attn" in packages)
    monkeypatch.setattr(flash_attn.importlib.util, "find_spec", lambda name: name if name in packages else None)
    return packages


@pytest.fixture(params=[GRPO, SFT], ids=["grpo", "sft"])
def made(request, grpo_config, sft_config):
    """The model's key, and a function from ``attn_implementation`` and overrides to a configuration on a GPU."""
    key, tokens = request.param
    make = grpo_config if request.param is GRPO else sft_config

    def config(wanted, *overrides):
        config = make(GPU, tokens, f"{key}.use_remove_padding=true", *overrides)
        node = config.actor_rollout_ref.model if request.param is GRPO else config.model
        node.override_config = {} if wanted == "absent" else {"attn_implementation": wanted}
        return config

    return key, config


@pytest.mark.parametrize("wanted", ["absent", "flash_attention_2"])
def test_flash_attn_that_is_missing_is_a_problem_with_both_ways_out(made, installed, wanted):
    key, config = made
    (problem,) = check_attention(config(wanted))

    assert isinstance(problem, Problem)
    assert problem.key == f"{key}.override_config.attn_implementation" and problem.value == "flash_attention_2"
    assert "pip install --no-build-isolation flash-attn==2.8.3" in problem.next_step
    assert problem.next_step.endswith(f"{problem.key}=sdpa")


def test_a_run_without_flash_attn_says_what_it_does_instead(made, installed):
    assert "packed for sdpa, 8192 tokens" in attention_line(made[1]("sdpa"))
    assert attention_line(made[1]("sdpa", "trainer.device=cpu")) is None
    assert attention_line(made[1]("eager")) is None
    installed.add("flash_attn")
    assert attention_line(made[1]("sdpa")) is None


@pytest.mark.parametrize("wanted", ["sdpa", "eager", None])
def test_attention_that_needs_nothing_passes(made, installed, wanted):
    assert list(check_attention(made[1](wanted))) == []


@pytest.mark.parametrize("there", ["flash_attn", "kernels"])
def test_flash_attn_or_a_kernel_from_the_hub_passes(made, installed, there):
    installed.add(there)

    assert list(check_attention(made[1]("absent"))) == []


def test_a_cpu_run_is_left_alone(made, installed):
    assert list(check_attention(made[1]("absent", "trainer.device=cpu"))) == []


def test_padded_rows_in_batches_by_tokens_are_warned_of(made, installed):
    key, config = made
    (note,) = check_attention(config("sdpa", f"{key}.use_remove_padding=false"))

    assert isinstance(note, Note) and note.key == f"{key}.use_remove_padding"


@pytest.mark.parametrize("recipe", ["sinternal_grpo", "sinternal_sft"])
def test_the_recipes_run_with_and_without(recipe):
    assert not problems_of(check_attention(compose_config([f"+recipe={recipe}"])))
