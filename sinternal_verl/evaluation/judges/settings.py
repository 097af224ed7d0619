"""Checks settings by their annotations, so that a judge's signature is all that is said of them: their names, their
types and their bounds.

>>> problems({"max_tokens": Count, "raw": bool}, {"max_tokens": 0, "rwa": True})
['max_tokens=0: it should be greater than or equal to 1', 'it has no setting rwa; did you mean raw?; it has \
max_tokens, raw']
"""

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Annotated, Any, get_type_hints
from urllib.parse import urlsplit

# Inspect requires it.
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from sinternal_verl.did_you_mean import did_you_mean
from sinternal_verl.runs.secrets import masked

STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)
"""``"5"`` is no number, and 1 is not true: a word that was meant otherwise is told, and not turned into a value."""

Count = Annotated[int, Field(ge=1)]
Tries = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Temperature = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or (parts.port or 1) < 1:
        raise ValueError("this is no address; give one such as http://host:8000/v1")
    return url


Address = Annotated[str, AfterValidator(_address)]
"""Of a server."""


def settings_of(judge: type) -> dict[str, Any]:
    """The settings that a judge's class takes, each with its type: its own, and those that it hands to its base."""
    found: dict[str, Any] = {}
    for each in judge.__mro__:
        if "__init__" not in vars(each) or each is object:
            continue
        parameters = signature(each.__init__).parameters.values()
        types = get_type_hints(each.__init__, include_extras=True)
        own = (each.name for each in parameters if each.kind is Parameter.KEYWORD_ONLY)
        found |= {name: types[name] for name in own if name not in found}
        if not any(each.kind is Parameter.VAR_KEYWORD for each in parameters):
            break
    return found


def problems(known: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """What is wrong with settings.

    Args:
        known: the type of each that there is.
        given: their values.
    """
    wrong = []
    for name, value in given.items():
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            wrong.append(f"it has no setting {name}{did_you_mean(name, known)}; {has}")
        elif said := _said(known[name], value):
            wrong.append(f"{name}={masked(name, value)}: {said}")
    return wrong


def _said(kind: Any, value: Any) -> str:
    """What is wrong with a value; of a union the first kind that does not fit says it."""
    try:
        TypeAdapter(kind, config=STRICT).validate_python(value)
    except ValidationError as error:
        return error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ").replace("Input", "it")
    return ""
