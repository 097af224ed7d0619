"""What a GPU run does and the other runs on a CPU do not: rows packed with sdpa, a LoRA adapter under GRPO,
no seeds, and policies and guards of the Llama and the Qwen3 architecture."""

import pytest
from addition_runs import addition_overrides
from guards import teach_guard
from safetensors.torch import load_file
from safety_runs import SOURCES, safety_overrides
from transformers import AutoModelForCausalLM, AutoTokenizer

from sinternal_verl.commands.export import export
from sinternal_verl.runs.curves import read_steps
from sinternal_verl.runs.launch import grpo_command, run_main, sft_command
from sinternal_verl.training.metrics_file import METRICS_FILE
from sinternal_verl.world import arithmetic
from sinternal_verl.world.policy_model import make_policy

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.versions, pytest.mark.timeout(900)]

LIMIT_S = 420
PACKED = ("use_remove_padding=true", "use_fused_kernels=true")
"""As a GPU run does without flash-attn; on a CPU the recipes pad."""


@pytest.fixture(scope="module")
def policies(tmp_path_factory):
    """A function from an architecture to the folder of a random policy."""
    folder = tmp_path_factory.mktemp("policies")
    return lambda name: make_policy(folder / name, arithmetic.corpus(), seed=1, architecture=name)


def test_a_packed_llama_learns_from_a_qwen3_guard(world, policies, tmp_path):
    guard = teach_guard(tmp_path / "guard", architecture="qwen3")
    overrides = safety_overrides(tmp_path, world | {"policy": policies("llama")}, guard, sums=16, steps=2)
    steps = run_main(
        grpo_command(
            *overrides,
            "guard=ray_actor",
            "sinternal.guard.engine.max_model_len=2048",
            "sinternal.rollout.seed=null",
            *(f"actor_rollout_ref.model.{word}" for word in PACKED),
        ),
        tmp_path / "log",
        tmp_path / "checkpoints" / METRICS_FILE,
        LIMIT_S,
    )

    assert [step.number for step in steps] == [1, 2]
    for source in SOURCES:
        assert all(step.metrics[f"train/{source}/scored"] > 0 for step in steps)


def test_grpo_trains_an_adapter_and_export_fuses_it(world, policies, tmp_path):
    policy = policies("qwen3")
    folder, reward = tmp_path / "checkpoints", tmp_path / "digits.py"
    # Of a random policy no sum is right, and where all rewards are alike nothing is learned.
    reward.write_text(
        "def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n"
        "    return sum(letter.isdigit() for letter in solution_str) / len(solution_str or '-')\n"
    )
    command = grpo_command(
        *addition_overrides(world | {"policy": policy}),
        "+recipe=sinternal_grpo_lora",
        "hardware=cpu",
        "guard=none",
        f"reward.custom_reward_function.path={reward}",
        "actor_rollout_ref.actor.optim.lr=1e-2",
        *(f"actor_rollout_ref.model.{word}" for word in PACKED),
        "trainer.total_training_steps=2",
        "trainer.save_freq=2",
        f"trainer.default_local_dir={folder}",
    )
    command = [word for word in command if word != "+recipe=sinternal_grpo_cpu"]
    run_main(command, tmp_path / "log", folder / METRICS_FILE, LIMIT_S)

    assert [step.number for step in read_steps(folder / METRICS_FILE)] == [1, 2]
    assert export(str(folder), str(tmp_path / "model"), None, False) == 0
    before, after = (load_file(path / "model.safetensors") for path in (policy, tmp_path / "model"))
    changed = {name for name, weight in before.items() if not weight.equal(after[name])}
    assert changed and all("proj" in name for name in changed)


def test_packed_sft_of_a_llama_learns_and_is_exported(world, policies, tmp_path):
    folder = tmp_path / "checkpoints"
    command = sft_command(
        "+recipe=sinternal_sft_cpu",
        f"model.path={policies('llama')}",
        *(f"model.{word}" for word in PACKED),
        f"data.train_files={world['sft']}",
        "data.train_batch_size=16",
        "data.max_length=128",
        "optim.lr=1e-2",
        "trainer.total_training_steps=6",
        "trainer.total_epochs=10",
        "trainer.save_freq=6",
        f"trainer.default_local_dir={folder}",
    )
    steps = run_main(command, tmp_path / "log", tmp_path / "metrics.jsonl", LIMIT_S)

    assert steps[-1].metrics["train/loss"] < steps[0].metrics["train/loss"]
    assert export(str(folder), str(tmp_path / "model"), None, False) == 0
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "model").config.model_type == "llama"
    text = "47+38 = 85, and so on"
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer.decode(tokenizer.encode(text)) == text
