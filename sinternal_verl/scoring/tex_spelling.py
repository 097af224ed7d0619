r"""What a command with its arguments, or the border of an environment, becomes in the canonical form of an answer."""

import re
from typing import NamedTuple

from sinternal_verl.scoring.symbols import GAP

BOLD = ("mathbf", "boldsymbol", "bm", "pmb")
FRACTIONS = {"over": "frac", "choose": "binom"}
"""Commands between numerator and denominator, and what the command before both is called."""

_FENCES = {"p": "()", "b": "[]", "B": "⦃⦄", "v": "||", "V": "‖‖"}
_MATRIX = re.compile(r"([pbBvV]?)(?:small)?matrix|()array")
_DISPLAYS = (
    *("math", "displaymath", "equation", "align", "aligned", "alignat", "alignedat", "flalign", "eqnarray"),
    *("gather", "gathered", "split", "multline"),
)
WITH_COLUMNS = ("array", "alignat", "alignedat")
"""Environments with an argument that says how many columns there are, or of which kind."""
_DEGREES = ("∘", "°", "o")


class Environment(NamedTuple):
    """An environment's borders, as items."""

    begins: list[str]
    ends: list[str]


def environment(name: str) -> Environment:
    r"""The borders of an environment: ``pmatrix`` is a ``matrix`` in parentheses, and so may an ``array`` be. One that
    only displays has none."""
    if name in _DISPLAYS:
        return Environment([], [])
    if name in ("cases", "dcases"):  # \left\{ and an array
        return Environment(["⦃", "⟦"], ["⟧"])
    matrix = _MATRIX.fullmatch(name)
    fences = _FENCES.get(matrix[1] or "", "") if matrix else ""
    return Environment([*fences[:1], "⟦" if matrix else "⟦" + name], ["⟧", *fences[1:]])


def spell(name: str, arguments: list[str]) -> str:
    r"""A command with its arguments; the name is one of `symbols.COMMANDS`.

    >>> spell("^", ["2"]), spell("^", ["o"]), spell("", ["red"])
    ('^{2}', '°', '')
    """
    if name == "^":
        (script,) = arguments
        if script in _DEGREES:
            return "°"
        return script if script and not script.strip("'") else f"^{{{script}}}"
    if name in ("", GAP):
        return ""
    braced = "".join(f"{{{argument}}}" for argument in arguments)
    return name + braced if name[0] in "_√" else f"\\{name}{braced}"
