"""`sinternal-verl score`: scores the responses in a file as a run would, and writes one result for each row.

A row has ``prompt`` (a string or messages), ``response``, ``data_source`` and ``ground_truth`` (or verl's
``reward_model.ground_truth``). Its result keeps these and all its other columns. All rows are checked before a guard
is started. Many rows are then scored at a time, and their results are written in the rows' order
(`sinternal_verl.commands.results`).
"""

import asyncio
import hashlib
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from sinternal_verl.commands.messages import PREFIX, fail, not_composed
from sinternal_verl.commands.results import COLUMNS, RETRYABLE, Results
from sinternal_verl.commands.running_guard import compose_guard, find_guard_problems, running_guard
from sinternal_verl.config import get
from sinternal_verl.data.adapter import Row, lookup, misnamed
from sinternal_verl.data.findings import Findings
from sinternal_verl.data.readers import Source, SourceError, Unreadable, open_source
from sinternal_verl.doctor.problem import report
from sinternal_verl.doctor.scorers import lacks_guard
from sinternal_verl.guard.errors import GuardUnavailable
from sinternal_verl.runs.secrets import masked
from sinternal_verl.scoring.open_thoughts import find_open_thoughts
from sinternal_verl.scoring.registry import Router
from sinternal_verl.scoring.run import Scoring
from sinternal_verl.scoring.score import Outcome, Sample, Score

OWN_FUNCTION = "reward.custom_reward_function.path"
FAILURES_IN_A_ROW = 64
"""After so many failures in a row the guard or scorer counts as gone, and the command ends."""


class NoJudge(RuntimeError):
    """Too many rows in a row could not be scored."""


def score(
    source: str,
    out: str,
    overrides: Sequence[str],
    data_source: str | None,
    ground_truth: str | None,
    concurrency: int,
) -> int:
    """Score and report; return 0 when every row has a result, 1 when scoring ended early, 2 for bad input.

    Args:
        data_source, ground_truth: values for rows that have none.
        concurrency: number of rows that are scored at a time.
    """
    defaults = {"data_source": data_source, "ground_truth": ground_truth}
    try:
        if concurrency < 1:
            raise SourceError(f"--concurrency {concurrency}: give a positive number")
        config = compose_guard(overrides)
        if get(config, OWN_FUNCTION):
            raise SourceError(f"{OWN_FUNCTION} is a run's; give the function as a scorer, see docs/one_sample.md")
        opened = open_source(source)
        router = Router.from_config(OmegaConf.to_container(config.sinternal.scorers, resolve=True))
        rows, findings = _check(opened, router, defaults)
        problems = find_guard_problems(config)
        if findings.count or problems:
            lines = findings.lines() + ([report(problems)] if problems else [])
            return fail("\n".join([*lines, f"nothing was scored (bad rows: {findings.count:,})"]))
        results = Results(Path(out).expanduser(), _made_of(opened, config, defaults))
    except (HydraException, OmegaConfBaseException) as error:
        return fail(not_composed(error, overrides, compose_guard))
    except (ValueError, OSError) as error:  # of source, scorers, results and recipe
        return fail(str(error))
    if results.done:
        print(f"sinternal_verl: {results.done:,} of {rows:,} rows are in {out} already", flush=True)
    samples = ((row, sample) for row, _, sample in islice(_samples(opened, defaults), results.done, None))
    try:
        with running_guard(config), results, tqdm(total=rows, initial=results.done, unit="row") as progress:
            scoring = Scoring(router, config.sinternal.score_timeout_s)
            summary = asyncio.run(_score_all(samples, scoring, results, concurrency, progress))
    except (NoJudge, GuardUnavailable, SourceError, OSError) as error:
        step = "the results so far are kept; mend the cause and give the same command again to go on"
        print(f"{PREFIX}{error}\n{step}", file=sys.stderr)
        return 1
    for source, outcomes in sorted(summary.items()):
        for outcome, count in sorted(outcomes.items(), key=lambda pair: pair[0].name):
            print(f"{source}, {outcome.name.lower()}: {count:,}")
    for found in find_open_thoughts(summary, config.sinternal.scorers):
        print(f"sinternal_verl: warning: {found}", file=sys.stderr)
    print(f"sinternal_verl: {rows:,} rows in {out}")
    return 0


