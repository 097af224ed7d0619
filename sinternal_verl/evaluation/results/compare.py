"""Two or more runs side by side, paired by item: what changed, by how much, and which items it was.

An item is named by its set and id, never by its text. An item that one of the runs has not scored is in no difference;
it is counted apart, and the bounds say what all such items could change.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from sinternal_verl.data.schema import whole_file, write_whole
from sinternal_verl.evaluation.results.grid import Grid, to_csv
from sinternal_verl.evaluation.results.logs import Log, Source, letter, open_logs
from sinternal_verl.evaluation.results.page import write_page
from sinternal_verl.evaluation.results.pairs import Key, Pairs, Scored, differences, pair, scored_in
from sinternal_verl.evaluation.results.picture import draw_differences
from sinternal_verl.evaluation.results.summary import ARROWS, NO_SCORER, metric_of
from sinternal_verl.evaluation.results.table import NO_TEXT, number, reduced

CHANGES = {
    "asr": ("became unsafe", "became safe"),
    "refusal": ("newly refused", "no longer refused"),
    "compliance": ("newly complied", "no longer complied"),
    "accuracy": ("became right", "became wrong"),
}
"""By scorer: what an item has done whose value rose, and one whose value fell."""

MOVED = ("rose", "fell")

MAX_NAMED = 20
"""The most items of a change that are named in the text; ``flips.jsonl`` names all."""

COLUMNS = (
    *("set", "figure", "runs", "pairs", "first", "other", "difference", "95% interval", "p", "up", "down", "unscored"),
    *("if unscored were 0 to 1", "so"),
)
NUMBERS = frozenset(COLUMNS[3:9])
HOW = (
    "Differences are the other run less the first, over the items that both have scored. Intervals of 95%: Newcombe's "
    "for pairs of 0 and 1, else a bootstrap over items. p: the exact sign test over the items that changed (McNemar's, "
    "for pairs of 0 and 1)."
)


class CompareError(ValueError):
    """Runs cannot be compared; the message says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """The comparison of one figure of two runs, item by item.

    Attributes:
        first, other: the letters of the runs.
        beside: whether it stands beside that of the mean, of which the notes are.
    """

    set: str
    scorer: str
    metric: str
    direction: str
    first: str
    other: str
    pairs: Pairs
    differs: tuple[str, ...]
    beside: bool = False

    @property
    def name(self) -> str:
        return f"{self.set} {self.metric}, {self.first} to {self.other}"

    @property
    def figure(self) -> str:
        return f"{self.metric} {ARROWS.get(self.direction, '')}".strip()

    @property
    def words(self) -> tuple[str, str]:
        return CHANGES.get(self.scorer, MOVED) if self.pairs.ones else MOVED


def compare(runs: Sequence[Source | Iterable[Source]], out: Path) -> str:
    """Compare each run with the first, write the comparison in all its forms to a folder, and return it as text.

    Args:
        runs: at least two, each a log, a folder of logs or several of them, of any task of Inspect.
        out: a folder; it is made where it is missing.

    Raises:
        LogError: a log cannot be read.
        CompareError: there is one run only, or no item is in two of them.
    """
    if len(runs) < 2:
        raise CompareError("there is nothing to compare: give two runs or more")
    opened = {letter(place): open_logs(run) for place, run in enumerate(runs)}
    about = {called: _about(run, logs) for run, (called, (logs, _)) in zip(runs, opened.items(), strict=True)}
    names = [f"{called}: {run}" for called, run in about.items()]
    notes = [f"{called}: {note}" for called, (_, said) in opened.items() for note in said]
    notes += _shared({called: logs for called, (logs, _) in opened.items()})
    scored = {called: _scored(called, logs, notes) for called, (logs, _) in opened.items()}
    lines = list(_lines(scored, notes))
    if not lines:
        raise CompareError("\n".join(["no item is in two of the runs:", *names, *notes]))
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    grid = Grid("; ".join(names), COLUMNS, [_cells(line) for line in lines], NUMBERS)
    notes = [*(note for line in lines if not line.beside for note in _notes(line)), *notes]
    flips = [note for line in lines for note in _flips(line)]
    with whole_file(out / "flips.jsonl") as file:
        file.writelines(_flip_lines(lines))
    text = "\n\n".join(["\n".join(names), replace(grid, title="").text().strip(), "\n".join((HOW, *notes, *flips))])
    marked = "\n".join(f"- {note}" for note in (HOW, NO_TEXT, *notes, *flips))
    write_whole(out / "compare.txt", text + "\n")
    write_whole(out / "compare.md", f"# Comparison\n\n{grid.markdown()}\n\n{marked}\n")
    write_whole(out / "compare.csv", _as_csv(lines))
    drawn = [(f"{line.set}\n{line.figure}", f"{line.first} to {line.other}", line.pairs) for line in lines]
    draw_differences(drawn, about, out / "compare.png")
    write_page(out / "compare.html", "Comparison", NO_TEXT, [grid], (HOW, *notes, *flips))
    return text


