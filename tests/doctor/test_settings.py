"""Keys under ``sinternal`` that nothing reads, and times that cannot be, are named before a model loads."""

import copy

import pytest
from omegaconf import OmegaConf

from sinternal_verl.commands.doctor import doctor
from sinternal_verl.commands.guard import compose_served
from sinternal_verl.commands.running_guard import compose_guard, find_guard_problems
from sinternal_verl.config import compose_config
from sinternal_verl.doctor.scorers import check_scorers
from sinternal_verl.doctor.settings import check_settings, known_keys
from sinternal_verl.verify.problems import find_problems
from sinternal_verl.verify.settings import compose_build

GUARDS = ("ray_actor", "openai_endpoint", "verl_router", "none")
COMPOSED = (
    *(["+recipe=sinternal_grpo", f"guard={guard}"] for guard in GUARDS),
    ["+recipe=sinternal_grpo", "hardware=1gpu_14b", "guard=none"],
    ["+recipe=sinternal_grpo_cpu", "guard=ray_actor"],
    ["+recipe=sinternal_grpo_lora"],
    ["+recipe=sinternal_sft"],
    ["+recipe=sinternal_sft_cpu"],
)


@pytest.fixture(scope="module")
def composed():
    """One configuration for each guard; composing takes most of a second."""
    return {guard: compose_config(["+recipe=sinternal_grpo", f"guard={guard}"]) for guard in GUARDS}


@pytest.fixture
def found(composed):
    """A function from overrides (``key=value``) to the problems they make, by key."""

    def check(*words: str, guard: str = "ray_actor") -> dict[str, str]:
        config = copy.deepcopy(composed[guard])
        OmegaConf.set_struct(config, False)
        config.merge_with(OmegaConf.from_dotlist(list(words)))
        return {problem.key: f"{problem.reason}; {problem.next_step}" for problem in check_settings(config)}

    return check


@pytest.mark.parametrize("words", COMPOSED, ids=" ".join)
def test_what_our_recipes_set_is_known(words):
    assert list(check_settings(compose_config(words))) == []


def test_a_configuration_without_our_recipe_has_nothing_to_check():
    assert list(check_settings(OmegaConf.create({"trainer": {}}))) == []


@pytest.mark.parametrize(
    ("key", "step"),
    [
        ("sinternal.gaurd.url", "write sinternal.guard.url"),
        ("sinternal.guard.urll", "write sinternal.guard.url"),
        ("sinternal.guard.engine.modle", "write sinternal.guard.engine.model"),
        ("sinternal.guard.model", "write sinternal.guard.engine.model"),
        ("sinternal.request_timeout_s", "write sinternal.guard.request_timeout_s"),
        ("sinternal.rolout.pol_s", "write sinternal.rollout.poll_s"),
        ("sinternal.failures.polcy", "write sinternal.failures.policy"),
        ("sinternal.scorer.mine.path", "write sinternal.scorers.mine.path"),
        ("sinternal.score_timeout_s.of", "sinternal.score_timeout_s has nothing below it"),
        ("sinternal.rollout.xyz", "sinternal.rollout has no_progress_s, poll_s, seed"),
    ],
)
def test_a_key_that_does_not_exist_is_named_with_the_right_one(found, key, step):
    assert found(f"{key}=1")[key] == f"there is no such key, and nothing would read it; {step}"


def test_all_are_named_at_once(found):
    assert found("sinternal.gaurd.url=x", "sinternal.guard.engine.modle=y", "sinternal.score_timeout_s=0").keys() == {
        "sinternal.gaurd.url",
        "sinternal.guard.engine.modle",
        "sinternal.score_timeout_s",
    }


@pytest.mark.parametrize("key", ["sinternal.guard.engine.tensor_parallel_size", "sinternal.guard.engine.seed"])
def test_a_setting_of_the_engine_that_no_recipe_sets_is_known(found, key):
    assert found(f"{key}=2") == {}


def test_names_of_scorers_are_the_users(found):
    assert found("sinternal.scorers.mine={path: mine.py, sources: [mine], anything: 3}") == {}


@pytest.mark.parametrize("key", sorted(key for key in known_keys() if key.endswith("_s")))
@pytest.mark.parametrize("value", ["0", "-1", "nan", ".inf", "soon", "true", "null", "'60'"])
def test_an_impossible_time_is_named(found, key, value):
    if {"null": None, "0": 0}.get(value, "") in known_keys("ray_actor")[key]:
        pytest.skip("a default of this time, which has a meaning")
    assert "a finite number above 0" in found(f"{key}={value}")[key]


