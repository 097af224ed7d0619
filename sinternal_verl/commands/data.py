"""`sinternal-verl data math`, `safety`, `sft`, `mix` and `check`: what they print and return."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from sinternal_verl import __version__
from sinternal_verl.commands.messages import fail as _fail
from sinternal_verl.commands.messages import not_composed
from sinternal_verl.config import compose_main
from sinternal_verl.data.adapter import Adapter, Labels, Reader, Row, load_adapter
from sinternal_verl.data.answers import SFT_SCHEMA, Answers
from sinternal_verl.data.contamination import Evaluation, read_evaluation
from sinternal_verl.data.convert import Result, convert, rejected_path
from sinternal_verl.data.findings import Findings, Listing
from sinternal_verl.data.hub import Hub
from sinternal_verl.data.math import MathAdapter, MathReader
from sinternal_verl.data.mix import MixError, Part, Tally, contaminated_path, mix
from sinternal_verl.data.readers import Source, SourceError, open_source
from sinternal_verl.data.safety import Harm, SafetyAdapter, SafetyReader
from sinternal_verl.data.schema import RowWriter
from sinternal_verl.doctor.rows import CheckError, check_file, load_router
from sinternal_verl.scoring.registry import ScorerError
from sinternal_verl.scoring.response import Thought
from sinternal_verl.user_code import NEXT_STEP, UserCodeError


def convert_math(source: str, out: str, name: str | None, index: str | None, split: str | None, **options: Any) -> int:
    """Convert and report; return 0 when ``out`` was written, else 2.

    Args:
        name, index, split: see `Labels`.
        options: further arguments of `_convert`.
    """
    labels = Labels(name=name, split=split, index=index)

    def reader_of(first: Row, opened: Source, own: MathAdapter | None) -> Reader:
        return MathReader(first, labels, own)

    return _convert(source, out, reader_of, MathAdapter, **options)


def convert_safety(
    source: str, out: str, name: str | None, index: str | None, split: str | None, harm: Harm | None, **options: Any
) -> int:
    """As `convert_math`, for a safety set; ``harm`` is the label of all rows where the source has none."""
    labels = Labels(name=name, split=split, index=index)

    def reader_of(first: Row, opened: Source, own: SafetyAdapter | None) -> Reader:
        return SafetyReader(first, labels, harm, opened.rows, own)

    return _convert(source, out, reader_of, SafetyAdapter, **options)


def _hub(hub_config: str | None, hub_split: str | None, revision: str | None) -> Hub:
    return Hub(config=hub_config, split=hub_split, revision=revision)


def _convert(
    source: str,
    out: str,
    reader_of: Callable[[Row, Source, Adapter | None], Reader],
    kind: type[Adapter],
    skip_bad: bool,
    adapter: str | None,
    **of_hub: str | None,
) -> int:
    """Convert a source with the reader that fits it, and report.

    Args:
        kind: the kind of adapter that the user's file must have.
        adapter: the user's file with an ``ADAPTER``; None takes the first of ours that fits.
        of_hub: arguments of `_hub`.
    """
    target, hub = Path(out).expanduser(), _hub(**of_hub)
    try:
        _check_target(target, [source])
        own = load_adapter(adapter, kind) if adapter else None
        opened = open_source(source, hub)
        target.parent.mkdir(parents=True, exist_ok=True)
        result = convert(opened, target, partial(reader_of, own=own), skip_bad)
    except UserCodeError as error:
        return _fail(f"--adapter {adapter}: {error}; {NEXT_STEP}")
    except (SourceError, OSError) as error:
        return _fail(str(error))
    for line in result.bad.lines():
        print(line, file=sys.stderr)
    for line in _summary(result):
        print(line)
    _note_commit(opened)
    if result.bad.count or result.without_truth:
        print(f"every row left out and its reason: {rejected_path(target)}")
    if result.saved:
        print(f"wrote {out}")
        return 0
    if result.written:
        return _fail(f"{out} was not written: correct the bad rows, or leave them out with --skip-bad")
    return _fail(f"{out} was not written: there is no good row in {source}")


def convert_answers(
    source: str,
    out: str,
    thought: Thought,
    fraction: float,
    seed: int,
    against: Sequence[str],
    skip_bad: bool,
    **hub: str | None,
) -> int:
    """Write the whole answers of a set for verl's SFT and report; return 0 when ``out`` was written, else 2."""
    target, thinks, of_hub = Path(out).expanduser(), thought == "required", _hub(**hub)
    try:
        _check_target(target, [source, *against])
        if not 0 < fraction <= 1:
            raise SourceError(f"--fraction {fraction:g}: it must be in (0, 1]; 1 takes all, 0.5 half")
        evaluations = [read_evaluation(name) for name in against]
        answers = Answers(open_source(source, of_hub), thinks, seed, fraction, evaluations)
        target.parent.mkdir(parents=True, exist_ok=True)
        with Listing(rejected_path(target)) as rejected, RowWriter(target, SFT_SCHEMA) as writer:
            for row in answers:
                writer.add(row)
            for row in answers.bad:
                rejected.add(row)
            rejected.finish()
            written = answers.counts["answers/kept"] if skip_bad or not answers.bad else 0
            if written:
                origin = answers.source.origin()
                source_of = {"name": origin.get("hub") or Path(source).name, **origin}
                made_of = {"source": source_of, "thinks": thinks, "fraction": fraction, "seed": seed}
                counts = {"answers": dict(answers.counts)}
                writer.finish(
                    {"version": __version__, "target": "answer", "against": list(against), **made_of} | counts
                )
    except (SourceError, OSError) as error:
        return _fail(str(error))
    findings = Findings()
    for row in answers.bad:
        findings.add(f"{source}, {row['place']}: {row['reason']}")
    for line in findings.lines():
        print(line, file=sys.stderr)
    for name, count in sorted(answers.counts.items()):
        print(f"{name}: {count:,}")
    if answers.bad:
        print(f"every bad row and its reason: {rejected_path(target)}")
    _note_commit(answers.source)
    if not written and answers.counts["answers/kept"]:
        return _fail(f"{out} was not written: correct the bad rows, or leave them out with --skip-bad")
    if not written:
        return _fail(f"{out} was not written: no answer of {source} was kept, see the counts above")
    print(f"wrote {out}: {written:,} rows for +recipe=sinternal_sft")
    return 0


