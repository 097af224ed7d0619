"""What end-to-end runs on sums have in common: 8 prompts x 4 short responses of a random policy a step."""

from pathlib import Path

from sinternal_verl.overrides import override


def addition_overrides(world: dict[str, Path]) -> list[str]:
    """Overrides of verl's GRPO main, less how long it runs and where it saves."""
    return [
        "+recipe=sinternal_grpo_cpu",
        override("actor_rollout_ref.model.path", world["policy"]),
        override("data.train_files", world["train"]),
        override("data.val_files", world["held_out"]),
        "data.train_batch_size=8",
        "actor_rollout_ref.actor.ppo_mini_batch_size=4",
        "actor_rollout_ref.rollout.n=4",
        "data.max_prompt_length=32",
        "data.max_response_length=16",
        "trainer.val_before_train=false",
        "trainer.test_freq=-1",
    ]
