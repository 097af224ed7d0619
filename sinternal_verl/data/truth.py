r"""Ground truths: whether a text is one, whether it is whole, and where a solution holds it.

>>> absent("Proof."), absent(float("nan")), absent("see the solution"), absent(r"\frac{1}{2}")
('proof', 'nan', 'see solution', None)
>>> damage("\frac{1}{2}")
'a form feed at character 1, where \\frac was meant: in JSON, and in most programs, a backslash is written twice'
>>> after_hashes("Half of 2,468 is 2468/2 = 1234.\n#### 1,234"), boxed(r"So it is $\boxed{\frac12}$.")
('1234', '\\frac12')
"""

import math
import re
from typing import Any

from sinternal_verl.data.adapter import NoTruth, RowError
from sinternal_verl.scoring.latex import canonical
from sinternal_verl.scoring.response import last_box

_ABSENT = {
    "proof": ("proof", "proofs", "proved", "proven", "prove", "qed", "q e d"),
    "not found": ("notfound", "not found", "answer not found", "no answer", "no answer found", "no final answer"),
    "unknown": ("unknown", "not available", "unavailable", "not provided", "not given", "answer not provided", "tbd"),
    "none": ("none", "null", "nil"),
    "nan": ("nan", "nat"),
    "n/a": ("n a", "na", "not applicable"),
    "see solution": (
        *("omitted", "answer omitted", "solution omitted"),
        *("略", "答案略", "解析略", "见解析", "详见解析", "答案见解析"),
    ),
}
_KIND_OF = {words: kind for kind, all_words in _ABSENT.items() for words in all_words}
_SEE = re.compile(
    r"(please )?(see|refer to|as in|given in) (the )?(attached |full |above |below )?"
    r"(solution|explanation|proof|answer|figure|text|notes?|above|below)s?( (above|below))?"
)
_PROOF = re.compile(r"proofs?\b|证明")
"""How the words of a proof begin, and of what is said in its place."""
_END_OF_PROOF = re.compile(r"[\s$.]*(?:[∎□■◻◼]|\\(?:square|blacksquare|Box|qed|qedsymbol)\b)[\s$.]*")
_SPREADSHEET_ERROR = re.compile(r"\s*#(?:REF|DIV/0|VALUE|NAME|NUM|NULL|N/A)[!?]?\s*")
_MARKS = re.compile(r"[-\u2013\u2014_.\u2026?\"'`\u2018-\u201f\s]+")
_WORD = re.compile(r"[^\W_]+")
_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|textit|mathrm|mbox|boxed)\b")

_BOX = re.compile(r"\\boxed(?![A-Za-z])[ \t]*(?:\r?\n[ \t]*)?")
_ARGUMENT = r"[ \t]*(?:[0-9A-Za-z]|\{[^{}]*\})"
# One token, or a fraction or root with its arguments, behind which nothing follows that may belong to the answer.
_ONE_TOKEN = re.compile(
    rf"(\\[dtc]?frac(?![A-Za-z]){_ARGUMENT}{_ARGUMENT}|\\sqrt(?![A-Za-z]){_ARGUMENT}|\\(?!boxed)[A-Za-z]+|[0-9A-Za-z])"
    r"(?=\s*(?:\Z|\$|\\[)\]]|\}|[.,;](?:\s|\$|\\|\Z))|\s+[^\W\d_]{2})"
)

# The TeX commands whose first letter makes, behind a backslash, an escape of JSON or Python.
_COMMANDS = {
    "\a": "alpha angle approx arccos arcsin arctan arg ast aleph",
    "\b": "begin beta bar bf bigcap bigcup big bigl bigr bigg binom bmod boxed bullet because boldsymbol backslash bot",
    "\t": "theta tau times text textbf textit textrm tan tanh tfrac tbinom triangle to tilde therefore top",
    "\n": "neq ne neg nu nabla not notin natural nmid ni nexists nleq ngeq nsubseteq nparallel ncong nless ngtr",
    "\v": "vec varphi vartheta varepsilon varnothing varrho varsigma varpi vee vdots vert vdash vphantom",
    "\f": "frac forall flat frown fbox",
    "\r": "rho right rightarrow rangle rfloor rceil rm rbrace rvert root rtimes",
}
_LETTERS = {control: {command[1:]: command for command in names.split()} for control, names in _COMMANDS.items()}
_NAMES = {
    "\a": "a bell",
    "\b": "a backspace",
    "\t": "a tab",
    "\n": "a line break",
    "\v": "a vertical tab",
    "\f": "a form feed",
    "\r": "a carriage return",
    "\ufffd": "a replacement character, which stands for bytes that are no text,",
}
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ufffd]([a-zA-Z]*)")
_BLANK = "\t\n\r"