async def _score_all(
    samples: Iterator[tuple[Row, Sample]], scoring: Scoring, results: Results, concurrency: int, progress: tqdm
) -> dict[str, Counter[Outcome]]:
    """Score and write all samples; return counts of outcomes by data source."""
    summary: defaultdict[str, Counter[Outcome]] = defaultdict(Counter)
    waiting: deque[tuple[Row, Sample, asyncio.Task[Score]]] = deque()
    number, failed = results.done, 0

    async def write_next() -> None:
        nonlocal number, failed
        row, sample, task = waiting.popleft()
        result = await task
        results.add(number, sample, result, row)
        progress.update()
        number += 1
        summary[sample.source][result.outcome] += 1
        failed = failed + 1 if result.outcome.name.lower() in RETRYABLE else 0
        if failed == FAILURES_IN_A_ROW:
            raise NoJudge(f"{failed} failures in a row, the last: {result.reason}")

    try:
        await scoring.ready()
        for row, sample in samples:
            if len(waiting) == concurrency:
                await write_next()
            waiting.append((row, sample, asyncio.create_task(scoring.score(sample))))
        while waiting:
            await write_next()
    finally:
        for _, _, task in waiting:
            task.cancel()
        await scoring.close()
    return summary


def _samples(source: Source, defaults: Mapping[str, str | None]) -> Iterator[tuple[Row, int, Sample | str]]:
    """Each row, its number, and its sample or what is wrong with it."""
    for number, row in source.rows():
        if isinstance(row, Unreadable):
            yield {}, number, row.reason
        else:
            yield row, number, _sample(row, defaults)


def _sample(row: Mapping[str, Any], defaults: Mapping[str, str | None]) -> Sample | str:
    prompt, response = row.get("prompt"), row.get("response")
    name = row.get("data_source") or defaults["data_source"]
    truths = (row.get("ground_truth"), lookup(row, "reward_model.ground_truth"), defaults["ground_truth"])
    # A CSV file has no other way to say that a row has none than an empty cell.
    truth = next((truth for truth in truths if truth is not None and str(truth).strip()), truths[0])
    if "response" not in row:
        return f"it has no response; {misnamed('response', row) or 'add one'}"
    if not isinstance(response, str):
        return f"response = {response!r:.60}: it must be text"
    if not name:
        step = misnamed("data_source", row) if "data_source" not in row else ""
        return f"it has no data_source, which says who scores it; {step or 'add one'}, or give --data-source"
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    if not isinstance(messages, list | None) or not all(isinstance(lookup(m, "content"), str) for m in messages or []):
        return "prompt must be a string or messages with role and content"
    return Sample(str(name), response, truth, tuple(messages or ()), row.get("extra_info") or {})


def _check(source: Source, router: Router, defaults: Mapping[str, str | None]) -> tuple[int, Findings]:
    """The number of rows, and what is wrong with them."""
    findings, rows, replaced = Findings(), 0, {}
    for row, number, sample in _samples(source, defaults):
        rows += 1
        replaced |= dict.fromkeys(name for name in COLUMNS if name in row and name != "data_source")
        wrong = sample if isinstance(sample, str) else _wrong(sample, router)
        if wrong:
            findings.add(f"{source.where(number)}: {wrong}")
    if not rows:
        findings.add(f"{source.name}: there is no row")
    if replaced:
        there = ", ".join(replaced)
        step = "rename them to keep them"
        print(f"{PREFIX}warning: the results have {there} of their own, and replace yours; {step}", file=sys.stderr)
    return rows, findings


def _wrong(sample: Sample, router: Router) -> str | None:
    bound = router.find(sample.source)
    if bound is None:
        return f"no scorer takes the data source {sample.source!r}; they take {', '.join(router.sources)}"
    if lacks_guard(router, sample.source):
        return f"{sample.source!r} needs a guard: add guard=openai_endpoint or guard=ray_actor"
    if sample.source.startswith("safety/") and not any(message.get("role") == "user" for message in sample.prompt):
        return "it has no prompt, which the guard is to see"
    return bound.check_ground_truth(sample.ground_truth)


def _made_of(source: Source, config: DictConfig, defaults: Mapping[str, str | None]) -> dict[str, Any]:
    scorers = OmegaConf.to_container(config.sinternal.scorers, resolve=True)
    for entry in filter(None, scorers.values()):
        if isinstance(engine := lookup(entry, "guard.engine"), dict):
            # Where a guard runs, and how many replicas it has, changes no verdict.
            known = {key: entry["guard"].get(key) for key in ("mode", "served_as")}
            entry["guard"] = known | {key: engine.get(key) for key in ("model", "max_model_len")}
        if (path := Path(str(entry.get("path"))).expanduser()).is_file():
            entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    # The results keep this.
    scorers = masked("sinternal.scorers", scorers)
    return {"source": source.origin(), "scorers": scorers, "defaults": dict(defaults)}
