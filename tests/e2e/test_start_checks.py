"""A bad configuration under verl's own mains: one report, the right exit code, no model loaded."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from safety_runs import safety_overrides
from servers import serving
from transformers import AutoModelForCausalLM, AutoTokenizer

from sinternal_verl.demo.settings import sft_overrides
from sinternal_verl.runs.launch import grpo_command, sft_command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(command: list[str], cwd) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=200)


def test_grpo_main_exits_with_2_and_lists_everything(world, tmp_path):
    done = run(
        grpo_command(
            "+recipe=sinternal_grpo_cpu",
            "actor_rollout_ref.model.path=/nowhere/model",
            f"data.train_files={tmp_path / 'missing.parquet'}",
            f"data.val_files={world['sft']}",
            "reward.custom_reward_function.path=missing.py",
            "reward_model.enable=true",
            "data.verification.specification=brief",
        ),
        tmp_path,
    )

    assert done.returncode == 2, done.stderr
    for text in ("/nowhere/model", "missing.parquet", "data_source", "missing.py", "reward_model.enable"):
        assert text in done.stderr
    assert "data.verification.specification = brief" in done.stderr
    assert "Started a local Ray instance" not in done.stdout + done.stderr


@pytest.mark.long
def test_the_default_on_a_machine_without_a_gpu_is_told_the_words(world, tmp_path):
    """They are typed as they are told, and the run would start but for the files."""
    words = ["+recipe=sinternal_grpo", "actor_rollout_ref.model.path=/nowhere/model"]
    files = [f"data.train_files={tmp_path / 'missing.parquet'}", f"data.val_files={world['held_out']}"]
    done = run(grpo_command(*words, *files), tmp_path)

    assert done.returncode == 2, done.stderr
    for text in ("/nowhere/model", "missing.parquet", "trainer.device = cuda", "add hardware=cpu guard=none"):
        assert text in done.stderr
    assert "3 problems" in done.stderr

    told = run(grpo_command(*words, *files, "hardware=cpu", "guard=none"), tmp_path)
    assert "2 problems" in told.stderr and "/nowhere/model" in told.stderr and "missing.parquet" in told.stderr


NO_GUARD = {
    "wants a key": (401, "", "HTTP 401"),
    "is not there": (404, "", "HTTP 404"),
    "chats": (200, "Hi!", "no verdict"),
}


@pytest.mark.long
@pytest.mark.parametrize("server", NO_GUARD)
def test_a_server_that_is_no_guard_ends_the_run_before_a_model_loads(world, untaught_guard, tmp_path, server):
    status, text, words = NO_GUARD[server]

    async def handle(request):
        return web.json_response({"choices": [{"text": text}]}, status=status)

    with serving(handle, [str(untaught_guard)]) as url:
        done = run(grpo_command(*safety_overrides(tmp_path, world, untaught_guard), *_endpoint(url)), tmp_path)

    assert done.returncode == 2, done.stderr[-3000:]
    assert words in done.stderr and "no model was loaded" in done.stderr


@pytest.mark.long
def test_a_server_that_stops_judging_before_the_first_rollout_ends_the_run_with_its_name(
    world, untaught_guard, tmp_path
):
    """The check has its verdict; then the key is refused."""
    seen = []

    async def handle(request):
        seen.append(request.path)
        lines = "Safety: Safe\nCategories: None\nRefusal: No"
        return web.json_response({"choices": [{"text": lines}]}, status=200 if len(seen) == 1 else 401)

    with serving(handle, [str(untaught_guard)]) as url:
        done = run(grpo_command(*safety_overrides(tmp_path, world, untaught_guard), *_endpoint(url)), tmp_path)

    assert done.returncode == 1, done.stderr[-3000:]
    ending = done.stderr[done.stderr.rindex("sinternal_verl: the run failed at step 0 of ") :]
    assert "sinternal.guard.api_key_env" in ending and "HTTP 401" in ending


@pytest.mark.long
def test_a_model_that_gives_no_verdict_ends_the_run_with_its_name(world, untaught_guard, tmp_path):
    words = [*safety_overrides(tmp_path, world, untaught_guard), "guard=ray_actor", "trainer.total_training_steps=1"]
    done = run(grpo_command(*words), tmp_path)

    assert done.returncode == 1, done.stderr[-3000:]
    ending = done.stderr[done.stderr.rindex("sinternal_verl: the run failed at step 0 of ") :]
    assert "this model is no guard" in ending and str(untaught_guard) in ending


def _endpoint(url: str) -> list[str]:
    return [
        "guard=openai_endpoint",
        f"sinternal.guard.url={url}",
        "sinternal.guard.mode=decode",
        "trainer.total_training_steps=1",
    ]


@pytest.mark.long
def test_a_guard_that_does_not_load_ends_the_run_with_its_name(world, untaught_guard, tmp_path):
    """Its files pass the checks; it fails while the trainer loads beside it."""
    guard = tmp_path / "guard"
    shutil.copytree(untaught_guard, guard)
    (weights,) = guard.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:2000])
    done = run(
        grpo_command(
            "+recipe=sinternal_grpo_cpu",
            "guard=ray_actor",
            f"actor_rollout_ref.model.path={world['policy']}",
            f"sinternal.guard.engine.model={guard}",
            "sinternal.guard.engine.max_model_len=1024",
            f"data.train_files={world['train']}",
            f"data.val_files={world['held_out']}",
            "data.train_batch_size=8",
            "data.max_prompt_length=32",
            "data.max_response_length=16",
        ),
        tmp_path,
    )

    assert done.returncode == 1, done.stderr[-3000:]
    ending = done.stderr[done.stderr.rindex("sinternal_verl: the run failed at step 0 of ") :]
    assert "GuardUnavailable" in ending and str(guard) in ending


def test_sft_main_fails_with_one_report_from_rank_0(world, tmp_path):
    done = run(
        sft_command(
            "+recipe=sinternal_sft_cpu",
            "model.path=/nowhere/model",
            f"data.train_files={world['train']}",
            "data.verification.target=judgment",
            processes=2,
        ),
        tmp_path,
    )

    assert done.returncode != 0
    assert done.stderr.count("problems in the configuration") == 1, done.stderr
    assert "/nowhere/model" in done.stderr and "completion" in done.stderr
    assert "data.verification.target = judgment" in done.stderr


@pytest.mark.long
def test_doctor_says_the_same_and_exits_with_2(tmp_path):
    done = run(
        [
            str(Path(sys.executable).with_name("sinternal-verl")),
            "doctor",
            "+recipe=sinternal_grpo_cpu",
            "data.train_files=/nowhere.parquet",
        ],
        tmp_path,
    )

    assert done.returncode == 2
    assert "/nowhere.parquet" in done.stderr


@pytest.mark.long
def test_a_warning_is_shown_and_the_run_goes_to_its_end_and_leaves_a_model_that_transformers_loads(world, tmp_path):
    overrides = [
        *sft_overrides(tmp_path / "checkpoints", world["policy"], world["sft"], seed=1, steps=2),
        "data.max_length=40",
        "data.truncation=right",
    ]
    done = run(sft_command(*overrides), tmp_path)

    assert done.returncode == 0, done.stderr
    assert "lose their end under data.truncation=right" in done.stderr
    taught = tmp_path / "checkpoints" / "global_step_2" / "huggingface"
    before, after = (AutoModelForCausalLM.from_pretrained(folder) for folder in (world["policy"], taught))
    assert any((a != b).any() for a, b in zip(before.parameters(), after.parameters(), strict=True))
    assert AutoTokenizer.from_pretrained(taught).chat_template