def absent(value: Any) -> str | None:
    """The kind of a value that says there is no ground truth; None of a value that may be one.

    >>> absent(None), absent(" "), absent("--"), absent("N/A"), absent("no solution"), absent(r"\\text{None}")
    ('empty', 'empty', 'empty', 'n/a', None, None)
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return "empty"
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    if not isinstance(value, str):
        return None
    if _MARKS.fullmatch(value) or not canonical(value).whole:
        return "empty"
    if _SPREADSHEET_ERROR.fullmatch(value):
        return "n/a"
    bare = _TEXT_COMMAND.sub(" ", value)
    words = " ".join(_WORD.findall(bare.casefold()))
    if _PROOF.match(words) or _END_OF_PROOF.fullmatch(value):
        return "proof"
    kind = "see solution" if _SEE.fullmatch(words) else _KIND_OF.get(words)
    # In TeX, none is an answer: \text{None} (of the above).
    return None if kind == "none" and bare != value else kind


def damage(text: str, prose: bool = False) -> str | None:
    """The first control character that cannot belong to a text, and the TeX command that it has eaten; or None.

    Blanks between lines and columns belong to a text, unless the letters behind them are the rest of a command.

    Args:
        prose: the text is a problem. There a control character without a command is left alone, and so are blanks,
            because any word may follow them.
    """
    for found in _CONTROL.finditer(text):
        control, command = found[0][0], _LETTERS.get(found[0][0], {}).get(found[1])
        if control in _BLANK and (prose or not command or text[: found.start()].endswith(r"\\")):
            continue
        if prose and not command:
            continue
        what = f"{_NAMES.get(control, f'the control character U+{ord(control):04X}')} at character {found.start() + 1}"
        if not command:
            return f"{what}, which no answer holds"
        return rf"{what}, where \{command} was meant: in JSON, and in most programs, a backslash is written twice"
    return None


def after_hashes(answer: str) -> str:
    """What follows the last ``####``, as GSM8K has it, without the commas within a number.

    Raises:
        RowError: there is no ``####``.
    """
    _, mark, truth = answer.rpartition("####")
    if not mark:
        raise RowError("there is no ####, behind which the ground truth stands")
    return re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", truth.strip())


def boxed(solution: str) -> str:
    r"""The content of the last ``\boxed`` of a solution. Without a brace behind it, that is one token, as in TeX.

    A response is read more strictly: `last_box` passes over a box without a brace.

    >>> boxed(r"It is $\boxed 2$."), boxed(r"\boxed\frac12")
    ('2', '\\frac12')

    Raises:
        NoTruth: there is none.
        RowError: it is not closed, or longer than a box may be, or has no brace and may hold more than one token.
    """
    ends = [found.end() for found in _BOX.finditer(solution)]
    if not ends:
        raise NoTruth("no box")
    if not solution.startswith("{", ends[-1]):
        if token := _ONE_TOKEN.match(solution, ends[-1]):
            return token[1]
        raise RowError(r"no brace follows the last \boxed, and what it holds cannot be told; write \boxed{ANSWER}")
    box = last_box(solution)
    if isinstance(box, str):
        return box
    raise RowError(rf"the last \boxed is {box.name.lower().replace('_', ' ')}")


def boxed_or_all(solution: str) -> str:
    r"""The last box of a solution, or all of a text that is no solution but the answer."""
    return boxed(solution) if r"\boxed" in solution else solution
