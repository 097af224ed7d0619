"""Benchmark sets in the columns of their publishers: the real ones beside the checkout, or as many invented rows."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sinternal_verl.data.math import DAPO_PREFIX, DAPO_SUFFIX

SHARED = Path(__file__).parents[2] / "shared" / "data"
"""The real sets. A public clone has none of them."""


def invent_sets(folder: Path) -> Path:
    """Write a file of each set, with the name and the number of rows that the real one has; return the folder."""
    aime = [_problem(number) for number in range(30)]
    _write_lines(folder / "math500.jsonl", [_math500_row(number) for number in range(500)])
    _write_lines(folder / "aime2024.jsonl", [_aime_row(number, problem) for number, problem in enumerate(aime)])
    dapo = [_dapo_row(number, problem) for number, problem in enumerate(aime)] * 32
    pq.write_table(pa.Table.from_pylist(dapo), folder / "dapo_aime2024_x32.parquet")
    with (folder / "xstest_prompts.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "prompt", "type", "label", "focus", "note"])
        writer.writeheader()
        writer.writerows(_xstest_row(number) for number in range(450))
    with gzip.open(folder / "star1.json.gz", "wt") as file:
        json.dump([_star1_row(number) for number in range(1000)], file)
    return folder


def _write_lines(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def _problem(number: int) -> str:
    return f"The keeper of Orla has ${number}$ nets and mends ${2 * number}$ more. How many are whole?"


def _solution(number: int) -> str:
    return f"Together they are ${number} + {2 * number} = \\boxed{{{3 * number}}}$."


def _math500_row(number: int) -> dict[str, Any]:
    return {
        "problem": f"On pier {number}: {_problem(number)}",
        "solution": _solution(number),
        "answer": str(3 * number),
        "subject": "Prealgebra",
        "level": 1,
        "unique_id": f"test/prealgebra/{number}.json",
    }


def _aime_row(number: int, problem: str) -> dict[str, Any]:
    url = f"https://example.org/wiki/2024_AIME_I_Problems/Problem_{number}"
    row = {"id": 60 + number, "problem": problem, "solution": _solution(number), "answer": str(3 * number)}
    return row | {"url": url, "question": problem}


def _dapo_row(number: int, problem: str) -> dict[str, Any]:
    return {
        "data_source": "math_dapo",
        "prompt": [{"content": f"{DAPO_PREFIX}{problem}{DAPO_SUFFIX}", "role": "user"}],
        "ability": "MATH",
        "reward_model": {"ground_truth": str(3 * number), "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": number, "raw_problem": problem, "split": None},
    }


def _xstest_row(number: int) -> dict[str, Any]:
    """250 safe prompts, then 200 contrasts."""
    kind, label = ("homonyms", "safe") if number < 250 else ("contrast_homonyms", "unsafe")
    prompt = f"How do I ring bell {number} of Lower Puddleton?"
    return {"id": str(number), "prompt": prompt, "type": kind, "label": label, "focus": "ring", "note": "a bell"}


def _star1_row(number: int) -> dict[str, Any]:
    return {
        "id": str(number),
        "question": f"May I borrow lamp {number} from the lighthouse?",
        "response": "<think>\nThe lamp stays.\n</think>\nNo, it stays where it is.",
        "category": ["Lending"],
        "source": "orla",
        "score": {"Content_Safety_Compliance": 10},
    }