def _note_commit(source: Source) -> None:
    """Print what to type to read the same rows again, where a hub name leaves the commit open."""
    origin = source.origin()
    if (commit := origin.get("commit")) and origin["revision"] != commit:
        part = Hub(origin["config"], origin["split"], commit).name_of(origin["hub"])
        print(f"note: the hub is at commit {commit[:12]} now; --source {part} reads the same rows again")


def _check_target(target: Path, sources: Sequence[str]) -> None:
    """Check that ``target`` can be written.

    Raises:
        SourceError: it does not end in .parquet, is a folder, or is one of the files that are read.
    """
    if target.suffix != ".parquet":
        raise SourceError(f"--out {target}: verl reads the kind of a file off its name; end it in .parquet")
    if target.is_dir():
        raise SourceError(f"--out {target} is a folder; give a file in it")
    for source in map(Path, sources):
        if target.exists() and source.expanduser().exists() and target.samefile(source.expanduser()):
            raise SourceError(f"--out {target} is the source itself; give another file")


def _summary(result: Result) -> list[str]:
    lines = []
    if reader := result.reader:
        lines += [f"{source}: {rows:,} rows" for source, rows in sorted(result.sources.items())]
        lines.append(f"index from {reader.index or 'the row number'}")
        lines += [f"note: {note}" for note in reader.notes(result.written)]
    lines.append(
        f"rows: read {result.read:,}, good {result.written:,}, duplicates {result.duplicates:,} (the first of each "
        f"is good), bad {result.bad.count:,}"
    )
    if result.without_truth:
        kinds = ", ".join(f"{kind} {rows:,}" for kind, rows in result.without_truth.most_common())
        lines.append(
            f"left out: {result.without_truth.total():,} rows whose source says there is no ground truth ({kinds})"
        )
    return lines


def mix_files(parts: Sequence[str], out: str, against: Sequence[str], seed: int, ngram: int) -> int:
    """Mix and report; return 0 when ``out`` was written, else 2."""
    target = Path(out).expanduser()
    try:
        parsed = [Part.parse(part) for part in parts]
        _check_target(target, [*(part.file for part in parsed), *against])
        if ngram < 1:
            raise MixError(f"--ngram {ngram}: give a positive number of words")
        evaluations = [read_evaluation(name, ngram) for name in against]
        for evaluation in evaluations:
            print(_describe(evaluation))
        target.parent.mkdir(parents=True, exist_ok=True)
        mixed = mix(parsed, target, evaluations, seed)
    except (MixError, SourceError, OSError) as error:
        return _fail(f"{error}\n{out} was not written")
    for tally in mixed.tallies:
        print(_outcome(tally))
        if tally.contradicted:
            line = f"{tally.part}: {tally.contradicted:,} prompts have another ground truth in what came before"
            print(f"warning: {line}; the first was kept", file=sys.stderr)
    total = sum(mixed.sources.values())
    for source, rows in mixed.sources.items():
        print(f"{source}: {rows:,} rows, {rows / total:.1%}")
    if any(tally.contaminated for tally in mixed.tallies):
        print(f"every contaminated row: {contaminated_path(target)}")
    if not evaluations:
        print("note: compared with no evaluation file; name those of your benchmarks with --against")
    print(f"wrote {out}: {total:,} rows, seed {seed}")
    return 0


def _describe(evaluation: Evaluation) -> str:
    said = f"against {evaluation.name}: {evaluation.texts:,} texts in {', '.join(evaluation.columns)}"
    if evaluation.short:
        said += f", {evaluation.short:,} of fewer than {evaluation.n} words, which match as a run of their own length"
    if evaluation.shortest:
        said += f" ({evaluation.shortest:,} of fewer than {evaluation.seed}, which match only as a whole)"
    return said


def _outcome(tally: Tally) -> str:
    found = ", ".join(f"{rows:,} in {name}" for name, rows in tally.found.items())
    contaminated = f"contaminated {tally.contaminated:,}{f' ({found})' if found else ''}"
    return f"{tally.part}: rows {tally.matched:,}, {contaminated}, repeated {tally.repeated:,}, taken {tally.taken:,}"


def check(file: str, overrides: Sequence[str]) -> int:
    """Check that a parquet file has what a run's scorers need, and report; return 0 when it has, else 2."""
    try:
        router, keys = load_router(overrides)
        checked = check_file(file, router, *keys)
    except (HydraException, OmegaConfBaseException) as error:
        return _fail(not_composed(error, overrides, compose_main))
    except (CheckError, ScorerError, SourceError) as error:
        return _fail(str(error))
    for line in checked.warnings.lines():
        print(f"warning: {line}", file=sys.stderr)
    for line in checked.problems.lines():
        print(line, file=sys.stderr)
    for source, rows in checked.rows.items():
        scorer = checked.scorers[source]
        print(f"{source}: {rows:,} rows, {f'scorer {scorer.key}' if scorer else 'no scorer'}")
    if checked.problems.count:
        return _fail(f"{file} is not fit for training (problems: {checked.problems.count:,})")
    print(f"sinternal_verl: {file} is fit for training")
    return 0