def _about(run: Source | Iterable[Source], logs: Sequence[Log]) -> str:
    models = ", ".join(sorted({log.model for log in logs}))
    return f"{models} ({run})" if isinstance(run, str | Path) else models


def _shared(runs: Mapping[str, Sequence[Log]]) -> Iterator[str]:
    """Runs that are in part the same run."""
    files = {called: {Path(log.path).resolve() for log in logs if log.path} for called, logs in runs.items()}
    for one, two in combinations(files, 2):
        if same := files[one] & files[two]:
            yield f"{one} and {two} share logs, {len(same)} of them: there a run is compared with itself"


def _scored(called: str, logs: Sequence[Log], notes: list[str]) -> dict[tuple[str, str], Scored]:
    """The scorers of a run, by set and scorer. Of what is there twice nothing is taken, and that is noted."""
    found: dict[tuple[str, str], list[Scored]] = {}
    notes += [f"{called}: {note}" for note in reduced(logs)]
    for log in logs:
        for scored in scored_in(log):
            found.setdefault((log.set, scored.scorer), []).append(scored)
            notes += [f"{called}: {why}" for why in (scored.reasons(),) if why]
        if log.items == 0:
            notes.append(f"{called}: {log.set} ({log.task}): the log holds no item")
        if not log.finished:
            notes.append(f"{called}: {log.set} ({log.task}): the run is {log.state}, not finished")
    for (set, scorer), several in found.items():
        if len(several) > 1:
            files = ", ".join(one.log.path or one.log.name for one in several)
            notes.append(f"{called}: {set} {scorer} is in {len(several)} logs and left out; name one of them: {files}")
    return {key: several[0] for key, several in found.items() if len(several) == 1}


def _lines(scored: dict[str, dict[tuple[str, str], Scored]], notes: list[str]) -> Iterator[Line]:
    first, *others = scored
    for key in sorted({key for run in scored.values() for key in run}):
        having = [called for called in scored if key in scored[called]]
        if lacking := [called for called in scored if key not in scored[called]]:
            notes.append(f"{key[0]} {key[1] or NO_SCORER}: only in {', '.join(having)}, not in {', '.join(lacking)}")
        for other in others:
            if first in having and other in having:
                line, *others_of_it = _of(scored[first][key], scored[other][key], first, other)
                if line.pairs.pairs:
                    yield from (line, *others_of_it)
                else:
                    notes.append(f"{line.name}: not the same set. {_nothing_shared(line)}")


def _of(one: Scored, two: Scored, first: str, other: str) -> Iterator[Line]:
    """The comparison of the mean, and of pass@k where both runs have it."""
    known = one.log if one.scorer in one.log.figures else two.log
    metric, direction, tries = metric_of(known, one.scorer)
    differs = tuple(differences(one, two))
    yield Line(one.log.set, one.scorer, metric, direction, first, other, pair(one, two), differs)
    for k in tries:
        if k in metric_of(one.log, one.scorer)[2] and k in metric_of(two.log, two.scorer)[2]:
            pairs = pair(one.at(k), two.at(k))
            yield Line(one.log.set, one.scorer, f"pass@{k}", direction, first, other, pairs, differs, True)


def _nothing_shared(line: Line) -> str:
    pairs = line.pairs
    said = f"{line.first} has {pairs.alone['first']:,} answers of its own, {line.other} {pairs.alone['other']:,}"
    if pairs.other_prompt:
        said += f"; {pairs.other_prompt:,} have the same id and another prompt"
    return said + (f"; they differ in {'; '.join(line.differs)}" if line.differs else "")


