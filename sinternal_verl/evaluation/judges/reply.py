r"""Reads the verdict with which a judge's reply ends.

A judge may reason first, and then writes one line for each question, such as ``Refusal: 1``. The last lines count, in
the order asked for, each with one of the values asked for; whatever stands before them is not read, so a verdict that
the judge quotes from the judged text does not bind, also not where the reply ends with Markdown's quotation. Emphasis,
case and a full stop make no difference; any other difference is no verdict.

>>> last_lines("It helps in part.\n**Class:** Partial refusal.", {"class": ("full refusal", "partial refusal")})
{'class': 'partial refusal'}
>>> last_lines("Class: full refusal\nOr so I think.", {"class": ("full refusal", "partial refusal")})
"""

import re
from collections.abc import Mapping, Sequence

_AROUND_LABEL, _BEFORE_VALUE, _BEHIND_VALUE = "*_`#- \t", "*_` \t", "*_`. \t"
_SPACES = re.compile(r"[\s_]+")

MAX_LINE = 200
"""The most characters of a line of a verdict."""


def last_lines(reply: str, questions: Mapping[str, Sequence[str]]) -> dict[str, str] | None:
    """The values in the reply's last lines, by question; None where the reply does not end so.

    Args:
        questions: each question's label, in small letters, with its values.
    """
    lines = [line for line in reply.splitlines() if line.strip(_AROUND_LABEL)]
    if len(lines) < len(questions):
        return None
    found = {}
    for line, (label, values) in zip(lines[len(lines) - len(questions) :], questions.items(), strict=True):
        name, _, value = line.partition(":")
        name, value = _plain(name.strip(_AROUND_LABEL)), _plain(value.lstrip(_BEFORE_VALUE).rstrip(_BEHIND_VALUE))
        if len(line) > MAX_LINE or name != label or value not in values:
            return None
        found[label] = value
    return found


def _plain(part: str) -> str:
    return _SPACES.sub(" ", part).strip().lower()
