"""Scorers by name, and which of them scores which data source.

A scorer is a function of a sample and its settings, or a class: its instance is made once with the
settings and is called with a sample. Either may be async. It returns a `Score`.

>>> @scorer("short")
... def short(sample: Sample, limit: int = 10) -> Score:
...     return Score(float(len(sample.response) <= limit), Outcome.SCORED)
>>> route = Router([bind("short", {"sources": ["chat/*"], "limit": 3})])
>>> route.find("chat/hello").call(Sample("chat/hello", "Hi!"))
Score(value=1.0, outcome=<Outcome.SCORED: 12>)

A class may have more attributes. ``blocking = False`` says that a call takes at most some
milliseconds, so that it needs no thread. ``check_ground_truth(text)`` returns what is wrong with a ground
truth, or None; without it any ground truth is accepted. One that connects somewhere may have ``start()``, which
begins and returns at once, ``async ready()``, which raises where it will score nothing, and ``async close()``.
"""

import importlib
import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property, partial
from types import ModuleType
from typing import Any

from sinternal_verl import user_code
from sinternal_verl.runs.secrets import masked
from sinternal_verl.scoring.score import Outcome, Sample, Score  # noqa: F401 (the example's)

Scorer = Callable[..., Score | Awaitable[Score]]

OWN_KEYS = ("sources", "scorer", "path", "_target_")
"""Keys of a configured scorer that are not handed to it as settings."""

_registry: dict[str, Scorer | str] = {
    "boxed_math": "sinternal_verl.scoring.boxed_math.BoxedMath",
    "safety": "sinternal_verl.scoring.safety.SafetyScorer",
    "verdict": "sinternal_verl.scoring.verification.VerdictScorer",
}
"""Name -> scorer. Our own stand here by their dotted names and are imported when first asked for."""


class ScorerError(ValueError):
    """A scorer cannot be used as it is configured.

    Attributes:
        key: the key below ``sinternal.scorers``.
        value, reason, next_step: as in `sinternal_verl.doctor.problem.Problem`; the value is without secrets.
    """

    def __init__(self, key: str, value: Any, reason: str, next_step: str) -> None:
        value = masked(f"sinternal.scorers.{key}", value)
        super().__init__(f"sinternal.scorers.{key} = {value}: {reason}; {next_step}")
        self.key, self.value, self.reason, self.next_step = key, value, reason, next_step


def scorer(name: str) -> Callable[[Scorer], Scorer]:
    """Class or function decorator that registers a scorer under ``name``.

    Raises:
        ValueError: another scorer has the name.
    """

    def register(function: Scorer) -> Scorer:
        known = _registry.get(name)
        if known is not None and _origin(known) != _origin(function):
            raise ValueError(f"two scorers are named {name!r}: {_where(known)} and {_where(function)}; rename one")
        _registry[name] = function
        return function

    return register


def scorer_names() -> list[str]:
    """Every registered name."""
    return sorted(_registry)


def _origin(function: Scorer | str) -> str:
    """Module and name. A file that is loaded twice has the same, so it registers its scorer once."""
    return function if isinstance(function, str) else f"{function.__module__}.{function.__qualname__}"


def _where(function: Scorer | str) -> str:
    """The file that a scorer is in; the dotted name of one of ours."""
    return function if isinstance(function, str) else str(getattr(sys.modules[function.__module__], "__file__", "here"))


@dataclass(frozen=True)
class BoundScorer:
    """A scorer with its settings.

    Attributes:
        key: its key below ``sinternal.scorers``.
        sources: data sources it scores; ``*``, ``?`` and ``[…]`` match as in file names.
        call: takes a sample and returns its score, or an awaitable of it.
    """

    key: str
    sources: tuple[str, ...]
    call: Callable[[Sample], Score | Awaitable[Score]]

    @cached_property
    def is_async(self) -> bool:
        """Whether the call returns an awaitable."""
        call = self.call
        awaitable = inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__)
        return getattr(call, "is_async", awaitable)

    @cached_property
    def blocking(self) -> bool:
        """Whether the call may take long, so that it needs a thread."""
        return getattr(self.call, "blocking", not self.is_async)

    def check_ground_truth(self, ground_truth: Any) -> str | None:
        """What is wrong with a row's ground truth, or None."""
        check = getattr(self.call, "check_ground_truth", None)
        return check(ground_truth) if check else None


