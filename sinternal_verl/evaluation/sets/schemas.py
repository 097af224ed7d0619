"""Makes items of a set's rows, whether a file has the columns of the set's publisher or those of the sister repository.

The sister's are ``prompt``, one user message (or its text), and ``label``: safe or unsafe, of a math set the answer.
The columns of the first row tell which it is.

>>> from sinternal_verl.evaluation.sets.catalog import SETS
>>> row = {"category": "Keeping", "source": "Orla", "forbidden_prompt": "Lend me the lamp."}
>>> reader = SafetyReader(SETS["strongreject"], row)
>>> reader.read(row)
Item(id='', prompt='Lend me the lamp.', request='Lend me the lamp.', label='harmful', target='', rubric=(), \
metadata={'category': 'Keeping', 'source': 'Orla'})
>>> SafetyReader(SETS["strongreject"], {"prompt": "Lend me the lamp.", "label": "unsafe"}).is_original
False
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from sinternal_verl.data.adapter import Row, RowError, lookup, names_of, text_of
from sinternal_verl.data.math import MathReader, ask, bare
from sinternal_verl.data.safety import PLAIN, SAFE, in_words
from sinternal_verl.evaluation.item import Item, plain
from sinternal_verl.evaluation.sets.catalog import SETS, SetInfo

LABELS = SAFE | PLAIN
SISTER = ("prompt", "label")
WRITTEN_LIST = re.compile(r"""\[\s*\{\s*['"](role|content)['"]\s*:""")
"""What pandas writes into a CSV file for a list of messages."""
MAX_NAME = 30
"""The most characters of a column's name that is shown; the longest of ours has 28."""

ID_DIGITS = 12
"""Of the digest that names a problem."""

ANY_MATH = ("math", "dapo_math")
"""Adapters of `sinternal_verl.data.math` for files that may hold any set."""


class SafetyReader:
    """Reads the rows of one safety set.

    Args:
        first: the first row; its columns tell the schema.

    Attributes:
        is_original: whether the columns are the publisher's, else they are the sister's.

    Raises:
        RowError: the columns are neither.
    """

    def __init__(self, info: SetInfo, first: Row) -> None:
        self._info, columns = info, info.columns
        other = [name for name in columns.without if name in first]
        self.is_original = not other and all(name in first for name in columns.wanted)
        if not self.is_original and (other or not all(name in first for name in SISTER)):
            raise RowError(_other_columns(info, first, ", ".join(columns.wanted)))

    def read(self, row: Row) -> Item | None:
        """The item of a row, whose id may be empty yet; None for a row of another part of the set.

        Raises:
            RowError: the row cannot be used.
        """
        return self._original(row) if self.is_original else self._sister(row)

    def _original(self, row: Row) -> Item | None:
        columns = self._info.columns
        for name, values in columns.keep.items():
            if text_of(name, row.get(name)) not in values:
                return None
        prompt = text_of(columns.prompt, row.get(columns.prompt))
        if columns.context and not _is_blank(row.get(columns.context)):
            # As HarmBench's own direct requests put it.
            prompt = f"{text_of(columns.context, row[columns.context])}\n\n---\n\n{prompt}"
        return Item(
            id=text_of(columns.id, row.get(columns.id), integer=True) if columns.id else "",
            prompt=prompt,
            request=text_of(columns.request, row.get(columns.request)) if columns.request else prompt,
            label=self._label(row),
            rubric=questions(columns.rubric, row.get(columns.rubric)) if columns.rubric else (),
            metadata=_kept(row, columns.metadata),
        )

    def _sister(self, row: Row) -> Item:
        prompt = message(row.get("prompt"))
        return Item(id="", prompt=prompt, request=prompt, label=self._label(row))

    def _label(self, row: Row) -> str:
        wanted = self._info.label
        if self.is_original and wanted != "by_row":
            return wanted
        found = in_words("label", LABELS)(row)
        if wanted not in ("by_row", found):
            raise RowError(f"label says {found}, and all rows of {self._info.name} are {wanted}")
        return found


class MathItems:
    """Reads the rows of one math set; arguments and errors as for `SafetyReader`.

    Args:
        boxed: whether the prompt ends with our instruction, else it is the problem alone.
    """

    def __init__(self, info: SetInfo, first: Row, boxed: bool = False) -> None:
        self._info, self._boxed = info, boxed
        self.is_original = not all(name in first for name in SISTER)
        try:
            self._reader = MathReader(first) if self.is_original else None
        except RowError:
            raise RowError(_other_columns(info, first, "problem, answer")) from None
        if self._reader and self._reader.adapter.name not in (info.name, *ANY_MATH):
            raise RowError(f"the columns are those of {self._reader.adapter.name}")

    def read(self, row: Row) -> Item:
        """See `SafetyReader.read`. The id is made of the problem, because files of one set have other ids, and another
        order."""
        if self._reader:
            made = self._reader.read(row, 0)
            problem, target = bare(self._reader.adapter.problem(row)), made["reward_model"]["ground_truth"]
        else:
            problem, target = bare(message(row.get("prompt"))), text_of("label", row.get("label"), integer=True)
            if target in LABELS:
                raise RowError(f"label is {target}, so this is a safety set")
        prompt = ask(problem) if self._boxed else problem
        metadata = _kept(row, self._info.columns.metadata)
        id = hashlib.sha256(plain(problem).encode()).hexdigest()[:ID_DIGITS]
        return Item(id=id, prompt=prompt, request=problem, target=target, metadata=metadata)


def message(prompt: Any) -> str:
    """The text of a prompt: a text, or a list of one user message.

    >>> message([{"role": "user", "content": "Hello."}]), message("Hello.")
    ('Hello.', 'Hello.')

    Raises:
        RowError: it is neither.
    """
    if isinstance(prompt, list):
        if len(prompt) != 1 or lookup(prompt[0], "role") != "user":
            raise RowError(f"prompt holds {len(prompt)} messages; one, of the user, is wanted")
        prompt = lookup(prompt[0], "content")
    text = text_of("prompt", prompt)
    if WRITTEN_LIST.match(text):
        raise RowError("prompt is a list of messages written as text; save the file as JSON lines or parquet")
    return text


def questions(name: str, value: Any) -> tuple[str, ...]:
    """The questions of a rubric: a list of texts, or one as JSON, as a CSV file has it.

    >>> questions("rubric", '["Is it day?", "Is it dry?"]')
    ('Is it day?', 'Is it dry?')

    Raises:
        RowError: it is no such list, or it is empty.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            raise RowError(f"{name} is a text that is no JSON list") from None
    if not isinstance(value, list | tuple) or not value:
        raise RowError(f"{name} is no list of questions")
    return tuple(text_of(name, question) for question in value)


def _kept(row: Row, names: Iterable[str]) -> dict[str, Any]:
    return {name: row[name] for name in names if not _is_blank(row.get(name))}


def _is_blank(value: Any) -> bool:
    """Whether a cell is empty; pandas writes an empty one as NaN."""
    return value is None or (isinstance(value, str) and not value.strip()) or value != value


def _other_columns(info: SetInfo, first: Mapping[str, Any], wanted: str) -> str:
    """What is wrong with the columns of a file that is not of this set, and of which set it is."""
    # Of a CSV file without a header the names are a row, and none of its words may be shown.
    names = (name if len(name) <= MAX_NAME else f"a name of {len(name)} characters" for name in map(str, first))
    found = f"the columns are {names_of(dict.fromkeys(names))}; wanted are {wanted}, or prompt and label"
    others = [other.name for other in SETS.values() if other is not info and _fits(other, first)]
    return found + (f"; they are the columns of {' and '.join(others)}" if others else "")


def _fits(info: SetInfo, first: Mapping[str, Any]) -> bool:
    if info.is_math:
        return "problem" in first and "answer" in first
    columns = info.columns
    return all(name in first for name in columns.wanted) and not any(name in first for name in columns.without)
