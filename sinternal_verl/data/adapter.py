"""What the adapters of math and safety share: they make each row of a source a row of `RL_SCHEMA`, or say why not."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import wraps
from textwrap import shorten
from typing import Any, TypeVar

from sinternal_verl import user_code
from sinternal_verl.did_you_mean import did_you_mean

INDEX_COLUMNS = ("unique_id", "id", "extra_info.index")
"""The first of these columns that a file has is its index."""

Row = dict[str, Any]


class RowError(ValueError):
    """Why a row cannot be used. The message holds no text of a prompt, because lists of bad rows are passed around."""


class NoTruth(RowError):
    """The source itself says that a row has no ground truth. Such a row is left out and counted; it is not bad.

    Attributes:
        kind: the words that say so, such as ``proof`` or ``n/a``.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(f"there is no ground truth: {kind}")
        self.kind = kind


@dataclass(frozen=True)
class Labels:
    """Names that the user gives to the rows; None leaves it to the adapter.

    Attributes:
        name: the set's name, for ``data_source``.
        split: the value of ``extra_info.split``.
        index: the column that the index is taken from.
    """

    name: str | None = None
    split: str | None = None
    index: str | None = None


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """One kind of file.

    Attributes:
        name: the set's name.
        fits: tells from a file's first row whether the file is of this kind.
        split: the default ``extra_info.split``.
        size: number of prompts in the set, where it is known; a file with another number is another set.
    """

    name: str
    fits: Callable[[Row], bool]
    split: str = "train"
    size: int | None = None


AdapterKind = TypeVar("AdapterKind", bound=Adapter)


def load_adapter(path: str, kind: type[AdapterKind]) -> AdapterKind:
    """The ``ADAPTER`` of a user's file, or of ``pkg://package.module``.

    Raises:
        UserCodeError: the file cannot be loaded, has no ``ADAPTER``, or one of another kind.
    """
    adapter = getattr(user_code.load(path), "ADAPTER", None)
    if not isinstance(adapter, kind):
        raise user_code.UserCodeError(f"it has no ADAPTER = {kind.__name__}(...)")
    functions = {name: value for name, value in vars(adapter).items() if callable(value)}
    return replace(adapter, **{name: _named(function) for name, function in functions.items()})


def _named(function: Callable[..., Any]) -> Callable[..., Any]:
    """The user's function, whose exceptions become the reason why a row cannot be used."""

    @wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except RowError:
            raise
        except Exception as error:
            raise RowError(f"the adapter raised {type(error).__name__}: {error}") from error

    return call


class Reader(ABC):
    """Reads the rows of one source. A subclass knows the adapters and makes a row.

    Args:
        first: the source's first row; its columns tell what the source is.
        adapters: the first that fits is taken.
        wanted: the columns they need, for the message when none fits.
        labels: names that the user gives.
        own: the user's adapter, which is taken instead of ``adapters``.

    Raises:
        RowError: no adapter fits, or the row lacks the index column that the user names.

    Attributes:
        name_option: the command's option that sets `Labels.name`.
    """

    name_option = "--name"

    def __init__(
        self, first: Row, adapters: Sequence[Adapter], wanted: str, labels: Labels, own: Adapter | None = None
    ) -> None:
        if own:
            adapters, wanted = (own,), f"those that `fits` of the adapter {own.name} takes"
        found = f"the columns are {names_of(first)}"
        adapter = next((adapter for adapter in adapters if adapter.fits(first)), None)
        if adapter is None:
            step = nested(first) or f"wanted are {wanted}; rename yours{_meant(first, wanted)}"
            raise RowError(f"{found}; {step}")
        if labels.index and lookup(first, labels.index) is None:
            near = did_you_mean(labels.index, first)
            raise RowError(f"there is no {labels.index} to take the index from; {found}{near}")
        self.adapter = adapter
        self.name = labels.name or adapter.name
        self.split = labels.split or adapter.split
        self.index = labels.index or next((name for name in INDEX_COLUMNS if lookup(first, name) is not None), None)

    @abstractmethod
    def read(self, row: Row, number: int) -> Row:
        """The row of `RL_SCHEMA` that a row of the source becomes.

        Args:
            number: the row's number, from 0; its index where the source has none.

        Raises:
            RowError: the row lacks its prompt, ground truth or index, or has one that cannot be used.
            NoTruth: the source says that there is no ground truth.
        """

    def notes(self, written: int) -> list[str]:
        """Notes for the user after ``written`` rows of this set were written."""
        adapter = self.adapter
        if adapter.size in (None, written) or self.name != adapter.name:
            return []
        step = f"if it is another set, name it with {self.name_option}"
        return [f"{adapter.name} has {adapter.size:,} prompts, these are {written:,}; {step}"]

    def index_of(self, row: Row, number: int) -> str:
        """The row's index as a string; its number where the source has no index."""
        return str(number) if self.index is None else text_of(self.index, lookup(row, self.index), integer=True)


