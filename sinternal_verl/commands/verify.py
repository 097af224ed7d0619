"""`sinternal-verl verify sample`, `critique`, `select`; `build`, which is all three; `show`; and `evaluate`.

Each takes overrides of ``recipes/verify/build.yaml``, goes on where an earlier one stopped, and writes to the
build's folder: the store, ``build.json``, ``train.parquet`` with its report, ``evaluation.json``.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from sinternal_verl import __version__
from sinternal_verl.data.contamination import read_evaluation
from sinternal_verl.data.readers import Source, SourceError
from sinternal_verl.data.schema import write_whole
from sinternal_verl.doctor.problem import report
from sinternal_verl.verify.build import Build
from sinternal_verl.verify.build_record import DATA, AnotherBuild, recall, record
from sinternal_verl.verify.evaluate import Verification, evaluate
from sinternal_verl.verify.fill import Filled, Request, fill
from sinternal_verl.verify.report import CARD, GuardWriter, agreement, guard_requests, write_report
from sinternal_verl.verify.requests import Prompts
from sinternal_verl.verify.select import Selection, row_of, write_rows
from sinternal_verl.verify.settings import (
    BUILD,
    EVALUATE,
    BuildSettings,
    Stage,
    build_settings,
    compose_build,
    find_problems,
)
from sinternal_verl.verify.store import Store, StoreError
from sinternal_verl.verify.writer import Limits, WriterSettings, WriterUnusable, open_writer

EVALUATION, ITEMS = "evaluation.json", "evaluation.jsonl"

GUARD_AT_ONCE = 256
"""How many requests the guard gets at a time."""


def verify(command: str, overrides: Sequence[str]) -> int:
    """Run the stages of a command. Return 0; 1 if replies are missing and the same command can go on; 2 for bad input.

    Args:
        command: ``build``, ``evaluate``, or the name of one stage.
    """
    stages = {"build": BUILD, "evaluate": EVALUATE}.get(command, (command,))
    try:
        config = compose_build(overrides)
        if "show" in stages:
            config = recall(config, overrides)
        if problems := find_problems(config, stages):
            return _fail(report(problems))
        settings = build_settings(config)
        evaluations = tuple(read_evaluation(name) for name in settings.against)
        prompts = Prompts(settings.prompts, settings.label, evaluations, settings.shard)
        total = sum(1 for _ in prompts)
        if prompts.bad.count or not total:
            lines = prompts.bad.lines() or [f"{settings.prompts}: there is no request in it"]
            return _fail("\n".join([*lines, f"nothing was asked for (bad rows: {prompts.bad.count:,})"]))
        if "show" in stages:
            return _show(settings, prompts)
        _describe(prompts)
        record(settings, config, _made_of(settings, prompts.source, stages), stages)
    except (HydraException, OmegaConfBaseException) as error:
        return _fail(f"the overrides do not compose.\n{error}")
    except (SourceError, AnotherBuild, StoreError, OSError) as error:
        return _fail(str(error))
    try:
        with Store(settings.store) as store:
            return _run(settings, prompts, Build(settings, store), store, total, stages)
    except (StoreError, WriterUnusable, OSError) as error:
        step = "the replies so far are stored; mend the cause and give the same command again to go on"
        print(f"sinternal_verl: {error}\nsinternal_verl: {step}", file=sys.stderr)
        return 1


def _run(
    settings: BuildSettings, prompts: Prompts, build: Build, store: Store, total: int, stages: Sequence[Stage]
) -> int:
    if "sample" in stages:
        requests = build.answer_requests(prompts)
        filled = _fill(requests, total * settings.samples, store, settings.writer, "answers")
        if not _said(filled, "answers"):
            return 1
    if "critique" in stages:
        wanted = sum(1 for _ in build.critique_requests(prompts))
        filled = _fill(build.critique_requests(prompts), wanted, store, settings.expert, "critiques")
        if not _said(filled, "critiques"):
            return 1
    if "evaluate" in stages:
        return _evaluate(settings, prompts, build, store)
    return _select(settings, prompts, build, store) if "select" in stages else 0


def _fill(requests: Iterable[Request], total: int, store: Store, who: WriterSettings, name: str) -> Filled:
    return fill(requests, total, store, who.limits, lambda: open_writer(who), name)


def _select(settings: BuildSettings, prompts: Prompts, build: Build, store: Store) -> int:
    selection = Selection(build, prompts, settings.seed, settings.fraction)
    rows = (row_of(example, build, settings) for example in selection)
    written = write_rows(rows, settings.out / DATA, _made_of(settings, prompts.source))
    counts = {f"rows/{name}": count for name, count in prompts.counts.items()} | selection.counts
    if not _counted(written, counts, settings):
        return 2
    agrees = None
    if guard := settings.guard:
        requests = guard_requests(selection, guard)
        limits = Limits(GUARD_AT_ONCE)
        filled = fill(requests, written, store, limits, lambda: GuardWriter(guard), "guard")
        if not _said(filled, "the guard's labels"):
            return 1
        agrees = agreement(selection, guard, store)
    write_report(settings.out / DATA, settings.seed, counts, agrees)
    print(f"sinternal_verl: the report is {settings.out / CARD}")
    return 0


def _evaluate(settings: BuildSettings, prompts: Prompts, build: Build, store: Store) -> int:
    verification = Verification(settings, build, store)
    wanted = sum(1 for _ in verification.requests(prompts))
    if not _said(_fill(verification.requests(prompts), wanted, store, settings.verifier, "verdicts"), "verdicts"):
        return 1
    try:
        found = evaluate(verification.items(prompts), settings.seed, settings.out / ITEMS)
    except ValueError as error:
        return _fail(str(error))
    made_of = {**_made_of(settings, prompts.source), "verifier": settings.verifier.origin()}
    # JSON has no NaN, so null is written.
    summary = json.loads(json.dumps({**asdict(found), "made_of": made_of}), parse_constant=lambda _: None)
    write_whole(settings.out / EVALUATION, json.dumps(summary, indent=2) + "\n")
    print("\n".join(found.lines()))
    print(f"sinternal_verl: {settings.out / EVALUATION}, and item by item {settings.out / ITEMS}")
    return 0


def _show(settings: BuildSettings, prompts: Prompts) -> int:
    """Print what the store holds: a line of JSON for every answer."""
    with Store(settings.store, read_only=True) as store:
        build = Build(settings, store)
        for prompt in prompts:
            for sample, answer in enumerate(build.answers(prompt)):
                row = {"request": prompt.text, "harm": prompt.harm, "index": prompt.index, "sample": sample}
                if isinstance(answer, str):
                    row["missing"] = answer
                else:
                    found = build.critique(prompt, answer)
                    said = {"missing": found} if isinstance(found, str) else {"critique": found.text}
                    row |= {"thought": answer.thought, "answer": answer.text, **said}
                    row["verdict"] = None if isinstance(found, str) else found.verdict
                print(json.dumps(row, ensure_ascii=False))
    return 0


def _counted(written: int, counts: Mapping[str, int], settings: BuildSettings) -> bool:
    for name, count in sorted(counts.items()):
        print(f"{name}: {count:,}")
    if not written:
        _fail("no example was selected: see the counts above")
        return False
    print(f"sinternal_verl: wrote {written:,} examples to {settings.out / DATA}")
    return True


def _describe(prompts: Prompts) -> None:
    counted = ", ".join(f"{name} {count:,}" for name, count in prompts.counts.items())
    print(f"{prompts.source.name}: {counted}", flush=True)


def _said(filled: Filled, what: str) -> bool:
    """Report on a stage, and return whether all its replies are there."""
    spent = f"{filled.sent:,} requests, {filled.tokens:,} tokens"
    print(f"{what}: {filled.there:,} were in the store, {spent}", flush=True)
    for kind, count in filled.failures.most_common():
        print(f"failed: {count:,} x {kind}", file=sys.stderr)
    if filled.last_failure:
        print(f"the last failure: {filled.last_failure}", file=sys.stderr)
    if not filled.complete:
        why = filled.stopped or f"{sum(filled.failures.values()):,} requests failed"
        step = "the same command goes on; `sinternal-verl verify select` takes what is there"
        print(f"sinternal_verl: {what} are not complete: {why}; {step}", file=sys.stderr)
    return filled.complete


def _made_of(settings: BuildSettings, prompts: Source, stages: Sequence[Stage] = BUILD) -> dict[str, Any]:
    source, against = {"name": Path(settings.prompts).name, **prompts.origin()}, list(settings.against)
    return {"version": __version__, "prompts": source, "against": against, **settings.origin(stages)}


def _fail(message: str) -> int:
    print(message if message.startswith("sinternal_verl:") else f"sinternal_verl: {message}", file=sys.stderr)
    return 2
