"""Scorers, sources and failure settings are checked before a model loads."""

import pytest

from sinternal_verl.doctor.scorers import check_scorers


def keys(config) -> dict[str, str]:
    return {problem.key: str(problem) for problem in check_scorers(config)}


def test_a_sound_configuration_has_no_problem(grpo_config):
    assert keys(grpo_config()) == {}


@pytest.mark.parametrize(
    ("override", "key", "words"),
    [
        ("sinternal.scorers.boxed_math.mode=strict", "sinternal.scorers.boxed_math", "literal"),
        (
            "sinternal.scorers.boxed_math.moode=literal",
            "sinternal.scorers.boxed_math.moode",
            "write sinternal.scorers.boxed_math.mode",
        ),
        ("sinternal.scorers.boxed_math.sources=[]", "sinternal.scorers.boxed_math.sources", "scores nothing"),
        ("sinternal.scorers.mine.sources=[x]", "sinternal.scorers.mine", "no scorer of this name"),
        ("sinternal.failures.policy=skip", "sinternal.failures", "drop, neutral, zero"),
        ("sinternal.failures.abort_after=-1", "sinternal.failures", "abort_after = -1"),
        ("algorithm.filter_groups.enable=true", "algorithm.filter_groups.enable", "trainer_mode=sync"),
        ("reward.reward_model.enable=true", "reward.reward_model.enable", "enable_resource_pool=true"),
    ],
)
def test_each_mistake_is_a_problem_with_its_key(grpo_config, override, key, words):
    assert words in keys(grpo_config(override))[key]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("thought: none", None),
        ("thought: required", None),
        ("thought: no", "'required', 'none'"),
        ("thought: none, judged: thought", "no thought to judge"),
    ],
)
def test_the_safety_scorers_settings_are_checked(grpo_config, settings, words):
    guard = "guard: {backend: openai_endpoint}"
    found = keys(grpo_config(f"sinternal.scorers.safety={{sources: ['safety/*'], {settings}, {guard}}}"))

    assert words in found["sinternal.scorers.safety"] if words else "sinternal.scorers.safety" not in found


def test_a_run_without_any_scorer_is_a_problem(grpo_config):
    config = grpo_config("sinternal.scorers.boxed_math=null", "sinternal.scorers.verdict=null")

    assert "no scorer" in keys(config)["sinternal.scorers"]


def test_a_data_source_nobody_takes_names_the_file_and_the_known_ones(grpo_config, world):
    problems = keys(grpo_config("sinternal.scorers.boxed_math.sources=[math500]"))

    assert problems.keys() == {
        f"data.{part}_files ({world[name]})" for part, name in [("train", "train"), ("val", "held_out")]
    }
    assert all("world/addition" in text and "math500" in text for text in problems.values())


def test_two_scorers_of_one_source_are_a_problem(grpo_config):
    problems = keys(grpo_config("sinternal.scorers.other.scorer=boxed_math", "sinternal.scorers.other.sources=['*']"))

    assert "claims the same source" in problems["sinternal.scorers.other.sources"]


def test_all_mistakes_are_shown_at_once(grpo_config):
    problems = keys(
        grpo_config(
            "sinternal.scorers.boxed_math.mode=strict",
            "sinternal.scorers.a.sources=[x]",
            "sinternal.failures.policy=skip",
        )
    )

    assert problems.keys() == {"sinternal.scorers.boxed_math", "sinternal.scorers.a", "sinternal.failures"}


def test_a_function_of_the_users_own_needs_no_scorers(grpo_config):
    config = grpo_config("reward.custom_reward_function.path=my.py", "sinternal.scorers.boxed_math.sources=[other]")

    assert keys(config) == {}
