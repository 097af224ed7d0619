r"""Additions of two two-digit numbers that need a carry.

SFT teaches the sums from worked examples in which the carry is *often forgotten*. So the policy knows the right
way and the wrong way, and mostly takes the wrong one. GRPO, with only the boxed answer as its reward, must then
make the right way win.

>>> problem = Problem(47, 38)
>>> problem.prompt
'Compute 47+38 and box the answer.'
>>> problem.completion(forget_carry=False)
'7+8=15, carry 1. 4+3+1=8.\n</think>\n\n\\boxed{85}'
>>> problem.completion(forget_carry=True)
'7+8=15. 4+3=7.\n</think>\n\n\\boxed{75}'
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sinternal_verl.data.schema import rl_row, write_rl_rows

DATA_SOURCE = "world/addition"

FORGOTTEN_CARRY_SHARE = 0.6
"""Share of the worked examples that forget the carry. Held-out accuracy starts near 1 minus this share."""


@dataclass(frozen=True)
class Problem:
    """``left + right``, both in 10..99, with units that sum to at least ten."""

    left: int
    right: int

    @property
    def prompt(self) -> str:
        return f"Compute {self.left}+{self.right} and box the answer."

    @property
    def answer(self) -> str:
        return str(self.left + self.right)

    def completion(self, forget_carry: bool) -> str:
        """The text after an opening ``<think>``: the thought, its closing tag, the boxed answer."""
        (tens_l, units_l), (tens_r, units_r) = divmod(self.left, 10), divmod(self.right, 10)
        units = units_l + units_r
        if forget_carry:
            tens, working = tens_l + tens_r, f"{units_l}+{units_r}={units}. {tens_l}+{tens_r}={tens_l + tens_r}."
        else:
            tens = tens_l + tens_r + 1
            working = f"{units_l}+{units_r}={units}, carry 1. {tens_l}+{tens_r}+1={tens}."
        return f"{working}\n</think>\n\n\\boxed{{{tens}{units % 10}}}"


def all_problems() -> list[Problem]:
    """Every addition of the world, 3,645 of them, in a fixed order."""
    return [Problem(a, b) for a in range(10, 100) for b in range(10, 100) if a % 10 + b % 10 >= 10]


def corpus() -> list[str]:
    """All texts of the sums, to train a tokenizer on."""
    return [
        text
        for p in all_problems()
        for text in (p.prompt, p.completion(forget_carry=False), p.completion(forget_carry=True))
    ]


def write_datasets(folder: Path, seed: int, held_out: int = 64) -> dict[str, Path]:
    """Write ``sft.parquet``, ``train.parquet`` and ``held_out.parquet``; return their paths.

    The held-out problems appear in neither of the others. ``sft`` has columns ``prompt`` (a list of
    ``{role, content}``) and ``completion`` (str); the other two have `RL_SCHEMA`.
    """
    rng = random.Random(seed)
    problems = all_problems()
    rng.shuffle(problems)
    held, seen = problems[:held_out], problems[held_out:]
    sft = [
        {
            "prompt": _messages(problem),
            "completion": problem.completion(forget_carry=rng.random() < FORGOTTEN_CARRY_SHARE),
        }
        for problem in seen
    ]
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.parquet" for name in ("sft", "train", "held_out")}
    pq.write_table(pa.Table.from_pylist(sft), paths["sft"])
    for split, members in (("train", seen), ("held_out", held)):
        write_rl_rows(paths[split], _rl_rows(members, split))
    return paths


def _messages(problem: Problem) -> list[dict[str, str]]:
    return [{"role": "user", "content": problem.prompt}]


def _rl_rows(problems: list[Problem], split: str) -> Iterator[dict[str, Any]]:
    for index, problem in enumerate(problems):
        yield rl_row(
            data_source=DATA_SOURCE,
            content=problem.prompt,
            ground_truth=problem.answer,
            index=str(index),
            split=split,
        )
