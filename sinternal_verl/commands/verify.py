"""`sinternal-verl verify sample`, `critique`, `select`; `build`, which is all three; `merge`; `show`; `evaluate`.

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
from sinternal_verl.commands.messages import fail as _fail
from sinternal_verl.commands.messages import not_composed
from sinternal_verl.data.contamination import read_evaluation
from sinternal_verl.data.readers import Source, SourceError
from sinternal_verl.data.schema import write_whole
from sinternal_verl.doctor.problem import report
from sinternal_verl.verify.budget import Limits, Spend, said, said_lost
from sinternal_verl.verify.build import Build
from sinternal_verl.verify.build_record import DATA, AnotherBuild, recall, record
from sinternal_verl.verify.endpoint_writer import open_writer
from sinternal_verl.verify.estimate import Estimate, confirmed, foresee
from sinternal_verl.verify.evaluate import Verification, evaluate
from sinternal_verl.verify.fill import Filled, Request, fill
from sinternal_verl.verify.parts import PartsMissing, merge_parts
from sinternal_verl.verify.probe import probe
from sinternal_verl.verify.problems import find_problems
from sinternal_verl.verify.reading import Reading
from sinternal_verl.verify.report import CARD, GuardWriter, agreement, guard_requests, write_report
from sinternal_verl.verify.requests import Prompts
from sinternal_verl.verify.select import Selection, row_of, write_rows
from sinternal_verl.verify.settings import (
    BUILD,
    EVALUATE,
    MERGE,
    BuildSettings,
    Stage,
    build_settings,
    checks_expert,
    compose_build,
)
from sinternal_verl.verify.store import Store, StoreError
from sinternal_verl.verify.writer import WriterSettings, WriterUnusable

EVALUATION, ITEMS = "evaluation.json", "evaluation.jsonl"

UNANSWERED = {
    "refused": "requests were refused by the server or its filter",
    "too_long": "requests were too long",
    "rejected": "requests were rejected by the server",
}
"""What is said of stored requests that have no answer."""

GUARD_AT_ONCE = 256
"""How many requests the guard gets at a time."""


def verify(command: str, overrides: Sequence[str], yes: bool = False) -> int:
    """Run the stages of a command. Return 0; 1 if replies are missing and the same command can go on; 2 for bad input.

    Args:
        command: ``build``, ``evaluate``, or the name of one stage.
        yes: take the estimate of what it will cost for confirmed.
    """
    stages = {"build": BUILD, "evaluate": EVALUATE, "merge": MERGE}.get(command, (command,))
    try:
        config = compose_build(overrides)
        if "show" in stages and isinstance(config.out, str):
            config = recall(config, overrides)
        if problems := find_problems(config, stages):
            return _fail(report(problems))
        settings = build_settings(config)
        evaluations = tuple(read_evaluation(name) for name in settings.against)
        prompts = Prompts(settings.prompts, settings.label, evaluations, settings.shard)
        total = sum(1 for _ in prompts)
        whole = settings.shard == (0, 1)
        if prompts.bad.count or (whole and not total):
            lines = prompts.bad.lines() or [f"{settings.prompts}: there is no request in it"]
            return _fail("\n".join([*lines, f"nothing was asked for (bad rows: {prompts.bad.count:,})"]))
        if "show" in stages:
            return _show(settings, prompts)
        _describe(prompts)
        record(settings, config, _made_of(settings, prompts.source, stages), stages)
    except (HydraException, OmegaConfBaseException) as error:
        return _fail(not_composed(error, overrides, compose_build))
    except (SourceError, AnotherBuild, StoreError, OSError) as error:
        return _fail(str(error))
    try:
        with Store(settings.store) as store:
            estimates = list(foresee(settings, prompts, store, stages))
            if not _agreed(estimates, yes):
                return 1
            return _run(settings, prompts, Build(settings, store), store, total, estimates, stages)
    except (StoreError, WriterUnusable, OSError) as error:
        step = "the replies so far are stored; mend the cause and give the same command again to go on"
        print(f"sinternal_verl: {error}\nsinternal_verl: {step}", file=sys.stderr)
        return 1


def _agreed(estimates: Sequence[Estimate], yes: bool) -> bool:
    """Say what will be asked for, and whether the command may go on."""
    for estimate in estimates:
        if estimate.requests:
            print(estimate.line(), flush=True)
    if not (agreed := confirmed(estimates, yes)):
        print("sinternal_verl: nothing was asked for", file=sys.stderr)
    return agreed


def _run(
    settings: BuildSettings,
    prompts: Prompts,
    build: Build,
    store: Store,
    total: int,
    estimates: Sequence[Estimate],
    stages: Sequence[Stage],
) -> int:
    if "merge" in stages:
        try:
            parts = merge_parts(settings, prompts, build, store)
        except PartsMissing as error:
            print(f"sinternal_verl: not merged: {error}", file=sys.stderr)
            return 1
        print(f"the replies of {parts} parts are in {settings.store}", flush=True)
    # What the check of the expert costs belongs to what the command may spend.
    spend = Spend(settings.expert.limits)
    answers_missing = any(estimate.kind == "answers" and estimate.requests for estimate in estimates)
    # Also where only answers are asked for: whoever names an expert wants them judged.
    if answers_missing and checks_expert(settings, stages) and (odd := probe(settings, spend, open_writer)):
        print(f"sinternal_verl: {odd}", file=sys.stderr)
    if "sample" in stages:
        requests = build.answer_requests(prompts)
        filled = _fill(requests, total * settings.samples, store, settings.writer, "answers")
        if not _said(filled, "answers", settings.writer):
            return 1
    if "critique" in stages:
        # An evaluation needs the expert's verdict on every answer; a build takes one answer to a benign prompt.
        every = "evaluate" in stages
        wanted = sum(1 for _ in build.critique_requests(prompts, every))
        requests, reading = build.critique_requests(prompts, every), Reading()
        filled = _fill(requests, wanted, store, settings.expert, "critiques", spend=spend, reading=reading)
        if not _said(filled, "critiques", settings.expert):
            return 1
    if "evaluate" in stages:
        return _evaluate(settings, prompts, build, store)
    return _select(settings, prompts, build, store) if "select" in stages else 0


def _fill(
    requests: Iterable[Request], total: int, store: Store, who: WriterSettings, name: str, **counted: Any
) -> Filled:
    return fill(requests, total, store, who.limits, lambda: open_writer(who), name, **counted)


def _select(settings: BuildSettings, prompts: Prompts, build: Build, store: Store) -> int:
    selection = Selection(build, prompts, settings.seed, settings.fraction)
    rows = (row_of(example, build, settings) for example in selection)
    written = write_rows(rows, settings.out / DATA, _made_of(settings, prompts.source))
    counts = {f"rows/{name}": count for name, count in prompts.counts.items()} | selection.counts
    if not _counted(written, counts, settings):
        # Another part may have some.
        return 2 if settings.shard == (0, 1) else 0
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
    filled = _fill(verification.requests(prompts), wanted, store, settings.verifier, "verdicts")
    if not _said(filled, "verdicts", settings.verifier):
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
    return 0 if found.judged else 2


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


def _said(filled: Filled, what: str, who: WriterSettings | None = None) -> bool:
    """Report on a stage, and return whether all its replies are there."""
    spent = f"{filled.sent:,} requests, {said(filled.read, filled.written, who and who.prices)}"
    print(f"{what}: {filled.there:,} were in the store, {spent}", flush=True)
    if filled.lost:
        print(f"{what}: {said_lost(filled.lost, filled.presumed)}", flush=True)
    if filled.waited_s:
        print(f"{what}: the server asked to wait (HTTP 429), {filled.waited_s:,.1f} s in all", flush=True)
    for finish, count in filled.unanswered.most_common():
        print(f"{what}: {count:,} {UNANSWERED[finish]}", flush=True)
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
