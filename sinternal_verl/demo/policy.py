"""What both demos begin with: a folder, the world's data, and a policy that SFT teaches imperfectly."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sinternal_verl.demo.settings import SFT_STEPS, sft_overrides
from sinternal_verl.world import arithmetic, lighthouse

LIMIT_S = 900
"""Each command of a demo is ended after this many seconds."""

MARKER = ".sinternal_demo"
"""A file in every folder that a demo wrote. A folder without it is never removed."""


@dataclass(frozen=True)
class Lessons:
    """The data, and the SFT that makes the policy.

    Attributes:
        sums, requests: the files ``sft``, ``train`` and ``held_out`` of each.
        overrides: of the recipe, for verl's SFT main.
        taught: the folder that the main leaves the policy in.
    """

    sums: dict[str, Path]
    requests: dict[str, Path]
    overrides: list[str]
    taught: Path


def clear(folder: Path) -> None:
    """Remove an earlier demo, because verl would resume its checkpoints.

    Raises:
        FileExistsError: the folder holds something that no demo wrote.
    """
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).is_file():
            raise FileExistsError(f"{folder} is not empty and no demo wrote it: give another folder with --out")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()


def prepare_policy(folder: Path, seed: int) -> Lessons:
    """Write the data and a policy of half a million random weights."""
    from sinternal_verl.world.policy_model import make_policy

    sums = arithmetic.write_datasets(folder / "data" / "sums", seed)
    requests = lighthouse.write_datasets(folder / "data" / "requests", seed)
    policy = make_policy(folder / "policy", [*arithmetic.corpus(), *lighthouse.corpus()], seed)
    both = folder / "data" / "sft.parquet"
    pq.write_table(pa.concat_tables([pq.read_table(sums["sft"]), pq.read_table(requests["sft"])]), both)
    overrides = sft_overrides(folder / "sft", policy, both, seed, SFT_STEPS)
    return Lessons(sums, requests, overrides, folder / "sft" / f"global_step_{SFT_STEPS}" / "huggingface")
