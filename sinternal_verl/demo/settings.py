"""The demo's overrides of our recipes, for models of half a million weights and fewer."""

from pathlib import Path

from sinternal_verl.overrides import override

SFT_STEPS = 640
GUARD_STEPS = 400
GRPO_STEPS = 26

LONGEST_PROMPT, LONGEST_RESPONSE, LONGEST_CONVERSATION = 32, 48, 1024
"""The most tokens of a prompt, of a response, and of a conversation as the guard sees it."""


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
