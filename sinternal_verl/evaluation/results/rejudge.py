"""Judges the answers of logs again, by one judge or several, without asking the model under test.

Each judge gives a log of its own, in a folder of its own: ``<out>/<judge>/``, or ``<out>/<run>/<judge>/`` for several
runs, which are called A, B and so on. So a folder is a run whose every answer has the same judge, and two such runs can
be compared. These logs hold the prompts and answers of the first, but not its events.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inspect_ai import score

# What a scorer raises where its judge cannot be opened; it has no public name.
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.log import EvalLog, EvalSample, write_eval_log
from inspect_ai.model import Model, get_model

from sinternal_verl.data.schema import whole_file, write_whole
from sinternal_verl.evaluation.judge import Value
from sinternal_verl.evaluation.judges import JUDGES
from sinternal_verl.evaluation.results.agreement import Judged, changes, grids, sentences
from sinternal_verl.evaluation.results.grid import Grid
from sinternal_verl.evaluation.results.logs import Log, Source, letter, open_log, open_logs
from sinternal_verl.evaluation.results.page import write_page
from sinternal_verl.evaluation.results.pairs import Scored, scored_in
from sinternal_verl.evaluation.results.picture import draw_judges
from sinternal_verl.evaluation.results.rows import as_line
from sinternal_verl.evaluation.results.table import NO_TEXT, unfinished
from sinternal_verl.evaluation.tasks.figures import ACCURACY, OF, figure_of
from sinternal_verl.evaluation.tasks.opened import JUDGE_ROLE
from sinternal_verl.evaluation.tasks.scorers import JUDGED_SCORERS
from sinternal_verl.scoring.response import THOUGHT_END, Thought

VALUES: Mapping[str, Value] = {figure.scorer: value for of in OF.values() for value, figure in of.items()}
"""By scorer: the value of a judgement that it takes."""

DROPPED = {"events", "store", "timelines", "error_retries"}
"""Fields of a sample that the new log does not take over."""

HOLDS_TEXT = "The logs in the folders of the judges hold prompts and answers."


class RejudgeError(ValueError):
    """Answers cannot be judged so; the message says all that is wrong."""


@dataclass(frozen=True)
class Choice:
    """A judge.

    Attributes:
        name: one of `sinternal_verl.evaluation.judges.JUDGES`.
        model: the model behind it, or its name; None for a judge that needs none.
        settings: the judge's own.
    """

    name: str
    model: str | Model | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, chosen: "str | Choice") -> "Choice":
        """
        >>> Choice.of("llama_guard=vllm/meta-llama/Llama-Guard-3-8B")
        Choice(name='llama_guard', model='vllm/meta-llama/Llama-Guard-3-8B', settings={})
        """
        if isinstance(chosen, Choice):
            return chosen
        name, _, model = chosen.partition("=")
        return cls(name, model or None)


@dataclass(frozen=True)
class Rejudged:
    """What came of it.

    Attributes:
        text: the judges' agreement.
        without_value: each judge that has no verdict on any answer of a log, and the log's set.
    """

    text: str
    without_value: tuple[tuple[str, str], ...]


def rejudge(logs: Source | Iterable[Source], judges: Sequence[str | Choice], out: Path) -> Rejudged:
    """Judge the answers of logs again, and write new logs, rows and the judges' agreement to a folder.

    Args:
        logs: a run, or several: each a log or a folder of logs, of any task of Inspect. Of several runs the text says
            whether a change from the first to another is the model's or the judge's.
        judges: names, ``name=model``, or choices.
        out: a folder; it is made where it is missing.

    Raises:
        LogError: a log cannot be read.
        RejudgeError: a judge is unknown, lacks its model, or gives nothing that fits; all of them are named. Or one
            cannot be opened.
    """
    chosen = [Choice.of(judge) for judge in judges]
    if problems := list(_problems(chosen)):
        raise RejudgeError("\n".join(problems))
    runs = [logs] if isinstance(logs, Source) else list(logs)
    opened = {letter(place): _judgeable(*open_logs(run)) for place, run in enumerate(runs)}
    if not any(several for several, _ in opened.values()):
        raise RejudgeError(
            "\n".join(["there is nothing to judge:", *(note for _, said in opened.values() for note in said)])
        )
    names, out = _names(chosen), Path(out)
    judging = [get_model(choice.model) if isinstance(choice.model, str) else choice.model for choice in chosen]
    judged: dict[tuple[str, str], list[Judged]] = {}
    without_value: list[tuple[str, str]] = []
    out.mkdir(parents=True, exist_ok=True)
    with whole_file(out / "rows.jsonl") as file:
        for run, (several, _) in opened.items():
            folder = out / run if len(opened) > 1 else out
            for log in several:
                again = {}
                for name, choice, model in zip(names, chosen, judging, strict=True):
                    path = folder / name / f"{log.name.removesuffix('.json').removesuffix('.eval')}.eval"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    scored = _judge(log, choice, model, name)
                    if scored.results and all(score.scored_samples == 0 for score in scored.results.scores):
                        without_value.append((name, f"{log.set}, {run}" if len(opened) > 1 else log.set))
                    write_eval_log(scored, str(path))
                    again[name] = open_log(path)
                for found in _judged(run, log, again):
                    file.writelines(as_line(row) for scored in found.judges.values() for row in scored.tally.all())
                    judged.setdefault((found.set, found.scorer), []).append(found)
    tables = [grid for same in judged.values() for one in same for grid in grids(one)]
    called = [f"{run}: {log.model}, {log.name}" for run, (several, _) in opened.items() for log in several]
    notes = [f"{run}: {note}" for run, (logs, said) in opened.items() for note in (*unfinished(logs), *said)]
    drawn = [(f"{one.set}\n{one.scorer}, {one.run}", one.judges) for same in judged.values() for one in same]
    models = {run: ", ".join(sorted({log.model for log in several})) for run, (several, _) in opened.items()}
    draw_judges(drawn, models, out / "agreement.png")
    said = [sentence for same in judged.values() for one in same for sentence in sentences(one)]
    said += [sentence for same in judged.values() for sentence in changes(same)]
    text = _write(out, tables, [*called, *said, *notes, f"{HOLDS_TEXT} Each can be given to `eval compare`."])
    return Rejudged(text, tuple(without_value))


def _judgeable(logs: Sequence[Log], notes: Sequence[str]) -> tuple[list[Log], list[str]]:
    """The logs whose answers a judge can read, and a sentence on each other one."""
    kept, left = [], []
    for log in logs:
        if log.figures.keys() & {ACCURACY.scorer}:
            left.append(f"{log.set} ({log.task}): mathematics is compared, and not judged; left out")
        elif log.items == 0:
            left.append(f"{log.set} ({log.task}): the log holds no item; left out")
        else:
            kept.append(log)
    return kept, [*notes, *left]


def _problems(chosen: Sequence[Choice]) -> Iterator[str]:
    if not chosen:
        yield f"no judge is given; there are {', '.join(JUDGES)}"
    for choice in chosen:
        try:
            figure_of(choice.name, "harmful")
        except ValueError as error:
            yield str(error)
            continue
        if JUDGES[choice.name].needs == "model" and choice.model is None:
            yield f"judge={choice.name}: it needs a model, {JUDGES[choice.name].model}; give {choice.name}=MODEL"


def _names(chosen: Sequence[Choice]) -> list[str]:
    """A name for each judge; one that is there twice, with two models, gets a number."""
    names: list[str] = []
    for choice in chosen:
        before = sum(other.name == choice.name for other in chosen[: len(names)])
        names.append(choice.name if not before else f"{choice.name}-{before + 1}")
    return names


def _judge(log: Log, choice: Choice, model: Model | None, name: str) -> EvalLog:
    """The log with this judge's scores and no others."""
    header = copy.deepcopy(log.header)
    header.samples = list(log.samples(DROPPED))
    known = log.parameters
    (scorer, figure), *_ = _figure(log, header.samples, choice.name).items()
    thought: Thought = known.get("thought") or _thought(header)
    judged = known.get("judged", "answer")
    made = JUDGED_SCORERS[scorer](choice.name, judged, thought, dict(choice.settings))
    parameters = {**known, "judge": choice.name, "judged": judged, "thought": thought} if log.told else {}
    header.eval.metadata = {
        **(header.eval.metadata or {}),
        **{"set": log.set, "origin": log.origin, "figures": {scorer: figure}, "decoding": log.decoding},
        **({"parameters": parameters} if parameters else {}),
    }
    # Inspect would open the models of the log again: the one under test, and the judge of before.
    header.eval.model_roles = None
    if "/" not in log.model:  # of a log that another program made; Inspect wants a provider
        header.eval.model = f"none/{log.model}"
    roles = {JUDGE_ROLE: model} if model else None
    header.eval.task_id = f"{header.eval.task_id}-{name}"
    try:
        scored = score(
            header, made, model=get_model("none"), model_roles=roles, action="overwrite", display="none", copy=False
        )
    except PrerequisiteError as error:
        raise RejudgeError(str(error.message)) from error
    scored.location, scored.eval.model = "", log.model
    return scored


