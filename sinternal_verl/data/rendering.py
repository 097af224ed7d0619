"""How a row of a build becomes prompt and completion: as it was built, but for what ``data.verification`` changes.

A setting that is null is the file's own. So a specification of the user's need not be named again, and where nothing
is set, prompt and completion are those that `sinternal-verl verify build` wrote.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from sinternal_verl.data.schema import read_provenance
from sinternal_verl.data.specification import Specification, SpecificationError, load_specification
from sinternal_verl.data.template import PromptError, Target, VerificationPrompt, completion
from sinternal_verl.hashing import key_of
from sinternal_verl.scoring.critique import THOUGHT_TAGS, Critique

BUILT_COLUMNS = ("prompt", "completion", "request", "answer", "critique", "verdict")
"""Columns of a build's training file from which its rows are rendered."""

NODE = "data.verification"
PROMPT_KEYS = ("specification", "prompt")
KEYS = (*PROMPT_KEYS, "target", "thinks")
"""The settings in `NODE`. The first two decide a prompt, the others a completion."""


def is_built(columns: Collection[str]) -> bool:
    """Whether a file with these columns was written by `sinternal-verl verify build`."""
    return {*BUILT_COLUMNS, "harm", "sample"} <= set(columns)


class Fault(NamedTuple):
    """What is wrong with one setting.

    Attributes:
        key: its dotted key.
        reason: what is wrong.
        next_step: what the user can type instead.
    """

    key: str
    value: Any
    reason: str
    next_step: str


class RenderingError(ValueError):
    """Settings in ``data.verification`` cannot be used.

    Attributes:
        faults: all of them.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(f"{key}={value}: {reason}; {step}" for key, value, reason, step in faults))


def asked_for(settings: Any) -> dict[str, Any]:
    """The settings that are not null.

    >>> asked_for({"target": "judgment", "prompt": None})
    {'target': 'judgment'}
    """
    return {str(key): value for key, value in settings.items() if value is not None} if _is_node(settings) else {}


def find_faults(settings: Any) -> Iterator[Fault]:
    """Every setting that does not exist or has an impossible value, whatever the files are."""
    if settings is not None and not _is_node(settings):
        yield Fault(NODE, settings, "settings stand below this key, and it has no value itself", _give(KEYS))
    for key, value in asked_for(settings).items():
        name = f"{NODE}.{key}"
        if key not in KEYS:
            yield Fault(name, value, "there is no such key, and nothing would read it", _give(KEYS))
        elif key == "target" and value not in get_args(Target):
            yield Fault(name, value, "there is no such choice", f"choose {', '.join(get_args(Target))}")
        elif key == "thinks" and not isinstance(value, bool):
            yield Fault(name, value, "this must be true or false", "correct the value")
        elif key in PROMPT_KEYS:
            try:
                _LOAD[key](str(value))
            except (SpecificationError, PromptError) as error:
                yield Fault(name, value, str(error), "give one that is there, or null for the one of the build")


class Rendering:
    """Renders the rows of these files of `sinternal-verl verify build`.

    Args:
        files: what was built. Where a setting of the build is needed, it must be the same in all of them.
        settings: the node ``data.verification``; null and an absent key are the build's own.

    Raises:
        RenderingError: a setting cannot be used, or one of the build is needed that its files do not tell.
    """

    def __init__(self, files: Sequence[str | Path], settings: Any) -> None:
        if faults := list(find_faults(settings)):
            raise RenderingError(faults)
        asked, built = asked_for(settings), {}
        for key in _needed(asked):
            try:
                built[key] = _LOAD_BUILT.get(key, lambda told: told)(_told(files, key))
            except (LookupError, SpecificationError) as error:
                faults.append(Fault(f"{NODE}.{key}", None, str(error), f"give {NODE}.{key}"))
        if faults:
            raise RenderingError(faults)
        given = {key: _LOAD[key](str(asked[key])) for key in PROMPT_KEYS if key in asked}
        self._specification: Specification | None = given.get("specification", built.get("specification"))
        self._prompt: VerificationPrompt | None = given.get("prompt", built.get("prompt"))
        self._target: Target | None = asked.get("target", built.get("target"))
        self._thinks: bool | None = asked.get("thinks")

    @property
    def identity(self) -> str:
        """A digest of all settings that decide a prompt."""
        parts = [self._specification.text, self._prompt.template] if self._prompt else ["as built"]
        return key_of(*parts).hex()

    def prompt(self, row: Mapping[str, Any]) -> str:
        """The text that the verifier reads."""
        if self._prompt is None:
            (message,) = row["prompt"]
            return message["content"]
        return self._prompt.fill(self._specification.text, row["request"], row["answer"])

    def completion(self, row: Mapping[str, Any]) -> str:
        """The text that the model learns to write."""
        if self._target is None:
            return row["completion"]
        thinks = row["completion"].startswith(THOUGHT_TAGS[0]) if self._thinks is None else self._thinks
        return completion(Critique(row["critique"], row["verdict"]), self._target, thinks)


def _needed(asked: Mapping[str, Any]) -> Iterator[str]:
    """The settings of a build that are needed beside those that are asked for."""
    if not asked.keys().isdisjoint(PROMPT_KEYS):
        yield from (key for key in PROMPT_KEYS if key not in asked)
    if "thinks" in asked and "target" not in asked:
        yield "target"


def _told(files: Sequence[str | Path], key: str) -> Any:
    """A setting of the build, as the files tell it.

    Raises:
        LookupError: a file does not tell it, or two files tell different ones.
    """
    told = [(read_provenance(Path(file).expanduser()) or {}).get(key) for file in files]
    if None in told:
        raise LookupError(f"{files[told.index(None)]} does not tell the {key} that it was built with")
    if any(other != told[0] for other in told):
        raise LookupError(f"the files were built with more than one {key}")
    return told[0]


def _same_rules(told: Mapping[str, str]) -> Specification:
    """The specification that a build tells, where its rules are still the same.

    Raises:
        SpecificationError: they are not, or cannot be read.
    """
    found = load_specification(told["name"])
    if found.sha256 != told["sha256"]:
        raise SpecificationError(f"{told['name']} has other rules now than when the files were built with it")
    return found


_LOAD = {"specification": load_specification, "prompt": VerificationPrompt.load}
_LOAD_BUILT = {"specification": _same_rules, "prompt": VerificationPrompt}


def _is_node(settings: Any) -> bool:
    # OmegaConf's nodes have this method, too, and are no `Mapping`.
    return hasattr(settings, "items")


def _give(keys: Sequence[str]) -> str:
    return f"{NODE} has {', '.join(keys)}"
