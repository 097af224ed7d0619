"""The report of a build: ``README.md``, which is also its dataset card, and ``report.png``.

It shows what became of every prompt, answer and critique, so that a reader sees where a build lost data. Beside the
expert's verdicts on the selected answers it may show Qwen3Guard's. These filter nothing: they are a second opinion,
and if the two rarely agree, look at the data. The guard's verdicts are stored like every other reply.
"""

import io
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from sinternal_verl.data.schema import read_provenance, write_whole
from sinternal_verl.guard.backend import connect
from sinternal_verl.guard.errors import GuardUnavailable
from sinternal_verl.hashing import GROUP_BYTES, key_in, key_of
from sinternal_verl.verify.fill import Request
from sinternal_verl.verify.origin import weights_of
from sinternal_verl.verify.select import Example
from sinternal_verl.verify.store import Reply, Store
from sinternal_verl.verify.writer import Cost, Messages, WriterFailed, unbounded

NO_VERDICT = "no verdict"
CARD, PICTURE = "README.md", "report.png"
SAMPLE_ROWS = 10
MAX_CELL_CHARACTERS = 160
"""The most characters of a text in the table of rows."""


def write_report(
    data: Path, seed: int, counts: Mapping[str, int], agrees: Mapping[tuple[str, str], int] | None = None
) -> None:
    """Write card and picture beside ``data``, a file of `sinternal_verl.verify.select`.

    Args:
        seed: chooses the rows that the card shows.
        counts: counts of prompts, answers, critiques and examples, named ``kind/what``.
        agrees: counts of (the expert's verdict, the guard's label); None where no guard was asked.
    """
    rows = pq.read_table(data, columns=["critique", "verdict"]).to_pylist()
    lengths = {
        verdict: [len(row["critique"].split()) for row in rows if row["verdict"] == verdict]
        for verdict in ("safe", "unsafe")
    }
    _draw(counts, lengths, data.with_name(PICTURE))
    parts = [
        _front_matter(len(rows)),
        "# Data for verl's SFT\n\nMade by `sinternal-verl verify build`; `prompt` and `completion` are what is read. "
        "A row is one answer of a model, with an expert's critique and verdict.",
        f"![counts and lengths]({PICTURE})",
        "## What became of it\n\n" + _table(("", "count"), [(name, f"{n:,}") for name, n in sorted(counts.items())]),
        "## Critiques\n\n" + _table(("verdict", "examples", "words, median", "shortest", "longest"), _lengths(lengths)),
    ]
    if agrees is not None:
        parts.append("## The expert and the guard\n\n" + _agreement(agrees))
    parts += [
        f"## {SAMPLE_ROWS} rows, at random\n\n" + _sample(data, seed),
        "## Made of\n\n```json\n" + json.dumps(read_provenance(data), indent=2, ensure_ascii=False) + "\n```",
    ]
    write_whole(data.with_name(CARD), "\n\n".join(parts) + "\n")


def _front_matter(rows: int) -> str:
    size = "n<1K" if rows < 1_000 else "1K<n<10K" if rows < 10_000 else "10K<n<100K" if rows < 100_000 else "100K<n<1M"
    return (
        "---\n"
        "task_categories: [text-generation]\n"
        "tags: [safety, verification, sinternal]\n"
        f"size_categories: [{size}]\n"
        "configs: [{config_name: default, data_files: train.parquet}]\n"
        "---"
    )