@pytest.mark.parametrize(("guard", "wrong"), [("ray_actor", True), ("verl_router", True), ("openai_endpoint", False)])
def test_no_wait_for_the_start_is_for_a_server_alone(found, guard, wrong):
    assert ("sinternal.guard.start_timeout_s" in found("sinternal.guard.start_timeout_s=0", guard=guard)) == wrong


@pytest.mark.parametrize("value", ["null", "ray_actor", "3"])
@pytest.mark.parametrize(
    ("key", "step"),
    [
        ("sinternal.guard", "guard=none, ray_actor, openai_endpoint or verl_router"),
        ("sinternal.failures", "leave sinternal.failures out"),
        ("sinternal.rollout", "leave sinternal.rollout out"),
        ("sinternal.guard.engine", "leave sinternal.guard.engine out"),
    ],
)
def test_a_value_in_the_place_of_settings_is_named(found, key, step, value):
    said = found(f"{key}={value}")

    assert step in said[key] and "settings stand below this key" in said[key] and "no such key" not in said[key]


def test_no_scorers_are_left_to_the_check_of_scorers(found, grpo_config):
    assert found("sinternal.scorers=null") == {}
    none = grpo_config("sinternal.scorers=null")
    own = grpo_config("sinternal.scorers=null", "reward.custom_reward_function.path=examples/my_reward.py")

    assert [(problem.key, problem.reason) for problem in check_scorers(none)] == [
        ("sinternal.scorers", "no scorer is configured")
    ]
    assert [*check_settings(own), *check_scorers(own)] == []


@pytest.mark.parametrize("plus", ["", "+"])
def test_doctor_shows_no_secret_under_an_unknown_key(plus, capsys):
    words = [f"{plus}sinternal.guard.api_key=sk-abc", "+sinternal.scorers.boxed_math.api_key=sk-def"]

    assert doctor(["+recipe=sinternal_grpo_cpu", *words]) == 2
    shown = "".join(capsys.readouterr())
    assert "sinternal.guard.api_key = ***" in shown and "sk-" not in shown


def test_a_served_guard_scores_nothing_so_no_samples_limit_bounds_it():
    config = compose_served(["hardware=cpu", "sinternal.guard.request_timeout_s=300"])
    key = "sinternal.guard.request_timeout_s"

    assert key in [problem.key for problem in find_guard_problems(config)]
    assert key not in [problem.key for problem in find_guard_problems(config, scores=False)]


@pytest.mark.parametrize(
    ("guard", "words", "wrong"),
    [
        ("ray_actor", ["sinternal.guard.request_timeout_s=121"], True),
        ("ray_actor", ["sinternal.score_timeout_s=59.5"], True),
        ("ray_actor", ["sinternal.guard.request_timeout_s=120"], False),
        ("ray_actor", ["sinternal.guard.request_timeout_s=200", "sinternal.score_timeout_s=240"], False),
        ("openai_endpoint", ["sinternal.guard.request_timeout_s=121"], True),
        ("none", ["sinternal.guard.request_timeout_s=121"], False),
    ],
)
def test_a_guards_limit_is_within_its_samples(found, guard, words, wrong):
    assert ("sinternal.guard.request_timeout_s" in found(*words, guard=guard)) == wrong


@pytest.mark.parametrize("plus", ["", "+"])
def test_doctor_names_every_misspelt_key_with_or_without_a_plus(plus, capsys):
    words = [f"{plus}sinternal.gaurd.url=x", f"{plus}sinternal.rollout.pol_s=1"]

    assert doctor(["+recipe=sinternal_grpo_cpu", *words]) == 2
    shown = capsys.readouterr().err
    assert "write sinternal.guard.url" in shown and "write sinternal.rollout.poll_s" in shown


def test_a_key_of_verls_that_does_not_exist_is_left_to_hydra(capsys):
    assert doctor(["+recipe=sinternal_grpo_cpu", "sinternal.gaurd.url=x", "trainer.nodes=1"]) == 2
    assert "the overrides do not compose" in capsys.readouterr().err


def test_commands_that_use_a_guard_check_its_keys_too():
    config = compose_guard(["guard=openai_endpoint", "sinternal.guard.url=http://127.0.0.1:9/v1", "+sinternal.gaurd=1"])
    build = compose_build(["guard=openai_endpoint", "+sinternal.gaurd=1"])

    assert "sinternal.gaurd" in [problem.key for problem in find_guard_problems(config)]
    assert "sinternal.gaurd" in [problem.key for problem in find_problems(build)]