def _figure(log: Log, samples: Sequence[EvalSample], judge: str) -> dict[str, Any]:
    """What this judge gives, by its scorer: a figure that the log has, so that the two can be set against each other;
    else its own."""
    for scorer, figure in log.figures.items():
        if VALUES.get(scorer) in JUDGES[judge].gives:
            return {scorer: figure}
    benign = all(sample.metadata.get("label") == "benign" for sample in samples)
    # Of benign requests a judge of harm says how many answers are unsafe, too.
    refusals = JUDGES[judge].gives & OF["benign"].keys()
    return figure_of(judge, "benign" if benign and refusals else "harmful").origin("[ours]")


def _thought(log: EvalLog) -> Thought:
    """Whether the answers of someone else's task begin with a thought."""
    closed = any(THOUGHT_END in sample.output.completion for sample in log.samples or ())
    return "required" if closed else "none"


def _judged(run: str, log: Log, again: Mapping[str, Log]) -> Iterator[Judged]:
    """By scorer, what each judge gave: the log's own first."""
    found: dict[str, dict[str, Scored]] = {}
    for name, new in again.items():
        for scored in scored_in(new):
            found.setdefault(scored.scorer, {})[name] = scored
    own = {scored.scorer: scored for scored in scored_in(log)}
    for scorer, judges in found.items():
        first = {}
        if scorer in own and log.told:
            before = own[scorer].judging("judge") or "the log's own judge"
            first = {before if before not in judges else f"{before}, before": own[scorer]}
        yield Judged(run, log.set, scorer, {**first, **judges})


def _write(out: Path, tables: Sequence[Grid], notes: Sequence[str]) -> str:
    text = "\n\n".join([*(grid.text() for grid in tables), "\n".join(notes)])
    marked = "\n".join(f"- {note}" for note in (NO_TEXT, *notes))
    write_whole(out / "agreement.txt", text + "\n")
    write_whole(out / "agreement.md", "\n\n".join(["# Judges", *(grid.markdown() for grid in tables), marked]) + "\n")
    write_page(out / "agreement.html", "Judges", NO_TEXT, tables, notes)
    return text