def bind(key: str, entry: Mapping[str, Any]) -> BoundScorer:
    """Make one entry of ``sinternal.scorers`` callable.

    Args:
        key: the entry's key; also the scorer's registered name, unless ``scorer`` gives another.
        entry: ``sources`` (a name or a list); optionally ``path`` (a file or ``pkg://module`` that
            registers the scorer) or ``_target_`` (the dotted name of a scorer that is not registered).
            All other keys are the scorer's settings.

    Raises:
        ScorerError: the scorer cannot be found, loaded or built with these settings.
    """
    sources = entry.get("sources")
    if not sources:
        raise ScorerError(f"{key}.sources", sources, "it scores nothing", "name data sources: a list, ['*'] for all")
    sources = (sources,) if isinstance(sources, str) else tuple(sources)
    if unknown := unknown_settings(key, entry):
        raise unknown[0]
    settings, function = _settings(entry), _find(key, entry)
    try:
        if inspect.isclass(function):
            call = function(**settings)
        else:
            inspect.signature(function).bind(None, **settings)
            call = partial(function, **settings) if settings else function
    except (TypeError, ValueError, ImportError) as error:
        raise ScorerError(key, settings, str(error), "correct the settings") from error
    return BoundScorer(key, sources, call)


def unknown_settings(key: str, entry: Mapping[str, Any]) -> list[ScorerError]:
    """An error for each setting of an entry that its scorer does not have; the scorer's parameters are its settings.

    Raises:
        ScorerError: the scorer cannot be found or loaded.
    """
    function = _find(key, entry)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # of a builtin, which does not say
        return []
    # A function's first parameter is the sample.
    known = parameters if inspect.isclass(function) else parameters[1:]
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known):
        return []
    names = [parameter.name for parameter in known if parameter.kind is not inspect.Parameter.VAR_POSITIONAL]
    found = []
    for name, value in _settings(entry).items():
        if name not in names:
            near = get_close_matches(name, [*names, *OWN_KEYS], 1)
            has = f"its settings are {', '.join(names)}" if names else "it has none: leave it out"
            step = f"write sinternal.scorers.{key}.{near[0]}" if near else has
            found.append(ScorerError(f"{key}.{name}", value, "the scorer has no such setting", step))
    return found


def _settings(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in OWN_KEYS}


def _find(key: str, entry: Mapping[str, Any]) -> Scorer:
    target, path, name = entry.get("_target_"), entry.get("path"), entry.get("scorer", key)
    if target:
        module, _, attribute = target.rpartition(".")
        function = getattr(_load(f"{key}._target_", target, f"{user_code.PACKAGE}{module}"), attribute, None)
        if not callable(function):
            raise ScorerError(f"{key}._target_", target, f"{module} has no callable {attribute}", "correct the name")
        return function
    if path:
        _load(f"{key}.path", path, path)
    if name not in _registry:
        known = ", ".join(scorer_names())
        step = f"choose one of {known}, or give {key}.path=your_file.py that registers it with @scorer({name!r})"
        raise ScorerError(key, name, "no scorer of this name is registered", step)
    found = _registry[name]
    if isinstance(found, str):
        module, _, attribute = found.rpartition(".")
        return getattr(importlib.import_module(module), attribute)
    return found


def _load(key: str, value: str, path: str) -> ModuleType:
    try:
        return user_code.load(path)
    except user_code.UserCodeError as error:
        raise ScorerError(key, value, str(error), user_code.NEXT_STEP) from error


class Router:
    """Finds the scorer of a data source: an exact name wins over a pattern, a longer pattern over a shorter one.

    Raises:
        ScorerError: two scorers claim one source or pattern.
    """

    def __init__(self, scorers: Sequence[BoundScorer]) -> None:
        self._scorers: dict[str, BoundScorer] = {}
        for bound in scorers:
            for source in bound.sources:
                other = self._scorers.setdefault(source, bound)
                if other is not bound:
                    reason = f"scorer {other.key} claims the same source"
                    raise ScorerError(f"{bound.key}.sources", source, reason, "leave it to one of the two")
        self._patterns = sorted(self._scorers, key=len, reverse=True)

    @classmethod
    def from_config(cls, scorers: Mapping[str, Mapping[str, Any]]) -> "Router":
        """The router of a ``sinternal.scorers`` node.

        Raises:
            ScorerError: an entry cannot be used; the first such entry is named.
        """
        return cls([bind(key, entry) for key, entry in scorers.items() if entry is not None])

    @property
    def scorers(self) -> list[BoundScorer]:
        """Every scorer, once."""
        return list({id(bound): bound for bound in self._scorers.values()}.values())

    @property
    def sources(self) -> list[str]:
        """Every source and pattern that has a scorer."""
        return list(self._scorers)

    def find(self, source: str) -> BoundScorer | None:
        """The scorer of a data source, or None."""
        if not isinstance(source, str):
            return None
        if source in self._scorers:
            return self._scorers[source]
        for pattern in self._patterns:
            if fnmatchcase(source, pattern):
                return self._scorers[pattern]
        return None
