"""Makes a task of a set: its samples, what the log says of it, and one message for whatever is wrong with it."""

from collections.abc import Callable, Mapping, Sequence
from logging import getLogger
from typing import Any, ParamSpec, TypeVar, get_args

from inspect_ai import Epochs, Task
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import HeadlineMetric
from inspect_ai.scorer import Scorer
from inspect_ai.solver import Solver

from sinternal_verl.did_you_mean import did_you_mean
from sinternal_verl.evaluation.item import Item
from sinternal_verl.evaluation.sets.catalog import SETS
from sinternal_verl.evaluation.sets.loading import Loaded, load
from sinternal_verl.evaluation.tasks.decoding import DecodedTask, Decoding
from sinternal_verl.scoring.boxed_math import MODES
from sinternal_verl.scoring.response import Thought
from sinternal_verl.scoring.safety import Judged

CHOICES: Mapping[str, tuple[str, ...]] = {"judged": get_args(Judged), "thought": get_args(Thought), "mode": MODES}
"""The values of parameters that have a few."""

TYPES: Mapping[str, tuple[type, str]] = {
    **dict.fromkeys(("source", "goals", "save", "rater", "specification", "prompt"), (str, "a text")),
    **dict.fromkeys(("judge_settings", "rater_settings"), (Mapping, "JSON of names and values")),
    "benign": (bool, "true or false"),
}
"""What other parameters must be, where they are given; Inspect reads a word of the command line as YAML."""

RESERVED = ("request", "label", "rubric")
"""Of a sample's metadata: what is an item's own."""

P, R = ParamSpec("P"), TypeVar("R")

logger = getLogger(__name__)


def check(make: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call ``make``; whatever ValueError it raises becomes a message of Inspect's, without a traceback.

    Raises:
        PrerequisiteError: see there.
    """
    try:
        return make(*args, **kwargs)
    except ValueError as error:
        raise PrerequisiteError(str(error)) from error


def together(*checks: Callable[[], Any]) -> list[Any]:
    """What each of the checks returns.

    Raises:
        PrerequisiteError: some of them refuse; one message has all of theirs.
    """
    found, wrong = [], []
    for each in checks:
        try:
            found.append(each())
        except PrerequisiteError as error:
            wrong.append(str(error))
    if wrong:
        raise PrerequisiteError("\n".join(dict.fromkeys(wrong)))
    return found


def choose(task: str, **given: Any) -> None:
    """Check parameters by `CHOICES` and `TYPES`; others are left to whoever reads them.

    Raises:
        PrerequisiteError: one has a value that it cannot have; all of them are named.
    """
    wrong = [
        f"{task}: {name}={value}: choose of {', '.join(CHOICES[name])}"
        for name, value in given.items()
        if name in CHOICES and value not in CHOICES[name]
    ]
    wrong += [
        f"{task}: {name}={value}: it must be {TYPES[name][1]}"
        for name, value in given.items()
        if name in TYPES and value is not None and not isinstance(value, TYPES[name][0])
    ]
    if given.get("judged") == "thought" and given.get("thought") == "none":
        wrong.append(f"{task}: judged=thought, thought=none: there is no thought to judge; choose judged=answer")
    if wrong:
        raise PrerequisiteError("\n".join(wrong))


def read_set(name: str, source: str | None, options: Mapping[str, Any]) -> Loaded:
    """A set, which says where it is not the paper's.

    Raises:
        PrerequisiteError: it cannot be loaded; the message says what to do.
    """
    loaded = check(load, name, source, **options)
    if differs := loaded.origin.get("differs"):
        logger.warning(f"{name} is not the paper's set: {differs}")
    return loaded


def read_safety_set(task: str, name: str, source: str | None) -> Loaded:
    """A set of requests, for a task that takes any.

    Raises:
        PrerequisiteError: there is no such set, or it is one of problems; or as `read_set`.
    """
    fitting = [known for known, info in SETS.items() if not info.is_math]
    if name not in fitting:
        raise PrerequisiteError(f"{task}: set={name}: choose one of {', '.join(fitting)}{did_you_mean(name, fitting)}")
    loaded = read_set(name, source, {})
    if all(item.label == "benign" for item in loaded.items):
        logger.warning(
            f"{task}: all requests of {name} are benign, so hardly an answer is unsafe, and the figures say little"
        )
    return loaded


def make_task(
    loaded: Loaded,
    decoding: Decoding,
    solver: Solver | Sequence[Solver],
    scorer: Scorer,
    figures: Mapping[str, Any],
    chosen: Mapping[str, Any],
    reducers: Sequence[str] = ("mean",),
) -> Task:
    """A task whose log says which set, figures, decoding and parameters it has.

    Args:
        figures: by the scorer's name, see `sinternal_verl.evaluation.tasks.figures.Figure.origin`.
        chosen: parameters of the task, for the log.
        reducers: of the epochs.
    """
    return DecodedTask(
        dataset=MemoryDataset([sample_of(item) for item in loaded.items], name=loaded.origin["set"]),
        solver=solver,
        scorer=scorer,
        config=decoding.config(),
        epochs=Epochs(int(decoding.epochs), list(reducers)),
        headline_metric=HeadlineMetric(reducer=reducers[-1]),
        metadata={
            "set": loaded.origin["set"],
            "origin": loaded.origin,
            "figures": dict(figures),
            "decoding": decoding.origin(),
            "parameters": dict(chosen),
        },
    )


def sample_of(item: Item) -> Sample:
    """An item as a sample. What a judge reads stands in its metadata where it is not the prompt."""
    own = {"request": None if item.request == item.prompt else item.request, "label": item.label, "rubric": item.rubric}
    beside = {name: value for name, value in item.metadata.items() if name not in RESERVED}
    metadata = beside | {name: value for name, value in own.items() if value}
    return Sample(id=item.id, input=item.prompt, target=item.target, metadata=metadata)
