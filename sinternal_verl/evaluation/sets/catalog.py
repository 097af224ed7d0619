"""The sets that can be evaluated: what each is, where it is, and which of its rows the paper takes. ``catalog.yaml``
has the facts, and where each is from.

>>> SETS["strongreject"].title, SETS["strongreject"].n, SETS["strongreject"].label
('StrongREJECT', 313, 'harmful')
>>> SETS["xstest"].choose({"half": "unsafe"})
{'half': 'unsafe'}
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import yaml

from sinternal_verl.did_you_mean import did_you_mean

FILE = Path(__file__).with_name("catalog.yaml")


class SetError(ValueError):
    """A set cannot be read as it was asked for. The message says what to do, and holds no text of a prompt."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a set is published. ``{option}`` in a name stands for the value of the set's option.

    Attributes:
        hub: id of a dataset of the hub.
        revision: its commit; None where none is known.
        file: the file in it; without one all of ``split`` is read.
        url: a web address that names a commit, where the set is not on the hub.
        sha256: of the file; None where it is not known. By the option ``goals``, where ``url`` has it.
    """

    hub: str | None = None
    revision: str | None = None
    file: str | None = None
    split: str | None = None
    url: str | None = None
    sha256: str | Mapping[str, str] | None = None

    def __str__(self) -> str:
        if self.url:
            return self.url
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.hub}{revision}, {self.file or f'split {self.split}'}"


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Columns of the original's schema.

    Attributes:
        prompt: what is sent; empty for a math set, whose columns `sinternal_verl.data.math` knows.
        request: what a judge reads; None takes the prompt.
        context: a text that stands before the prompt, where a row has one.
        id: what names the row; None takes its number.
        rubric: a list of questions.
        keep: only rows that have one of these values in a column.
        metadata: columns that are kept beside the item.
        without: columns that tell another file of the same publisher.
    """

    prompt: str = ""
    request: str | None = None
    context: str | None = None
    id: str | None = None
    rubric: str | None = None
    keep: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    metadata: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def wanted(self) -> list[str]:
        """The columns that a file must have."""
        return [name for name in (self.prompt, self.request, self.context, self.id, self.rubric, *self.keep) if name]


@dataclass(frozen=True, kw_only=True)
class SetInfo:
    """One set.

    Attributes:
        name, title, about: for the command line, tables and lists.
        n: number of prompts in the paper's evaluation; None where it is not known.
        licence: the set's own.
        label: of its rows; ``by_row`` where a column says it, ``none`` for a math set.
        place: where it is published; None where it is not.
        columns: of its own schema.
        shuffle: the seed after which the paper's rows are the first ``n``; None takes all as they stand.
        files: names, without endings, by which a file of a folder is known.
        ids: ranges of the ids of the rows of a file that has none, where its content is that of the set.
        content: digests of the prompts in order, by the choice of rows.
        options: the values that each option may have, the default first; none for any value.
        how: how to get it, where it cannot simply be fetched.
    """

    name: str
    title: str
    about: str
    n: int | None
    licence: str
    label: Literal["harmful", "benign", "by_row", "none"]
    columns: Columns
    place: Place | None = None
    shuffle: int | None = None
    files: tuple[str, ...] = ()
    ids: tuple[tuple[int, int], ...] = ()
    content: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    how: str = ""

    @property
    def is_math(self) -> bool:
        return self.label == "none"

    @property
    def where(self) -> str:
        """Where it is published, for lists."""
        return str(self.place) if self.place else "not published"

    def choose(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The value of each option; those that are left out, or None, have their default.

        Raises:
            SetError: there is no such option or value.
        """
        for name in options:
            if name not in self.options:
                known = ", ".join(self.options) or "none"
                near = did_you_mean(name, self.options)
                raise SetError(f"{self.name} has no option {name}; its options are: {known}{near}")
        chosen = {}
        for name, values in self.options.items():
            value = options.get(name)
            if value is None:
                value = values[0] if values else None
            elif values and value not in values:
                near = did_you_mean(str(value), values)
                raise SetError(f"{self.name}: {name}={value!r}; choose one of {', '.join(values)}{near}")
            chosen[name] = value
        return chosen


def find_set(name: str) -> SetInfo:
    """The set of this name.

    Raises:
        SetError: there is none.
    """
    if name not in SETS:
        raise SetError(f"there is no set {name}; known are {', '.join(SETS)}{did_you_mean(name, SETS)}")
    return SETS[name]


def _read_sets() -> Mapping[str, SetInfo]:
    return MappingProxyType({name: _info(name, **entry) for name, entry in yaml.safe_load(FILE.read_text()).items()})


def _info(name: str, columns: dict[str, Any], place: dict[str, Any] | None = None, **entry: Any) -> SetInfo:
    keep = {column: tuple(values) for column, values in columns.get("keep", {}).items()}
    lists = {key: tuple(columns.get(key, ())) for key in ("metadata", "without")}
    options = {option: tuple(values) for option, values in entry.pop("options", {}).items()}
    return SetInfo(
        name=name,
        columns=Columns(**columns | lists | {"keep": keep}),
        place=Place(**place) if place else None,
        files=tuple(entry.pop("files")),
        ids=tuple((first, last) for first, last in entry.pop("ids", ())),
        options=options,
        **entry,
    )


SETS: Mapping[str, SetInfo] = _read_sets()
"""Name -> set."""
