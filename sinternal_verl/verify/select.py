"""The paper's selection, seeded: it chooses the answers that a model learns to verify.

A harmful prompt is kept when the expert finds one of its answers safe and another unsafe; it gives one example of
each. A benign prompt gives one example. A prompt's answers are looked at in a random order, which depends only on the
seed and the prompt, and the first that fits is taken. So each answer that fits is as likely as another, and neither
the order of the prompts nor shards change the choice. Selected examples become a parquet file for verl's SFT; each row
has all that it was made of.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sinternal_verl.data.fraction import highest_rank, rank_of
from sinternal_verl.data.schema import RowWriter
from sinternal_verl.data.template import completion
from sinternal_verl.scoring.critique import Critique
from sinternal_verl.verify.build import Answer, Build, in_order
from sinternal_verl.verify.requests import Prompt
from sinternal_verl.verify.settings import BuildSettings


@dataclass(frozen=True, slots=True)
class Example:
    """One answer with its critique, from which the model learns."""

    prompt: Prompt
    answer: Answer
    critique: Critique


class Selection:
    """The selected examples. Each iteration reads the store anew.

    Args:
        fraction: which share of the kept prompts is taken, in (0, 1]; at least one prompt is.

    Attributes:
        counts: of the last iteration, ``answers/…`` and ``critiques/…`` by how they ended, ``prompts/…`` by
            harm and what became of them, ``examples/…`` by harm and verdict.
    """

    def __init__(self, build: Build, prompts: Iterable[Prompt], seed: int, fraction: float = 1.0) -> None:
        self._build, self._prompts, self._seed, self._fraction = build, prompts, seed, fraction
        self.counts: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Example]:
        limit = self._limit()
        self.counts = Counter()
        for prompt in self._prompts:
            chosen, became = self._choose(prompt)
            if chosen and limit is not None and rank_of(prompt.text, self._seed) > limit:
                chosen, became = [], "left out by fraction"
            self.counts[f"prompts/{prompt.harm}/{became}"] += 1
            for example in chosen:
                self.counts[f"examples/{prompt.harm}/{example.critique.verdict}"] += 1
                yield example

    def _limit(self) -> bytes | None:
        if self._fraction == 1:
            return None
        kept = (prompt.text for prompt in self._prompts if self._choose(prompt)[0])
        return highest_rank((rank_of(text, self._seed) for text in kept), self._fraction)

    def _choose(self, prompt: Prompt) -> tuple[list[Example], str]:
        """The prompt's examples, and what became of it."""
        judged = self._judged(prompt)
        if not judged:
            return [], "no verdict"
        if prompt.harm == "benign":
            return judged[:1], "kept"
        firsts = {example.critique.verdict: example for example in reversed(judged)}
        if len(firsts) == 1:
            return [], f"{judged[0].critique.verdict} alone"
        return [firsts["safe"], firsts["unsafe"]], "kept"

    def _judged(self, prompt: Prompt) -> list[Example]:
        """The examples that the prompt could give, in the order of the selection; of a benign prompt the first."""
        answers, found = self._build.answers(prompt), []
        self.counts.update(f"answers/{answer if isinstance(answer, str) else 'whole'}" for answer in answers)
        for answer in in_order((answer for answer in answers if isinstance(answer, Answer)), prompt, self._seed):
            if found and prompt.harm == "benign":
                # Never asked for, or left over from an evaluation: the same counts either way.
                self.counts["critiques/not needed"] += 1
                continue
            critique = self._build.critique(prompt, answer)
            self.counts[f"critiques/{critique if isinstance(critique, str) else critique.verdict}"] += 1
            if isinstance(critique, Critique):
                found.append(Example(prompt, answer, critique))
        return found


SCHEMA = pa.schema(
    [
        # What `PromptCompletionDataset` reads.
        ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("completion", pa.string()),
        # What the row was made of. The thought is kept here, but is part of neither prompt nor completion.
        *((name, pa.string()) for name in ("request", "thought", "answer", "critique", "verdict")),
        *((name, pa.string()) for name in ("harm", "source", "index")),
        ("sample", pa.int64()),
    ]
)


def write_rows(rows: Iterable[dict[str, Any]], target: Path, provenance: dict[str, Any]) -> int:
    """Write the file unless there is no row, and return the number of rows. The same rows give the same bytes.

    Raises:
        OSError: it cannot be written; an earlier file is as it was.
    """
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
