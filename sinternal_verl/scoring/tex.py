r"""Reads an answer as TeX does: into tokens, then each command with its arguments.

1. A token is a command, a number, a run of letters, a ``\text{…}`` or one other character.
2. An argument is a group in braces or the next token; of a number or a run of letters only its first
   character. So ``\frac12``, ``\frac{1}2`` and ``\frac{1}{2}`` are one fraction, and ``x^23`` is ``x^{2}3``.
3. Braces that are no argument group nothing. Spaces mean nothing, except between two numbers.
4. Each symbol becomes one character (`symbols`). Commands for style, size and spacing are not seen.

One pass over the tokens with a stack of open groups, without recursion: linear, since the depth is bounded.
"""

import re

from sinternal_verl.scoring.symbols import COMMANDS, FUNCTIONS, GAP, ROW, SYMBOLS
from sinternal_verl.scoring.tex_frames import Command, Group
from sinternal_verl.scoring.tex_spelling import BOLD, FRACTIONS, WITH_COLUMNS, environment, spell
from sinternal_verl.scoring.tex_tokens import digits, has_plain_commas, tokenize, tokens_of_text

WORD = "\x02"
"""Stands before each word of a ``\\text{…}``."""

MAX_DEPTH = 64
"""The most groups and commands that may be open at a time. No answer has more than a few."""

_WORDS = re.compile(r"[A-Za-z][A-Za-z.\s/]*")
_SPACES = re.compile(r"\s+")
_NUMERIC = frozenset("0123456789.")

_KNOWN: dict[str, str | tuple[str, int]] = SYMBOLS | COMMANDS


class Unreadable(ValueError):
    """TeX could not read it: a brace or an argument is missing, or too many are open."""


def read(text: str) -> list[str]:
    """The items of an answer: one for each symbol, number, run of letters, word, or command with its arguments.

    >>> read(r"\\frac12 x + \\text{two words}")
    ['\\\\frac{1}{2}', 'x', '+', '\\x02two\\x02words']

    Raises:
        Unreadable
    """
    return _Reader(tokenize(text)[::-1]).read()


