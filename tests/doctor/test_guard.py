"""The guard is checked before a model loads."""

import pytest
from aiohttp import web
from omegaconf import OmegaConf
from servers import serving

from sinternal_verl.config import compose_config
from sinternal_verl.doctor.guard import check_guard
from sinternal_verl.doctor.problem import Note, Problem
from sinternal_verl.doctor.scorers import check_scorers
from sinternal_verl.world.guard_model import make_guard_tokenizer

KWARGS = "reward.custom_reward_function.reward_kwargs"


def problems(*overrides: str) -> dict[str, str]:
    config = compose_config(["+recipe=sinternal_grpo", *overrides])
    return {problem.key: str(problem) for problem in check_guard(config)}


def test_no_guard_has_nothing_to_check():
    assert problems("hardware=1gpu_7b", "guard=none") == {}


@pytest.mark.parametrize("guard", ["ray_actor", "verl_router"])
def test_a_guard_on_the_gpus_held_back_is_sound(guard):
    assert problems("hardware=8gpu_7b", f"guard={guard}") == {}


@pytest.mark.parametrize(
    ("overrides", "key", "words"),
    [
        (["hardware=1gpu_7b", "guard=ray_actor"], "sinternal.guard.replicas", "guard=openai_endpoint"),
        (
            ["hardware=8gpu_7b", "guard=ray_actor", "sinternal.guard.replicas=5", "sinternal.guard.n_gpus=4"],
            "sinternal.guard.replicas",
            "the guard holds 4",
        ),
        (
            [
                *("hardware=8gpu_7b", "guard=ray_actor", "sinternal.guard.num_gpus=0.6"),
                *("sinternal.guard.replicas=6", "sinternal.guard.engine.gpu_memory_utilization=0.5"),
                "sinternal.guard.n_gpus=4",
            ],
            "sinternal.guard.replicas",
            "room for 4",
        ),
        (
            ["hardware=8gpu_7b", "guard=ray_actor", "+sinternal.guard.engine.tensor_parallel_size=2"],
            "sinternal.guard.engine.tensor_parallel_size",
            "has 1 GPUs",
        ),
        (
            ["hardware=8gpu_7b", "guard=ray_actor", "sinternal.guard.num_gpus=1.5", "sinternal.guard.replicas=2"],
            "sinternal.guard.num_gpus",
            "whole GPUs",
        ),
        (
            ["hardware=8gpu_7b", "guard=ray_actor", "sinternal.guard.backend=http"],
            "sinternal.guard.backend",
            "ray_actor",
        ),
        (
            ["hardware=8gpu_7b", "guard=ray_actor", "sinternal.guard.engine.model=/nowhere"],
            "sinternal.guard.engine.model",
            "no such folder",
        ),
        (["guard=ray_actor", "trainer.n_gpus_per_node=8"], "sinternal.guard.replicas", "leave trainer.n_gpus_per_node"),
        (["hardware=1gpu_7b", "guard=openai_endpoint"], "sinternal.guard.url", "http://host:port/v1"),
        (
            ["hardware=1gpu_7b", "guard=openai_endpoint", "sinternal.guard.url=http://127.0.0.1:9/v1"],
            "sinternal.guard.url",
            "no answer",
        ),
        (["hardware=1gpu_7b", "guard=verl_router"], "sinternal.guard.n_gpus", "GPUs of their own"),
        (["hardware=cpu", "guard=verl_router"], "sinternal.guard.n_gpus", "ray_kwargs.ray_init.num_gpus=2"),
        (["guard=verl_router", "trainer.nnodes=2", "sinternal.guard.n_gpus=3"], "sinternal.guard.n_gpus", "2 nodes"),
        (
            ["hardware=8gpu_7b", "guard=verl_router", "reward.reward_model.enable_resource_pool=false"],
            "reward.reward_model.enable_resource_pool",
            "would answer nothing",
        ),
        (
            ["hardware=8gpu_7b", "guard=verl_router", "reward.reward_model.rollout.tensor_model_parallel_size=3"],
            "reward.reward_model.rollout.tensor_model_parallel_size",
            "divisor",
        ),
    ],
)
def test_each_mistake_is_a_problem_with_its_key(overrides, key, words):
    found = problems(*overrides)

    assert found.keys() == {key}
    assert words in found[key]


def test_fractions_of_a_gpu_count():
    fractions = ["sinternal.guard.num_gpus=0.5", "sinternal.guard.replicas=8"]
    share = "sinternal.guard.engine.gpu_memory_utilization"
    assert "would take 0.9" in problems("hardware=8gpu_7b", "guard=ray_actor", *fractions)[share]
    fractions.append(f"{share}=0.45")

    assert problems("hardware=8gpu_7b", "guard=ray_actor", *fractions) == {}