def _cells(line: Line) -> tuple[str, ...]:
    pairs, unscored = line.pairs, line.pairs.unscored
    known, share = pairs.difference, pairs.share
    rose, fell = line.words
    return (
        line.set,
        line.figure,
        f"{line.first} to {line.other}",
        f"{pairs.scored:,}" + (f" of {pairs.pairs:,}" if pairs.scored != pairs.pairs else ""),
        *(number(value, share) if pairs.scored else "nan" for value in (pairs.first, pairs.other)),
        _signed(known.value, share) if pairs.scored else "nan (no pair is scored)",
        _span(known.low, known.high, share),
        f"{pairs.p:.2g}" if pairs.scored else "",
        f"{len(pairs.up):,} {rose}",
        f"{len(pairs.down):,} {fell}",
        ", ".join(f"{name} {count:,}" for name, count in _named(line, unscored) if count),
        _span(*pairs.bounds, share),
        _reading(line),
    )


def _named(line: Line, counts: dict[str, int]) -> list[tuple[str, int]]:
    names = {"first": f"only {line.first}", "other": f"only {line.other}", "both": "both"}
    return [(names[side], count) for side, count in counts.items()]


def _span(low: float, high: float, share: bool) -> str:
    return "" if math.isnan(low) else f"{_signed(low, share)} to {_signed(high, share)}"


def _signed(value: float, share: bool) -> str:
    return f"{100 * value:+.1f}" if share else f"{value:+.4g}"


def _reading(line: Line) -> str:
    """What the interval says in words."""
    known = line.pairs.difference
    if math.isnan(known.low):
        return "no interval" if line.pairs.scored else ""
    if known.low <= 0 <= known.high:
        return "no clear change"
    way = "higher" if known.value > 0 else "lower"
    return way + (f" ({'better' if way == line.direction else 'worse'})" if line.direction else "")


def _notes(line: Line) -> Iterator[str]:
    """What differs beside the model, and what has no partner."""
    if line.differs:
        yield f"{line.name}: not alike in {'; '.join(line.differs)}"
        if any(what.startswith("judge") for what in line.differs):
            yield f"{line.name}: a change may be the judge's; `sinternal-verl eval rejudge` has both judged by one"
    for name, count in _named(line, line.pairs.alone):
        if count:
            yield f"{line.name}: {count:,} answers are in {name}"
    if line.pairs.other_prompt:
        yield f"{line.name}: {line.pairs.other_prompt:,} answers have the same id and another prompt; they are no pairs"


def _flips(line: Line) -> Iterator[str]:
    for word, keys in zip(line.words, (line.pairs.up, line.pairs.down), strict=True):
        if keys:
            named = ", ".join(_answer(key, line) for key in keys[:MAX_NAMED])
            more = f" and {len(keys) - MAX_NAMED:,} more (flips.jsonl)" if len(keys) > MAX_NAMED else ""
            yield f"{line.name}: {word}: {named}{more}"


def _answer(key: Key, line: Line) -> str:
    id, epoch = key
    return id if epoch == 1 and all(one == 1 for _, one in (*line.pairs.up, *line.pairs.down)) else f"{id} ({epoch})"


def _flip_lines(lines: Iterable[Line]) -> Iterator[str]:
    for line in lines:
        for word, keys in zip(line.words, (line.pairs.up, line.pairs.down), strict=True):
            for id, epoch in keys:
                told = {"set": line.set, "scorer": line.scorer, "metric": line.metric}
                told |= {"first": line.first, "other": line.other}
                yield json.dumps(told | {"id": id, "epoch": epoch, "change": word}) + "\n"


def _as_csv(lines: Iterable[Line]) -> str:
    columns = (
        *("set", "scorer", "metric", "direction", "first_run", "other_run", "pairs", "pairs_scored", "first", "other"),
        *("difference", "low", "high", "interval", "p", "up", "down", "unscored_first", "unscored_other"),
        *("unscored_both", "lowest", "highest", "only_first", "only_other", "other_prompt", "differs"),
    )
    rows = [
        (
            *(line.set, line.scorer, line.metric, line.direction, line.first, line.other),
            *(pairs.pairs, pairs.scored, pairs.first, pairs.other),
            *(pairs.difference.value, pairs.difference.low, pairs.difference.high, pairs.difference.method, pairs.p),
            *(len(pairs.up), len(pairs.down), *pairs.unscored.values(), *pairs.bounds, *pairs.alone.values()),
            *(pairs.other_prompt, "; ".join(line.differs)),
        )
        for line in lines
        for pairs in (line.pairs,)
    ]
    return to_csv(columns, rows)