class _Reader:
    __slots__ = ("_gap", "_items", "_stack", "_tokens")

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens  # the next one is the last
        self._items: list[str] = []
        self._stack: list[Command | Group] = [Group("answer", 0)]
        self._gap = -1  # number of items before the last space

    def read(self) -> list[str]:
        tokens, items, stack, known = self._tokens, self._items, self._stack, _KNOWN
        while tokens:
            token = tokens.pop()
            seen = known.get(token)
            if seen is None:
                free = stack[-1].__class__ is Group
                if free and (token.isalpha() or (token.isdigit() and not items)):
                    items.append(token)
                else:
                    self._read(token)
            elif seen.__class__ is tuple:
                self._expect(*seen)
            elif seen == GAP:
                self._gap = len(items)
            elif seen:
                if stack[-1].__class__ is Group:
                    items.append(seen)
                else:
                    self._give(seen)
        if len(stack) > 1:
            raise Unreadable("something is open")
        return [self._close()] if stack[0].fraction else items

    def _read(self, token: str) -> None:
        first = token[0]
        if first in _NUMERIC:
            self._number(token)
        elif first == "\\":
            self._command(token)
        elif first in "{}[]":
            self._bracket(token)
        elif token.isalpha():  # an argument is one letter
            self._give(first)
            self._tokens += [token[1:]] if len(token) > 1 else []
        elif first.isspace():
            self._gap = len(self._items)
        else:
            self._add(token)

    @property
    def _waiting(self) -> bool:
        return self._stack[-1].__class__ is Command

    def _add(self, piece: str) -> None:
        if self._stack[-1].__class__ is Command:
            self._give(piece)
        elif piece[0] == "_" and self._items and self._items[-1][:2] == "^{" and len(self._items) > self._floor():
            self._items.insert(-1, piece)  # x^a_b looks like x_b^a
        else:
            self._items.append(piece)

    def _give(self, piece: str) -> None:
        """Give a piece to the command that waits for it, and what becomes of that to the next one or to the items."""
        stack = self._stack
        while stack[-1].__class__ is Command:
            command = stack[-1]
            command.arguments.append(piece)
            if len(command.arguments) < command.wanted:
                return
            stack.pop()
            if command.name == GAP:
                self._gap = len(self._items)
            piece = spell(command.name, command.arguments)
        if piece:
            self._add(piece)

    def _floor(self) -> int:
        """The first item of the innermost argument."""
        return next(frame.start for frame in reversed(self._stack) if frame.__class__ is Group and frame.kind)

    def _open(self, frame: Command | Group) -> None:
        self._stack.append(frame)
        if len(self._stack) > MAX_DEPTH:
            raise Unreadable("too much is open")

    def _expect(self, name: str, wanted: int) -> None:
        """Begin a command; most find their arguments at once, the others wait."""
        if self._waiting and name in "^_":
            raise Unreadable("an argument is missing")
        tokens, arguments = self._tokens, []
        if not name and tokens and tokens[-1] == "[":  # \color[rgb]{1,0,0}
            self._skip_option()
        while tokens and len(arguments) < wanted:
            token = tokens[-1]
            if token[0] == "{" and len(token) > 1:
                arguments.append(token[1:-1])
                tokens.pop()
            elif token.isalnum():
                arguments.append(token[0])
                tokens[-1:] = [token[1:]] if len(token) > 1 else []
            else:
                break
        if len(arguments) < wanted:
            self._open(Command(name, wanted, arguments))
        elif name == GAP:
            self._gap = len(self._items)
        elif spelled := spell(name, arguments):
            self._add(spelled)

    def _skip_option(self) -> None:
        """Leave out what stands in brackets before the arguments."""
        while self._tokens:
            if self._tokens.pop() == "]":
                return
        raise Unreadable("a bracket is missing")

    def _number(self, token: str) -> None:
        if self._waiting:
            self._give(token[0])
            self._tokens += reversed(tokenize(token[1:]))
            return
        items = self._items
        if has_plain_commas(token) and self._in_list():
            self._tokens += reversed(re.split("(,)", token))
            return
        number = digits(token)
        if items and items[-1][-1] in _NUMERIC and len(items) > self._floor():
            group = self._stack[-1]
            if group.start == len(items):  # 1{2\over3} is no 12\over3
                items.append(GAP)
                group.start += 1
            elif self._gap != len(items) and items[-1].removesuffix(".").isdigit() and number.isdigit():
                number = items.pop() + number
            else:
                items.append(GAP)
        items.append(number)

    def _in_list(self) -> bool:
        """Whether other commas or brackets say that a comma separates members, not thousands."""
        if "," in self._tokens or "," in self._items:
            return True
        return sum(map(self._items.count, "([⦃⟨⟦")) > sum(map(self._items.count, ")]⦄⟩⟧"))

    def _command(self, token: str) -> None:
        name = token[1:]
        if not name:
            self._add(token)
        elif name[-1] == "}":
            self._braced(name)
        elif name in FRACTIONS:
            group = self._stack[-1]
            if self._waiting or group.fraction:
                raise Unreadable(token)
            group.fraction = (FRACTIONS[name], "".join(self._items[group.start :]))
            del self._items[group.start :]
        elif name[0] == "\\":
            self._add(ROW)
        elif name[-1] == ".":
            return
        elif name[:3] == "not" and name[-1] in "=n" and (known := SYMBOLS.get(_SPACES.sub("", token))):
            self._add(known)
        elif name[-1:] in "abcdefghijklmnopqrstuvwxyz" and name.startswith(BOLD) and not name.isalpha():
            self._add(f"\\mathbf{{{name[-1]}}}")
        elif self._waiting:
            self._give(token + " ")
        else:
            self._items.append(token + " ")
            self._open_kept()

    def _open_kept(self) -> None:
        """Keep the braces behind a command that is not known: what they group is not known either."""
        while self._tokens and self._tokens[-1][0] == "{":
            group = self._tokens.pop()
            if group == "{":
                self._open(Group("kept", len(self._items)))
                return
            self._items.append(group)

    def _braced(self, name: str) -> None:
        command, _, content = name[:-1].partition("{")
        command, content = command.rstrip(), content.replace("~", GAP).strip()
        if command in ("begin", "end"):
            self._environment(command, content.rstrip("*"), content[-1:] == "*")
        elif command in BOLD:
            self._add(f"\\mathbf{{{content}}}")
        elif content in FUNCTIONS:
            self._add(SYMBOLS[content])
        elif not content:
            self._gap = len(self._items)
        elif _WORDS.fullmatch(content):
            self._add(WORD + WORD.join(content.split()))
        else:
            self._tokens.append("}")
            self._tokens += reversed(tokens_of_text(content))
            self._tokens.append("{")

    def _environment(self, command: str, name: str, starred: bool) -> None:
        borders = environment(name)
        if self._waiting:
            raise Unreadable(name)
        if command == "begin":
            self._items += borders.begins
            if starred and borders.begins and self._tokens and self._tokens[-1] == "[":
                self._skip_option()
            if name in WITH_COLUMNS:
                self._expect("", 1)
            return
        while self._items and self._items[-1] == ROW:
            self._items.pop()  # a break behind the last row makes no row
        self._items += borders.ends

    def _bracket(self, token: str) -> None:
        top, start = self._stack[-1], len(self._items)
        if token == "{":
            self._open(Group("argument" if self._waiting else "", start))
        elif token[0] == "{":
            if self._waiting:
                self._give(token[1:-1])
            else:
                self._tokens.append(token[1:-1])
        elif token == "[" and self._waiting and top.name == "√" and not top.arguments:
            self._open(Group("degree", start))
        elif token == "]" and not self._waiting and top.kind == "degree":
            degree = self._close()
            self._stack[-1].name = "√" if degree in ("", "2") else f"√[{degree}]"
        elif token in "[]":
            self._add(token)
        elif self._waiting or top.kind in ("answer", "degree"):
            raise Unreadable("an argument or a brace is missing")
        else:
            content = self._close()
            if top.kind == "argument":
                self._give(content)
            elif top.kind == "kept":
                self._items.append(f"{{{content}}}")
                self._open_kept()

    def _close(self) -> str:
        """Close the innermost group: what it holds, as one string. The items of a group of no kind stay."""
        group, items = self._stack.pop(), self._items
        if not group.kind and not group.fraction:
            return ""
        content = "".join(items[group.start :])
        del items[group.start :]
        if group.fraction:
            content = f"\\{group.fraction[0]}{{{group.fraction[1]}}}{{{content}}}"
            if not group.kind:
                items.append(content)
        return content
