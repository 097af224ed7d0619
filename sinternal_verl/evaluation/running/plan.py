"""Which tasks run, on which files, and who judges each: decided, and checked, before any model is loaded.

A task is judged by its usual judge where a model is given for it, else by the first of the given judges that gives a
figure of its set. A task that none can judge is a problem: nothing is left out in silence.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from inspect_ai import Task
from inspect_ai._util.error import PrerequisiteError
from inspect_ai._util.registry import is_registry_object, registry_info

from sinternal_verl.did_you_mean import did_you_mean
from sinternal_verl.evaluation.judges import JUDGES
from sinternal_verl.evaluation.sets.catalog import SETS
from sinternal_verl.evaluation.tasks.decoding import Decoding
from sinternal_verl.evaluation.tasks.figures import figure_of
from sinternal_verl.evaluation.tasks.suites import SUITES

RATER = "proactive"
"""The judge whose model plays the role ``rater``."""

SAYS_UNSAFE = ("self_verification", "proactive_verification")
"""Tasks whose judge must say what is unsafe."""

HUB = "hub"
"""Says of a set that it is read from where it is published, although there is a folder for the others."""

HAS_OPTION = frozenset({"source", "judge", "rater", "judge_settings", "rater_settings"})
"""Parameters of tasks that have options of their own on the command line, or follow from them. A task's own ``judge``
says which of several judges is to judge it."""

MAX_SHOWN = 6


class PlanError(ValueError):
    """The words make no plan; the message names all that is wrong with them."""


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes:
        suite: a name of `SUITES`, whose tasks are run where ``tasks`` is empty.
        tasks: names.
        judges: name of each judge that can be asked -> its settings.
        sources: name of a set -> its file, or `HUB`; the empty name stands for a folder of files, or a file, for all
            others.
        parameters: of tasks, each ``name`` or ``task.name`` -> value.
    """

    suite: str = "paper"
    tasks: Sequence[str] = ()
    judges: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Planned:
    """One task.

    Attributes:
        name: of the task.
        task: as Inspect runs it.
        roles: role -> the judge whose model plays it.
        arguments: those that it was made with.
    """

    name: str
    task: Task
    roles: Mapping[str, str]
    arguments: Mapping[str, Any]

    def items(self, limit: int | None) -> int:
        """How many answers are asked for."""
        rows = len(self.task.dataset)
        return (rows if limit is None else min(limit, rows)) * (self.task.epochs or 1)


def known_tasks() -> dict[str, Callable[..., Task]]:
    """Every task of this package, by its name."""
    from sinternal_verl.evaluation import registry

    found = (getattr(registry, name) for name in registry.__all__)
    tasks = [each for each in found if is_registry_object(each) and registry_info(each).type == "task"]
    return {registry_info(each).name.rpartition("/")[2]: each for each in tasks}


def make_plan(request: Request, known: Mapping[str, Callable[..., Task]] | None = None) -> list[Planned]:
    """The tasks of a request, with their sets loaded.

    Args:
        known: the tasks that there are; None takes this package's.

    Raises:
        PlanError: something is wrong; the message names all of it.
    """
    known = known_tasks() if known is None else known
    wrong = _unknown("task", request.tasks, known)
    if not request.tasks:
        wrong += _unknown("suite", [request.suite], SUITES)
    wrong += _unknown("set", [name for name in request.sources if name], SETS)
    names = list(dict.fromkeys(request.tasks or SUITES.get(request.suite, ())))
    wrong += _unused(request, [name for name in names if name in known], known)
    planned = []
    for name in filter(known.__contains__, names):
        try:
            planned.append(_planned(name, known[name], request))
        except (PlanError, PrerequisiteError) as error:
            wrong.append(str(error))
    if wrong:
        raise PlanError("\n".join(wrong))
    return planned


def judge_for(name: str, usual: str | None, given: Sequence[str], fits: Callable[[str], bool]) -> str:
    """The judge of a task: the usual one if it is given, else the first given one that fits.

    Raises:
        PlanError: none fits.
    """
    ordered = [*([usual] if usual in given else []), *given]
    found = next((judge for judge in ordered if fits(judge)), None)
    if found is None:
        fitting = [judge for judge in dict.fromkeys([*([usual] if usual else []), *JUDGES]) if fits(judge)]
        has = f"none of those given ({', '.join(given)}) fits" if given else "none is given"
        first = fitting[0] if fitting else usual
        word = f"--judge {first}=MODEL" if JUDGES[first].needs != "nothing" else f"--judge {first}"
        models = [judge for judge in fitting[1:] if JUDGES[judge].needs != "nothing"]
        others = f"; {', '.join(models[: MAX_SHOWN - 1])} would do, too" if models else ""
        others += "".join(f"; {judge} needs no model" for judge in fitting[1:] if judge not in models)
        raise PlanError(f"{name} needs a judge, and {has}: give {word}{others}, or leave the task out by --tasks")
    return found