def test_a_model_that_is_no_guard_is_refused(world):
    found = problems("hardware=8gpu_7b", "guard=ray_actor", f"sinternal.guard.engine.model={world['policy']}")

    assert "guard's structure" in found["sinternal.guard.engine.model"]


def test_safety_prompts_without_a_guard_are_a_problem(grpo_config, tmp_path):
    from sinternal_verl.data.schema import RowWriter, rl_row

    row = rl_row(data_source="safety/harmful/x", content="May I?", ground_truth="harmful", index="0", split="train")
    with RowWriter(tmp_path / "safety.parquet") as writer:
        writer.add(row)
        writer.finish()
    found = [str(problem) for problem in check_scorers(grpo_config(f"data.train_files={tmp_path / 'safety.parquet'}"))]

    assert len(found) == 1
    assert "safety/harmful/x" in found[0] and "guard=ray_actor" in found[0]


@pytest.mark.parametrize(
    ("overrides", "reason", "step"),
    [
        (["sinternal.guard.n_gpus=4"], "no row of the training and validation files", "guard=none frees 4 GPUs"),
        ([], "no row of the training and validation files", "guard=none does without it"),
        (["reward.custom_reward_function.path=my.py"], "your own reward function", "guard=none"),
        (["reward.custom_reward_function.path=my.py", f"{KWARGS}.guard.backend=ray_actor"], None, None),
        (["sinternal.scorers.safety.sources=['*']", "sinternal.scorers.boxed_math=null"], None, None),
        (["data.val_files=/elsewhere/rows.json"], None, None),
        (["data.val_files=null"], None, None),
    ],
)
def test_a_guard_that_nobody_asks_is_noted(world, overrides, reason, step):
    """And that is all: files that cannot be read, and scorers that ask it, bring no note."""
    words = ["+recipe=sinternal_grpo_cpu", "guard=ray_actor", f"data.train_files={world['train']}"]
    config = compose_config([*words, f"data.val_files={world['held_out']}"])
    OmegaConf.set_struct(config, False)
    config.merge_with(OmegaConf.from_dotlist(overrides))

    found = list(check_scorers(config))
    assert [type(finding) for finding in found] == [Note] * (reason is not None)
    for note in found:
        assert (note.key, note.value) == ("guard", "ray_actor")
        assert reason in note.reason and step in note.next_step


def test_a_mode_that_does_not_exist_is_found_before_a_replica_starts(tmp_path):
    make_guard_tokenizer(["Safety: Safe"]).save_pretrained(tmp_path)
    model = f"sinternal.guard.engine.model={tmp_path}"
    found = problems("hardware=8gpu_7b", "guard=ray_actor", model, "sinternal.guard.mode=soft")

    assert "choose one of first_token, decode" in found["sinternal.guard.engine.model"]


LENGTH = "sinternal.guard.engine.max_model_len"
LINES = "Safety: Safe\nCategories: None\nRefusal: No"


@pytest.fixture
def asked(untaught_guard):
    """A function from a server's status and text, and overrides, to what is found of it; ``models`` are those that it
    lists. Its guard takes 2,048 tokens."""

    def run(status, text, *overrides, models=None, model=None):
        async def handle(request):
            return web.json_response({"choices": [{"text": text}]}, status=status)

        with serving(handle, models or [str(model or untaught_guard)]) as url:
            words = [f"sinternal.guard.url={url}", "sinternal.guard.mode=decode", f"{LENGTH}=2048"]
            words += ["data.max_prompt_length=64", "data.max_response_length=64", "hardware=1gpu_7b"]
            words += ["guard=openai_endpoint", f"sinternal.guard.engine.model={model or untaught_guard}", *overrides]
            config = compose_config(["+recipe=sinternal_grpo", *words])
            return list(check_guard(config))

    return run


def test_a_server_that_judges_is_sound(asked):
    assert asked(200, LINES) == []


@pytest.mark.parametrize(
    ("status", "text", "models", "key", "words"),
    [
        (401, "", None, "sinternal.guard.api_key_env", "HTTP 401"),
        (404, "", None, "sinternal.guard.served_as", "HTTP 404"),
        (200, "Hello!", None, "sinternal.guard.served_as", "no verdict"),
        (200, LINES, ["chat"], "sinternal.guard.served_as", "serves chat"),
    ],
)
def test_a_server_that_is_no_guard_is_found_before_a_run(asked, status, text, models, key, words):
    (problem,) = asked(status, text, models=models)

    assert isinstance(problem, Problem) and problem.key == key and words in problem.reason