def _meant(first: Row, wanted: str) -> str:
    """The columns that are nearly one of those wanted.

    >>> _meant({"promt": "", "label": ""}, "prompt (or question) and label")
    '; did you mean prompt by promt?'
    """
    words = re.findall(r"\w{4,}", wanted)
    near = {name: get_close_matches(str(name), words, 1, 0.8) for name in first if name not in words}
    said = [f"{words[0]} by {name}" for name, words in near.items() if words]
    return f"; did you mean {', '.join(said)}?" if said else ""


def nested(first: Row) -> str | None:
    """What to do where a file is one object that holds the rows in a list; None where it seems to be a row.

    >>> nested({"version": 1, "data": [{"prompt": "1+1?"}]}), nested({"prompt": [{"role": "user", "content": "1+1?"}]})
    ("the rows seem to be the list in data: write one a line, with jq -c '.data[]'", None)
    """
    for name, value in first.items():
        rows = isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
        if rows and not any(key in item for item in value for key in ("role", "from")):  # these are messages
            path = f".{name}" if re.fullmatch(r"[A-Za-z_]\w*", str(name)) else f'.["{name}"]'
            return f"the rows seem to be the list in {shorten(str(name), 30)}: write one a line, with jq -c '{path}[]'"
    return None


def misnamed(wanted: str, names: Iterable[Any]) -> str:
    """What to do where a file lacks a column and has one with nearly its name; empty where it has none.

    >>> misnamed("response", ["prompt", "respnse"]), misnamed("response", ["prompt", "reason"])
    ("the file has 'respnse': rename it", '')
    """
    near = get_close_matches(wanted, [str(name) for name in names], 1, 0.8)
    return f"the file has {near[0]!r}: rename it" if near else ""


def has(*columns: str) -> Callable[[Row], bool]:
    """A test for `Adapter.fits`: the row has all of these columns."""
    return lambda row: all(column in row for column in columns)


def names_of(row: Row) -> str:
    """The names of the columns for a message. They are cut short: a CSV file without a header has a prompt for a name.

    >>> names_of({"prompt": "Hello?", "label": "benign"})
    'prompt, label'
    """
    return shorten(", ".join(shorten(str(name), 30, placeholder="…") for name in row), 200) or "none"


def column(name: str) -> Callable[[Row], str]:
    """A function that returns the text in this column of a row."""
    return lambda row: text_of(name, row.get(name))


def instruction(row: Row) -> str:
    """The text of ``instruction``, with that of ``input`` after a blank line, as Alpaca's sets mean it.

    >>> instruction({"instruction": "Translate.", "input": "ducks"}), instruction({"instruction": "Hi.", "input": ""})
    ('Translate.\\n\\nducks', 'Hi.')

    Raises:
        RowError: one of them is no text, or there is a ``context`` or ``system`` beside them, which would be lost.
    """
    for name in ("context", "system"):
        if not _is_blank(row.get(name)):
            step = "write it into instruction or input, or give an --adapter"
            raise RowError(f"{name} stands beside instruction, and would be left out; {step}")
    text = text_of("instruction", row.get("instruction"))
    return text if _is_blank(row.get("input")) else f"{text}\n\n{text_of('input', row['input'])}"


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def lookup(row: Any, column: str) -> Any:
    """The value of a column, or of a struct's field by its dotted name; None where there is none.

    >>> lookup({"extra_info": {"index": 7}}, "extra_info.index")
    7
    """
    if isinstance(row, dict) and column in row:
        return row[column]
    head, _, rest = column.partition(".")
    return lookup(row[head], rest) if rest and isinstance(row, dict) and head in row else None


def text_of(column: str, value: Any, integer: bool = False) -> str:
    """``value`` if it is text, without the space around it; with ``integer`` also an integer, as its digits.

    >>> text_of("answer", "033"), text_of("answer", 33, integer=True)
    ('033', '33')
    >>> text_of("answer", True, integer=True)
    Traceback (most recent call last):
    ...
    sinternal_verl.data.adapter.RowError: answer is True, not a string or an integer
    """
    if value is None:
        raise RowError(f"{column} is missing or null")
    if integer and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        # A float is refused, too: it does not tell how 0.5 was written, and a reader makes 33 to 33.0 where a
        # column has a null.
        shown = repr(value) if isinstance(value, bool | int | float) else f"a {type(value).__name__}"
        raise RowError(f"{column} is {shown}, not a string{' or an integer' if integer else ''}")
    if not value.strip():
        raise RowError(f"{column} is empty")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RowError(f"{column} holds half a surrogate pair at {error.start}, which no file can hold") from None
    text, space = value.strip(), value[: -len(value.lstrip())]
    # Before a letter these are no space but what is left of a command such as \frac, see `truth.damage`.
    return space[-1] + text if space[-1:] in ("\f", "\v") and text[0].isalpha() else text