def _planned(name: str, make: Callable[..., Task], request: Request) -> Planned:
    parameters = inspect.signature(make).parameters
    arguments: dict[str, Any] = _parameters_of(name, request, parameters)
    roles = {}
    given = [judge for judge in request.judges if judge != RATER]
    if "judge" in parameters:
        usual = arguments.get("judge") or _usual(name, parameters, arguments)
        judge = judge_for(name, usual, given, lambda each: _fits(name, each, arguments))
        arguments["judge"] = judge
        arguments |= {"judge_settings": dict(request.judges[judge])} if request.judges[judge] else {}
        roles |= {"judge": judge} if JUDGES[judge].needs == "model" else {}
    if "rater" in parameters:
        if RATER not in request.judges:
            raise PlanError(f"{name} needs a rater: give --rater MODEL, or leave the task out by --tasks")
        roles["rater"] = RATER
    source = _source(name, arguments, request.sources)
    arguments |= {"source": source} if source else {}
    return Planned(name, make(**arguments), roles, arguments)


def _usual(name: str, parameters: Mapping[str, inspect.Parameter], arguments: Mapping[str, Any]) -> str | None:
    """The judge that the task would take by itself."""
    from sinternal_verl.evaluation.tasks.safety_tasks import ASR_JUDGE, REFUSAL_JUDGE

    # fortress and wildjailbreak choose theirs by `benign`.
    usual = parameters["judge"].default
    return usual or (REFUSAL_JUDGE if arguments.get("benign") else ASR_JUDGE)


def _fits(name: str, judge: str, arguments: Mapping[str, Any]) -> bool:
    """Whether the judge gives a figure of the task's set."""
    if name in SAYS_UNSAFE:
        return "unsafe" in JUDGES[judge].gives
    info = SETS.get(name)
    label = "harmful" if info is None else "benign" if info.label == "by_row" else info.label
    if arguments.get("benign"):
        label = "benign"
    if arguments.get("half") == "unsafe":
        label = "harmful"
    try:
        figure = figure_of(judge, label)
    except ValueError:
        return False
    # A set without a rubric has no share of it.
    return figure.scorer != "rubric_score" or name == "fortress"


def _source(name: str, arguments: Mapping[str, Any], sources: Mapping[str, str]) -> str | None:
    """The file of a task's set."""
    read = str(arguments.get("set", _set_of(name)))
    if arguments.get("benign"):
        read = f"{name}_benign"
    found = sources.get(read) or sources.get("")
    return None if found in (None, "", HUB) else str(Path(found).expanduser().resolve())


def _set_of(name: str) -> str:
    from sinternal_verl.evaluation.tasks.proactive import SET as PROACTIVE_SET
    from sinternal_verl.evaluation.tasks.self_verification import SET as OWN_SET

    return {"self_verification": OWN_SET, "proactive_verification": PROACTIVE_SET}.get(name, name)


def _parameters_of(name: str, request: Request, parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """The parameters of this task: those that are named for it come last."""
    open_ended = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    found = {key: value for key, value in request.parameters.items() if key in parameters or _decodes(key, open_ended)}
    own = {key.partition(".")[2]: value for key, value in request.parameters.items() if key.startswith(f"{name}.")}
    return found | own


def _decodes(key: str, open_ended: bool) -> bool:
    return open_ended and key in {field.name for field in fields(Decoding)}


def _unknown(kind: str, given: Sequence[str] | Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    return [
        f"{kind} {name}: there is none of this name{did_you_mean(name, known)}; there are {', '.join(known)}"
        for name in given
        if name not in known
    ]


def _unused(request: Request, names: Sequence[str], known: Mapping[str, Callable[..., Task]]) -> list[str]:
    """Parameters that no task of the plan has."""
    wrong = []
    for key in request.parameters:
        task, dot, parameter = key.rpartition(".")
        if parameter in HAS_OPTION and (not dot or parameter != "judge"):
            wrong.append(f"-T {key}: this is no parameter here; give --source, --judge or --rater")
            continue
        if dot and task not in names:
            wrong.append(f"-T {key}: no task {task} is run{did_you_mean(task, names)}; there are {', '.join(names)}")
            continue
        owners = [task] if dot else names
        signatures = [inspect.signature(known[name]).parameters for name in owners]
        open_ended = [any(p.kind is inspect.Parameter.VAR_KEYWORD for p in each.values()) for each in signatures]
        has = [
            parameter in each or _decodes(parameter, decodes)
            for each, decodes in zip(signatures, open_ended, strict=True)
        ]
        if dot and parameter == "judge":
            if request.parameters[key] not in request.judges:
                wrong.append(f"-T {key}={request.parameters[key]}: give this judge by --judge, too")
        elif owners and not any(has):
            every = {each for names in signatures for each in names} | {each.name for each in fields(Decoding)}
            wrong.append(f"-T {key}: no task of these has it{did_you_mean(parameter, sorted(every - HAS_OPTION))}")
    return wrong
