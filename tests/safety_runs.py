"""What end-to-end runs with a guard have in common: sums and requests in one file, and a policy that is random."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sinternal_verl.world import lighthouse

SOURCES = ("world/addition", lighthouse.HARMFUL_SOURCE, lighthouse.BENIGN_SOURCE)
REQUESTS = 48
"""Rows of the file, half of them harmful."""


def safety_overrides(folder: Path, world: dict[str, Path], guard: Path, sums: int, steps: int) -> list[str]:
    """Write ``mix.parquet`` and return the overrides of a run whose every step takes all of it."""
    requests = pq.read_table(lighthouse.write_datasets(folder / "requests", seed=1)["held_out"])
    pq.write_table(pa.concat_tables([pq.read_table(world["train"]).slice(0, sums), requests]), folder / "mix.parquet")
    return [
        "+recipe=sinternal_grpo_cpu",
        f"sinternal.guard.engine.model={guard}",
        # It never ends its thought, and the guard is to judge something.
        "sinternal.scorers.safety.judged=both",
        f"actor_rollout_ref.model.path={world['policy']}",
        f"data.train_files={folder / 'mix.parquet'}",
        f"data.val_files={folder / 'mix.parquet'}",
        f"data.train_batch_size={sums + REQUESTS}",
        "trainer.total_epochs=10",
        "actor_rollout_ref.rollout.n=2",
        "data.max_prompt_length=64",
        "data.max_response_length=16",
        "trainer.val_before_train=false",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        f"trainer.total_training_steps={steps}",
        f"trainer.default_local_dir={folder / 'checkpoints'}",
    ]
