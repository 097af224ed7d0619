r"""Cuts an answer into TeX's tokens: a command, a number, a run of letters, a ``\text{…}`` or one other character.

What belongs together for any reader is one token, too: a number with its thousands, a text with its braces.
"""

import re

from sinternal_verl.scoring.symbols import ascii_spelling

_TOKEN = re.compile(
    r"(?<=[0-9.])\s+(?=[0-9])"  # a space between two numbers
    r"|\\(?:begin|end)\s*\{[^{}\\$]*\}"
    r"|\\(?:text|mbox|hbox|mathrm|textrm|textnormal|textup|textbf|textit|textsf|emph|mathit|operatorname\*?)"
    r"\s*\{(?:[^{}\\]|\\[^A-Za-z{}]|\{[^{}\\]*\})*\}"
    r"|\\(?:left|right|[bB]igg?[lrm]?)\s*\.(?![0-9])"  # a bracket that is not seen
    r"|\\(?:mathbf|boldsymbol|bm|pmb)\s*(?:\{\s*[a-z]\s*\}|[a-z](?![A-Za-z]))"  # a bold letter is a vector
    r"|\\not\s*(?:=|\\in(?![A-Za-z]))"
    r"|\\\\\s*\[\s*-?[0-9.]+\s*[a-z]{2}\s*\]"  # a row break with a distance
    r"|\\[hv]space\*|\\[A-Za-z]+|\\[\s\S]"
    # Thousands: with a separator that makes no list, with spaces, or with plain commas. None begins with 0. A number
    # with spaces before a slash may be a mixed one: 2\,125/250.
    r"|[1-9][0-9]{0,2}(?:\s*(?:\{\s*,(?:\s*\\!)*\s*\}(?:\s*\\!)*|\{\{,\}\}|,(?:\s*\{?\\!\}?)+|\\!(?:\s*\\!)*)\s*[0-9]{3})+"
    r"(?![0-9])(?:\.[0-9]+)?"
    r"|[1-9][0-9]{0,2}(?:(?:\s|\s*(?:\\,|\\thinspace|~)\s*)[0-9]{3})+"
    r"(?![0-9]|\s*/|\s+[0-9]|\s*(?:\\,|~)\s*[0-9])(?:\.[0-9]+)?"
    r"|[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?"
    r"|[0-9]+(?:\.(?!\.)[0-9]*)?|\.[0-9]+"
    r"|[A-Za-z]+|\{(?:[1-9][0-9]*|[0A-Za-z])\}|<=|>=|\.{2,}|\S"  # a group of one number or letter is one token
)
_PLAIN_COMMAS = re.compile(r"[0-9]+(?:,[0-9]{3})+(?:\.[0-9]+)?")
_NO_DIGIT = re.compile(r"[^0-9.]+")
_PIECES = re.compile(r"[A-Za-z][A-Za-z.\s/]*|[^A-Za-z]+")


def tokenize(text: str) -> list[str]:
    """The tokens of an answer. Spaces are none, except between two numbers.

    >>> tokenize(r"\\frac12 x + 1{,}000\\text{ cm}")
    ['\\\\frac', '12', 'x', '+', '1{,}000', '\\\\text{ cm}']
    """
    if not text.isascii():
        text = ascii_spelling(text)
    tokens = _TOKEN.findall(text)
    if "$" in text and tokens.count("$") % 2:
        tokens[tokens.index("$")] = r"\$"  # a single one is a currency, no border of mathematics
    return tokens


def tokens_of_text(content: str) -> list[str]:
    r"""The tokens of a ``\text{…}`` that holds more than words: its words are such texts again.

    >>> tokens_of_text("5 cm")
    ['5', '\\text{cm}']
    """
    tokens: list[str] = []
    for piece in _PIECES.findall(content):
        tokens += [rf"\text{{{piece}}}"] if piece[0].isalpha() else _TOKEN.findall(piece)
    return tokens


def has_plain_commas(number: str) -> bool:
    """Whether the commas of a number could as well separate the members of a list."""
    return "," in number and _PLAIN_COMMAS.fullmatch(number) is not None


def digits(number: str) -> str:
    """A number without what separates its thousands."""
    return number if number.isdigit() else _NO_DIGIT.sub("", number)
