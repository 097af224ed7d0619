"""The demo's overrides of our recipes, for models of half a million weights and fewer."""

from pathlib import Path

from sinternal_verl.overrides import override
from sinternal_verl.runs.curves import Step
from sinternal_verl.world import expert

SFT_STEPS = 640
GUARD_STEPS = 400
GRPO_STEPS = 26
VERIFY_SFT_STEPS = 300

LONGEST_PROMPT, LONGEST_RESPONSE, LONGEST_CONVERSATION = 32, 48, 1024
"""The most tokens of a prompt, of a response, and of a conversation as the guard sees it."""

LONGEST_VERIFICATION, LONGEST_CONTEXT = 60, 512
"""The most tokens that the policy writes in stage 1, and its context."""


def sft_overrides(folder: Path, model: Path, data: Path, seed: int, steps: int) -> list[str]:
    """Overrides that train all weights of a small random model; the recipe's LoRA and rate are for a large trained
    model."""
    return [
        "+recipe=sinternal_sft_cpu",
        override("model.path", model),
        "model.lora_rank=0",
        override("data.train_files", data),
        "data.train_batch_size=16",
        "data.max_length=128",
        "optim.lr=2e-3",
        "optim.betas=[0.9,0.95]",
        f"trainer.seed={seed}",
        "trainer.total_epochs=100",
        f"trainer.total_training_steps={steps}",
        f"trainer.save_freq={steps}",
        override("trainer.default_local_dir", folder),
        "checkpoint.save_contents=[model,optimizer,extra,hf_model]",
    ]


def guard_overrides(folder: Path, model: Path, data: Path, seed: int, steps: int) -> list[str]:
    """The same for the guard, which has longer prompts and fewer weights."""
    return [*sft_overrides(folder, model, data, seed, steps), "data.max_length=256", "optim.lr=3e-3"]


def grpo_overrides(
    folder: Path, model: Path, train: Path, held_out: list[Path], guard: Path, seed: int, steps: int
) -> list[str]:
    """Overrides of the GRPO recipe: 24 prompts x 8 responses a step, and a learning rate for half a million weights."""
    return [
        "+recipe=sinternal_grpo_cpu",
        "guard=ray_actor",
        override("sinternal.guard.engine.model", guard),
        f"sinternal.guard.engine.max_model_len={LONGEST_CONVERSATION}",
        override("actor_rollout_ref.model.path", model),
        override("data.train_files", train),
        override("data.val_files", held_out),
        f"data.seed={seed}",
        "data.train_batch_size=24",
        f"data.max_prompt_length={LONGEST_PROMPT}",
        f"data.max_response_length={LONGEST_RESPONSE}",
        "actor_rollout_ref.actor.optim.lr=1e-4",
        "actor_rollout_ref.actor.ppo_mini_batch_size=8",
        "actor_rollout_ref.actor.checkpoint.save_contents=[model,optimizer,extra,hf_model]",
        f"trainer.total_training_steps={steps}",
        "trainer.total_epochs=100",
        f"trainer.save_freq={steps}",
        f"trainer.test_freq={steps}",
        override("trainer.default_local_dir", folder),
    ]


def describe_sft(step: Step) -> str:
    """What a progress line shows of a step of SFT."""
    return f"loss {step.metrics['train/loss']:.3f}"


def verify_overrides(folder: Path, model: Path, prompts: Path, url: str, seed: int) -> list[str]:
    """Overrides of `sinternal-verl verify` for a policy that vLLM runs in the command's own process.

    Args:
        url: where `sinternal_verl.world.expert` serves.
    """
    return [
        f"prompts={prompts}",
        f"out={folder}",
        f"seed={seed}",
        f"specification={expert.SPECIFICATION}",
        f"prompt={expert.PROMPT}",
        f"policy.model={model}",
        f"policy.request.max_tokens={LONGEST_VERIFICATION}",
        f"policy.engine.max_model_len={LONGEST_CONTEXT}",
        "policy.engine.dtype=float32",
        "policy.engine.gpu_memory_utilization=0.1",
        "policy.engine.enforce_eager=true",
        f"expert.model={expert.MODEL}",
        f"expert.url={url}",
        "expert.api_key_env=null",
    ]


def verify_sft_overrides(folder: Path, model: Path, data: Path, seed: int, steps: int) -> list[str]:
    """Overrides of the SFT recipe with its LoRA; only a policy of half a million weights needs such a rate."""
    return [
        "+recipe=sinternal_sft_cpu",
        f"model.path={model}",
        f"data.train_files={data}",
        "data.train_batch_size=16",
        f"data.max_length={LONGEST_CONTEXT}",
        "optim.lr=1e-3",
        f"trainer.seed={seed}",
        "trainer.total_epochs=100",
        f"trainer.total_training_steps={steps}",
        f"trainer.save_freq={steps}",
        f"trainer.default_local_dir={folder}",
    ]
