"""Selected examples as a parquet file for verl's SFT, each row with all that it was made of."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from sinternal_verl.data.schema import RowWriter
from sinternal_verl.verify.prompt import completion
from sinternal_verl.verify.select import Example
from sinternal_verl.verify.settings import BuildSettings
from sinternal_verl.verify.stages import Build

SCHEMA = pa.schema(
    [
        # What `PromptCompletionDataset` reads.
        ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("completion", pa.string()),
        # What it was made of; the thought is kept and stands in neither.
        *((name, pa.string()) for name in ("request", "thought", "answer", "critique", "verdict")),
        *((name, pa.string()) for name in ("harm", "source", "index")),
        ("sample", pa.int64()),
    ]
)


def write_rows(rows: Iterable[dict[str, Any]], target: Path, provenance: dict[str, Any]) -> int:
    """Write the file, unless there is no row, and return how many there are; the same rows give the same bytes."""
    count = 0
    with RowWriter(target, SCHEMA) as writer:
        for row in rows:
            writer.add(row)
            count += 1
        if count:
            writer.finish(provenance)
    return count


def row_of(example: Example, build: Build, settings: BuildSettings) -> dict[str, Any]:
    prompt, answer, critique = example.prompt, example.answer, example.critique
    return {
        "prompt": [{"role": "user", "content": build.verification(prompt, answer)}],
        "completion": completion(critique, settings.target, settings.thinks),
        "request": prompt.text,
        "thought": answer.thought,
        "answer": answer.text,
        "critique": critique.text,
        "verdict": critique.verdict,
        "harm": prompt.harm,
        "source": prompt.source,
        "index": prompt.index,
        "sample": answer.sample,
    }