def _lengths(lengths: Mapping[str, list[int]]) -> list[tuple[str, ...]]:
    return [
        (
            verdict,
            f"{len(words):,}",
            *(str(value) for value in (sorted(words)[len(words) // 2], min(words), max(words))),
        )
        for verdict, words in lengths.items()
        if words
    ]


def _agreement(agrees: Mapping[tuple[str, str], int]) -> str:
    labels = sorted({label for _, label in agrees})
    rows = [
        (f"expert: {verdict}", *(f"{agrees.get((verdict, label), 0):,}" for label in labels))
        for verdict in ("safe", "unsafe")
    ]
    table = _table(("", *(f"guard: {label}" for label in labels)), rows)
    judged = {pair: count for pair, count in agrees.items() if pair[1] != NO_VERDICT}
    if not judged:
        return table
    same = sum(count for (verdict, label), count in judged.items() if (verdict == "safe") == (label == "Safe"))
    total = sum(judged.values())
    return f"{table}\n\nThey agree on {same / total:.1%} of {total:,}, Controversial taken for unsafe."


def _sample(data: Path, seed: int) -> str:
    table = pq.read_table(data, columns=["harm", "request", "answer", "critique", "verdict"])
    chosen = sorted(random.Random(seed).sample(range(table.num_rows), min(SAMPLE_ROWS, table.num_rows)))
    rows = [tuple(_cell(value) for value in row.values()) for row in table.take(chosen).to_pylist()]
    return _table(table.column_names, rows)


def _cell(text: str) -> str:
    """The text as one cell of a table: one line, shortened, with markup escaped."""
    line = " ".join(text.split())
    line = line if len(line) <= MAX_CELL_CHARACTERS else line[: MAX_CELL_CHARACTERS - 1] + "…"
    return line.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _table(header: Any, rows: Any) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _draw(counts: Mapping[str, int], lengths: Mapping[str, list[int]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    kinds = [kind for kind in ("prompts", "answers", "critiques") if any(key.startswith(f"{kind}/") for key in counts)]
    bars = [(key, counts[key]) for kind in kinds for key in sorted(counts) if key.startswith(f"{kind}/")][::-1]
    shown = {verdict: words for verdict, words in lengths.items() if words}
    figure, panels = plt.subplots(1, 2 if shown else 1, figsize=(11, 4.5), layout="constrained", squeeze=False)
    axes = panels[0]
    colours = [f"C{kinds.index(key.partition('/')[0])}" for key, _ in bars]
    drawn = axes[0].barh([key for key, _ in bars], [count for _, count in bars], color=colours)
    axes[0].bar_label(drawn, labels=[f"{count:,}" for _, count in bars], padding=3)
    axes[0].set(title="what became of prompts, answers and critiques", xlabel="count")
    axes[0].margins(x=0.18)
    if shown:
        axes[1].hist(list(shown.values()), bins=20, label=list(shown), stacked=True)
        axes[1].set(title="critiques of the examples", xlabel="words", ylabel="examples")
        axes[1].legend(frameon=False)
    # The file holds no date and no version, so the same build gives the same picture.
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, format="png", metadata={"Software": None})
    plt.close(figure)
    write_whole(path, picture.getvalue())


class GuardWriter:
    """The guard of a ``sinternal.guard`` node as a writer: it answers a conversation with its label."""

    def __init__(self, guard: Mapping[str, Any]) -> None:
        self._guard = connect(guard)

    async def write(self, messages: Messages, seed: int | None, cost: Cost = unbounded) -> Reply:
        user, assistant = (message["content"] for message in messages)
        try:
            judgement = await self._guard.judge(user, assistant, refusal=False)
        except (GuardUnavailable, TimeoutError) as error:
            raise WriterFailed(type(error).__name__, str(error), away=True) from error
        return Reply(judgement.verdict.safety.value if judgement.verdict else NO_VERDICT)

    async def close(self) -> None:
        await self._guard.close()


def guard_requests(examples: Iterable[Example], guard: Mapping[str, Any]) -> Iterator[Request]:
    group = _group(guard)
    for example in examples:
        messages = [
            {"role": "user", "content": example.prompt.text},
            {"role": "assistant", "content": example.answer.text},
        ]
        yield Request(_key(group, example), messages)


def agreement(examples: Iterable[Example], guard: Mapping[str, Any], store: Store) -> Counter[tuple[str, str]]:
    """How often each pair (expert's verdict, guard's label) occurs."""
    group, counts = _group(guard), Counter[tuple[str, str]]()
    for example in examples:
        reply = store.get(_key(group, example))
        counts[example.critique.verdict, NO_VERDICT if reply is None else reply.text] += 1
    return counts


def _group(guard: Mapping[str, Any]) -> bytes:
    engine = guard["engine"]
    who = {"model": weights_of(engine["model"], None, served=True) or engine["model"], "mode": guard["mode"]}
    return key_of("guard", who, engine["max_model_len"], size=GROUP_BYTES)


def _key(group: bytes, example: Example) -> bytes:
    return key_in(group, example.prompt.text, example.answer.text)
