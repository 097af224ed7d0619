"""What end-to-end runs with a guard have in common: sums and requests in one file, and a policy that is random."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sinternal_verl.overrides import override
from sinternal_verl.world import lighthouse

SUMS = "world/addition"
ROWS = {SUMS: 8, lighthouse.HARMFUL_SOURCE: 4, lighthouse.BENIGN_SOURCE: 4}
"""Of the file, by source."""

ROLLOUTS = 32
"""Of a step: 8 prompts x 4 responses."""

STEPS_PER_EPOCH = 2


def safety_overrides(folder: Path, world: dict[str, Path], guard: Path) -> list[str]:
    """Write ``mix.parquet`` and return overrides of verl's GRPO main, less how long it runs and where it saves."""
    requests = pq.read_table(lighthouse.write_datasets(folder / "requests", seed=1)["held_out"])
    both = pa.concat_tables([pq.read_table(world["train"]), requests])
    chosen = [both.filter(pc.equal(both["data_source"], source)).slice(0, rows) for source, rows in ROWS.items()]
    pq.write_table(pa.concat_tables(chosen), folder / "mix.parquet")
    return [
        "+recipe=sinternal_grpo_cpu",
        override("sinternal.guard.engine.model", guard),
        "sinternal.guard.engine.max_model_len=1024",
        # It never ends its thought, and the guard is to judge something.
        "sinternal.scorers.safety.judged=both",
        override("actor_rollout_ref.model.path", world["policy"]),
        override("data.train_files", folder / "mix.parquet"),
        override("data.val_files", folder / "mix.parquet"),
        "data.train_batch_size=8",
        "actor_rollout_ref.actor.ppo_mini_batch_size=4",
        "actor_rollout_ref.rollout.n=4",
        "data.max_prompt_length=64",
        "data.max_response_length=16",
        "trainer.val_before_train=false",
        "trainer.test_freq=-1",
    ]
