r"""Math sets as verl wants them: what is the problem, what its ground truth, what its index.

>>> row = {"problem": "What is $1+1$?", "answer": 2, "unique_id": "test/1"}
>>> MathReader(row).read(row, number=1)
MathProblem(text='What is $1+1$?', ground_truth='2', index='test/1')

A file is known by the columns of its first row: MATH-500, AIME 2024, DAPO-Math-17k in verl's own
schema, or any with a problem (or question) and an answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

INSTRUCTION = r"Please reason step by step, and put your final answer within \boxed{}."
"""As DeepSeek-R1's usage recommendations word it."""

DAPO_PREFIX = (
    "Solve the following math problem step by step. The last line of your response should be of the form "
    "Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n"
)
DAPO_SUFFIX = '\n\nRemember to put your answer on its own line after "Answer:".'

INDEX_COLUMNS = ("unique_id", "id", "extra_info.index")
"""The first that a file has is its index."""

Row = dict[str, Any]


class RowError(ValueError):
    """Why a row cannot be used. The message holds no problem text: such lists are passed around."""


@dataclass(frozen=True, slots=True)
class MathProblem:
    """One row's content; ``index`` is a string whatever it was."""

    text: str
    ground_truth: str
    index: str


@dataclass(frozen=True)
class Adapter:
    """One kind of file.

    Attributes:
        name: also the default ``data_source``.
        split: the default ``extra_info.split``.
        fits: whether a file with such a first row is of this kind.
        problem: the problem's text of a row.
        answer: column of the ground truth.
        size: problems the set has where that is known: another number means that it is another set.
    """

    name: str
    split: str
    fits: Callable[[Row], bool]
    problem: Callable[[Row], str]
    answer: str = "answer"
    size: int | None = None


def ask(problem: str) -> str:
    """The prompt of a problem: one user message and no system prompt, as DeepSeek-R1 wants it."""
    return f"{problem}\n{INSTRUCTION}"


def _has(*columns: str) -> Callable[[Row], bool]:
    return lambda row: all(column in row for column in columns)


def _is_aime_2024(row: Row) -> bool:
    """Other years' files have the same columns."""
    return _has("id", "problem", "answer", "url")(row) and "2024_AIME" in str(row["url"])


def _dapo_problem(row: Row) -> str:
    """The text between DAPO's two instructions, which ask for another form of answer."""
    messages = row.get("prompt")
    if not isinstance(messages, list) or len(messages) != 1 or lookup(messages[0], "role") != "user":
        raise RowError("prompt is not one user message")
    content = _text("prompt", messages[0].get("content"))
    if not (content.startswith(DAPO_PREFIX) and content.endswith(DAPO_SUFFIX)):
        raise RowError("prompt does not stand between DAPO's two instructions, so they cannot be replaced")
    return _text("the problem", content[len(DAPO_PREFIX) : -len(DAPO_SUFFIX)])


def _column(name: str) -> Callable[[Row], str]:
    return lambda row: _text(name, row.get(name))


ADAPTERS = (
    Adapter("dapo_math", "train", _has("prompt", "reward_model"), _dapo_problem, "reward_model.ground_truth"),
    Adapter(
        "math500", "test", _has("problem", "answer", "subject", "level", "unique_id"), _column("problem"), size=500
    ),
    Adapter("aime2024", "test", _is_aime_2024, _column("problem"), size=30),
    Adapter("math", "train", _has("problem", "answer"), _column("problem")),
    Adapter("math", "train", _has("question", "answer"), _column("question")),
)


class MathReader:
    """Reads the rows of one file.

    Args:
        first: the file's first row; its columns say what the file is.
        index: column of the index, dotted for a struct's field; None takes the first of
            `INDEX_COLUMNS`, or the row's number.

    Raises:
        RowError: no adapter fits, or the row has no such index.
    """

    def __init__(self, first: Row, index: str | None = None) -> None:
        self.adapter = next((adapter for adapter in ADAPTERS if adapter.fits(first)), None)
        # A CSV file without a header has its first problem for columns.
        found = f"the columns are {shorten(', '.join(first), 200) or 'none'}"
        if self.adapter is None:
            wanted = "problem (or question) and answer, or DAPO's prompt and reward_model"
            raise RowError(f"{found}; wanted are {wanted}; rename yours")
        if index and lookup(first, index) is None:
            raise RowError(f"there is no {index} to take the index from; {found}")
        self.index = index or next((column for column in INDEX_COLUMNS if lookup(first, column) is not None), None)

    def read(self, row: Row, number: int) -> MathProblem:
        """
        Raises:
            RowError: the row lacks something, or holds what is no problem, answer or index.
        """
        text = self.adapter.problem(row)
        truth = _text(self.adapter.answer, lookup(row, self.adapter.answer), integer=True)
        for mark in (r"\boxed", "####"):
            if mark in truth:
                raise RowError(f"{self.adapter.answer} holds {mark}, so it is a solution; give the final answer alone")
        index = str(number) if self.index is None else _text(self.index, lookup(row, self.index), integer=True)
        return MathProblem(text, truth, index)


def lookup(row: Any, column: str) -> Any:
    """The value of a column, or of a struct's field by its dotted name; None where there is none.

    >>> lookup({"extra_info": {"index": 7}}, "extra_info.index")
    7
    """
    if isinstance(row, dict) and column in row:
        return row[column]
    head, _, rest = column.partition(".")
    return lookup(row[head], rest) if rest and isinstance(row, dict) and head in row else None


def _text(column: str, value: Any, integer: bool = False) -> str:
    """``value`` if it is text, less the space around it; with ``integer`` also an integer's digits.

    >>> _text("answer", "033"), _text("answer", 33, integer=True)
    ('033', '33')
    >>> _text("answer", True, integer=True)
    Traceback (most recent call last):
    ...
    sinternal_verl.data.math.RowError: answer is True, not a string or an integer
    """
    if value is None:
        raise RowError(f"{column} is missing or null")
    if integer and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        # A float too: nothing says how 0.5 was written, and 33.0 was an integer before a null came near.
        shown = repr(value) if isinstance(value, bool | int | float) else f"a {type(value).__name__}"
        raise RowError(f"{column} is {shown}, not a string{' or an integer' if integer else ''}")
    if not value.strip():
        raise RowError(f"{column} is empty")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RowError(f"{column} holds half a surrogate pair at {error.start}, which no file can hold") from None
    return value.strip()
