"""What a run writes to disk: checkpoints and dumps."""

from omegaconf import DictConfig

from sinternal_verl.config import get, is_ppo
from sinternal_verl.doctor.memory import ModelSize, Training
from sinternal_verl.plan.training import Batch

MOMENTS = 8
"""Bytes of AdamW's two moments of a weight, in fp32."""

DUMPED_TEXT, DUMPED_ROW = 1.05, 400
"""Bytes of a character in a dump, escapes included, and of the rest of a row: names, scores, outcome."""


def saved_bytes(config: DictConfig, size: ModelSize, training: Training) -> float:
    """Bytes of one checkpoint, as ``save_contents`` asks for its parts."""
    key = "actor_rollout_ref.actor.checkpoint" if is_ppo(config) else "checkpoint"
    contents = set(get(config, f"{key}.save_contents", ["model", "optimizer", "extra"]))
    parts = {
        "model": training.weight * size.total,
        "optimizer": MOMENTS * training.weight / 4 * size.trainable,
        "hf_model": training.weight * size.total,
    }
    return float(sum(part for name, part in parts.items() if name in contents))


def kept(config: DictConfig, saves: int) -> int:
    """Checkpoints that are on disk together at most. verl removes the oldest before it writes one, but never the only
    one. (verl 0.9.1, `ensure_checkpoint_capacity`)"""
    most = get(config, "trainer.max_actor_ckpt_to_keep" if is_ppo(config) else "trainer.max_ckpt_to_keep")
    return min(saves, max(most, 2)) if most else saves


def dumped_bytes(batch: Batch, characters: float) -> float:
    """Bytes of the rollouts of one step."""
    return batch.tokens * characters * DUMPED_TEXT + len(batch.lengths) * DUMPED_ROW
