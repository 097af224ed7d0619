"""One item of an evaluation set, whatever file it came from."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Item:
    """What a task takes of one row of a set.

    Attributes:
        id: names the item within its set, also in another file of the same set: the set's own id where it has one,
            else the row's number, from 0.
        prompt: what the model is sent, as one user message.
        request: what a judge reads as the request. It is the prompt, except where the prompt is an attack made of a
            plain request that the set names, too (H-CoT's ``Goal``).
        label: ``harmful`` or ``benign``; empty where the set is not about safety.
        target: the ground truth of a problem; empty where there is none.
        rubric: questions, each to be answered with yes or no (FORTRESS); empty where there is none.
        metadata: other columns worth keeping, such as a category. They hold no text of an attack.
    """

    id: str
    prompt: str
    request: str
    label: str = ""
    target: str = ""
    rubric: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


def plain(text: str) -> str:
    """The text in one form of Unicode and with one space between words: files of one set differ in both.

    >>> plain("May I  feed the ducks?\\n")
    'May I feed the ducks?'
    """
    return " ".join(unicodedata.normalize("NFC", text).split())
