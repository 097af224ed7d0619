"""What a GPU run does and the other runs on a CPU do not: rows packed with sdpa, an adapter under GRPO, no seeds,
verl's own server and router for the guard, a policy of the Llama architecture and a guard of Qwen3's. (A policy of
Qwen3's: ``test_verify_run.py``.)"""

import pytest
from guards import constant_lessons, teach_guard
from safetensors.torch import load_file
from safety_runs import ROWS, safety_overrides
from transformers import AutoModelForCausalLM, AutoTokenizer

from sinternal_verl.commands.export import export
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


DIGITS = """
from sinternal_verl.scoring.registry import scorer
from sinternal_verl.scoring.score import Outcome, Sample, Score

@scorer("digits")
def digits(sample: Sample) -> Score:
    return Score(sum(letter.isdigit() for letter in sample.response) / len(sample.response or "-"), Outcome.SCORED)
"""
"""Of a policy of random weights no sum is right, and where all rewards are alike nothing is learned."""


def test_an_adapter_of_a_packed_llama_learns_without_seeds_from_a_qwen3_guard_behind_verls_router_and_is_exported(
    world, policies, tmp_path
):
    policy, folder = policies("llama"), tmp_path / "checkpoints"
    guard = teach_guard(tmp_path / "guard", constant_lessons(), architecture="qwen3")
    (tmp_path / "my_scorer.py").write_text(DIGITS)
    _, *overrides = safety_overrides(tmp_path, world | {"policy": policy}, guard)
    command = grpo_command(
        "+recipe=sinternal_grpo_lora",
        "hardware=cpu",
        "guard=verl_router",
        *overrides,
        # A pool of its own: one logical GPU more than training has, and the CPUs of its bundle.
        "sinternal.guard.n_gpus=1",
        "ray_kwargs.ray_init.num_gpus=2",
        "ray_kwargs.ray_init.num_cpus=24",
        "sinternal.rollout.seed=null",
        f"+sinternal.scorers.digits={{path: {tmp_path / 'my_scorer.py'}, sources: [world/addition]}}",
        "actor_rollout_ref.actor.optim.lr=1e-2",
        *(f"actor_rollout_ref.model.{word}" for word in PACKED),
        f"data.train_batch_size={sum(ROWS.values())}",
        "trainer.total_epochs=2",
        "trainer.total_training_steps=2",
        "trainer.save_freq=2",
        f"trainer.default_local_dir={folder}",
    )
    steps = run_main(command, tmp_path / "log", folder / METRICS_FILE, LIMIT_S)

    assert [step.number for step in steps] == [1, 2]
    for source, rows in ROWS.items():
        for step in steps:
            assert step.metrics[f"train/{source}/rows"] == 4 * rows
            assert step.metrics[f"train/{source}/scored"] == 1.0
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