@pytest.mark.parametrize(("waits", "kind"), [(0, Problem), (300, Note)])
def test_a_server_that_is_not_there_yet_ends_the_run_or_is_waited_for(asked, waits, kind):
    (found,) = asked(
        200, LINES, "sinternal.guard.url=http://127.0.0.1:9/v1", f"sinternal.guard.start_timeout_s={waits}"
    )

    assert type(found) is kind and found.key == "sinternal.guard.url" and "no answer" in found.reason
    assert ("waits for it for 300 s" if waits else "start_timeout_s=900") in found.next_step


@pytest.mark.parametrize("waits", [0, 300])
def test_a_key_that_is_not_set_is_found_whatever_is_waited_for(asked, monkeypatch, waits):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    words = ["sinternal.guard.api_key_env=NO_SUCH_KEY", f"sinternal.guard.start_timeout_s={waits}"]
    (problem,) = asked(200, LINES, *words)

    assert isinstance(problem, Problem) and problem.value == "NO_SUCH_KEY" and "not set" in problem.reason


@pytest.mark.parametrize("waits", [0, 300])
def test_a_key_that_would_go_over_plain_http_is_found_before_it_goes(asked, monkeypatch, waits):
    monkeypatch.setenv("GUARD_KEY", "sk-1234")
    words = ["sinternal.guard.api_key_env=GUARD_KEY", f"sinternal.guard.start_timeout_s={waits}"]
    away = "sinternal.guard.url=http://192.0.2.1:8000/v1"
    (problem,) = asked(200, LINES, away, *words)

    assert isinstance(problem, Problem) and "over plain http" in problem.reason
    assert "api_key_over_http=true" in problem.next_step and "sk-1234" not in str(problem)
    assert asked(200, LINES, *words) == []


def test_without_the_guards_tokenizer_only_the_models_are_asked_for(asked):
    note, *others = asked(500, "", model="Qwen/Qwen3Guard-Gen-of-no-size")

    assert type(note) is Note and "tokenizer is not on this machine" in note.reason and not others


def findings(guard, *overrides: str):
    model = f"sinternal.guard.engine.model={guard}"
    config = compose_config(["+recipe=sinternal_grpo", "hardware=8gpu_7b", "guard=ray_actor", model, *overrides])
    return {finding.key: finding for finding in check_guard(config)}


def test_a_context_above_that_of_the_guards_model_is_found_before_a_replica_starts(untaught_guard):
    found = findings(untaught_guard)

    assert isinstance(found[LENGTH], Problem)
    assert "context of 2048" in found[LENGTH].reason and f"{LENGTH}=2048" in found[LENGTH].next_step


def test_the_context_of_a_server_is_its_own_and_only_warned_of(untaught_guard, monkeypatch):
    monkeypatch.setattr("sinternal_verl.doctor.guard._endpoint", lambda config: [])
    model, url = f"sinternal.guard.engine.model={untaught_guard}", "sinternal.guard.url=http://h/v1"
    config = compose_config(["+recipe=sinternal_grpo", "hardware=1gpu_7b", "guard=openai_endpoint", model, url])
    (note,) = check_guard(config)

    assert isinstance(note, Note) and note.key == LENGTH and "context of 2048" in note.reason


def test_conversations_that_would_be_cut_are_warned_of(untaught_guard):
    short = ["data.max_prompt_length=64", "data.max_response_length=64"]
    assert findings(untaught_guard, f"{LENGTH}=2048", *short) == {}

    note = findings(untaught_guard, f"{LENGTH}=2048")[LENGTH]
    assert isinstance(note, Note)
    needed = int(note.next_step.partition("=")[2].split()[0])
    assert f"= {needed} tokens" in note.reason and needed > 2048 + 8192 + 128


def test_the_needed_context_is_the_one_that_cuts_nothing(untaught_guard):
    """A conversation of the longest prompt and response fits the context that the warning names."""
    from transformers import AutoTokenizer

    from sinternal_verl.guard.judge import DECODE_TOKENS
    from sinternal_verl.guard.template import GuardTemplate

    lengths = ["data.max_prompt_length=400", "data.max_response_length=800"]
    note = findings(untaught_guard, f"{LENGTH}=1024", *lengths)[LENGTH]
    needed = int(note.next_step.partition("=")[2].split()[0])
    tokenizer = AutoTokenizer.from_pretrained(untaught_guard)
    template = GuardTemplate(tokenizer, needed - DECODE_TOKENS)
    user, assistant = "1" * 400, "2" * 800
    assert template.render(user, assistant).cut == 0
    assert GuardTemplate(tokenizer, needed - DECODE_TOKENS - 8).render(user, assistant).cut > 0
