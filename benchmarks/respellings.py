r"""MATH-500's answers written differently, and answers that look like them and are not, by the rules below.

A re-spelling changes how an answer is written and not what it says: a matcher should accept it. A near miss
changes one digit, sign, bracket, exponent or the order: a matcher should refuse it. ``SPELLINGS`` and
``NEAR_MISSES`` hold one function for each rule. It returns the changed answer, or the answer itself where the rule
does not apply. `matchers` prints the shares that each matcher accepts.
"""

import re
from collections.abc import Callable
from random import Random

Rule = Callable[[str], str]


def sub(pattern: str, replacement: str | Callable[[re.Match[str]], str], count: int = 0) -> Rule:
    return lambda answer: re.sub(pattern, replacement, answer, count=count)


def where(pattern: str, rule: Rule) -> Rule:
    """The rule, for answers that match the whole pattern."""
    return lambda answer: rule(answer) if re.fullmatch(pattern, answer) else answer


NUMBER = r"-?[0-9]+(\.[0-9]+)?"
INTEGER = r"-?[0-9]+"
VALUE = rf"{NUMBER}|-?[0-9]*\\(frac|sqrt)[^,=a-zA-Z]*|-?[0-9]+ ?\\pi"
MATRIX = r"\\begin\{pmatrix\}.*"
UNITS = {"degrees": r"^\circ", "cm^2": r"\text{ square centimeters}"}


def thousands(separator: str) -> Rule:
    return where(
        r"-?[1-9][0-9]{3,}",
        lambda answer: re.sub(r"(?<=[0-9])(?=([0-9]{3})+$)", separator.replace("\\", r"\\"), answer),
    )


def around(before: str, after: str) -> Rule:
    return lambda answer: before + answer + after


def within(pattern: str, before: str, after: str) -> Rule:
    return where(pattern, around(before, after))


def tight(answer: str) -> str:
    """No space that TeX skips: each but those between a command and a letter, and those of a text."""
    if re.search(r"\\(text|mbox)|[0-9] +[0-9]", answer):
        return answer
    return re.sub(r"(\\[A-Za-z]+) +(?=[A-Za-z])|\s+", lambda match: f"{match[1]} " if match[1] else "", answer)


def loose(answer: str) -> str:
    """A space around each sign, comma and bracket."""
    return re.sub(r"(?<!\\)([-+=<>()\[\]&]|,(?![0-9]{3}|\\!))", r" \1 ", answer) if "text" not in answer else answer


def translated(table: dict[str, str]) -> Rule:
    def rule(answer: str) -> str:
        for latex, character in table.items():
            answer = re.sub(re.escape(latex) + ("(?![A-Za-z])" if latex[-1].isalpha() else ""), character, answer)
        return answer

    return rule


SPELLINGS: dict[str, dict[str, Rule]] = {
    "fractions": {
        "dfrac": sub(r"\\frac(?![a-z])", r"\\dfrac"),
        "tfrac": sub(r"\\d?frac(?![a-z])", r"\\tfrac"),
        "cfrac": sub(r"\\frac(?![a-z])", r"\\cfrac"),
        "one digit without braces": sub(r"\\frac\{([0-9])\}\{([0-9])\}", r"\\frac\1\2"),
        "top without braces": sub(r"\\frac\{([0-9])\}", r"\\frac\1"),
        "bottom without braces": sub(r"\\frac(\{[^{}]*\})\{([0-9])\}", r"\\frac\1\2"),
        "pi without braces": sub(r"\\frac\{\\pi\}", r"\\frac\\pi"),
        "all braces": sub(r"\\frac ?([0-9])(?=[0-9{])", r"\\frac{\1}"),
        "spaces between arguments": sub(r"\\(d?frac)(\{[^{}]*\})\{", r"\\\1 \2 {"),
        "slash": where(r"-?\\d?frac\{[0-9]+\}\{[0-9]+\}", sub(r"\\d?frac\{([0-9]+)\}\{([0-9]+)\}", r"\1/\2")),
        "slash to fraction": sub(r"([0-9]+)/([0-9]+)", r"\\frac{\1}{\2}"),
        "over": sub(r"\\d?frac\{([^{}]*)\}\{([^{}]*)\}", r"{\1 \\over \2}"),
        "sign above": where(r"-\\frac\{.*", sub(r"-\\frac\{", r"\\frac{-")),
        "sign before the slash": where(r"-\\frac\{[0-9]+\}\{[0-9]+\}", sub(r"-\\frac\{(.*)\}\{(.*)\}", r"-\1/\2")),
    },
    "numbers": {
        "leading zero": where(r"[0-9]+", around("0", "")),
        "decimal point": where(INTEGER, around("", ".0")),
        "point alone": where(INTEGER, around("", ".")),
        "zero behind": where(r"-?[0-9]*\.[0-9]+", around("", "0")),
        "zero before": where(r"\.[0-9]+", around("0", "")),
        "no zero before": where(r"0\.[0-9]+", lambda answer: answer[1:]),
        "plus": where(r"[0-9.]+", around("+", "")),
    },
    "thousands": {
        "comma": thousands(","),
        "braced comma": thousands("{,}"),
        "thin space": thousands(r"\,"),
        "comma and negative space": thousands(r",\!"),
        "no separator": where(
            r"(\\\$)?[0-9]{1,3}(,(\\! ?)?[0-9]{3})+", lambda answer: re.sub(r",(\\! ?)?", "", answer)
        ),
    },
    "braces": {
        "whole": around("{", "}"),
        "script": sub(r"([\^_])([0-9a-z])", r"\1{\2}"),
        "no braces at a script": sub(r"([\^_])\{([0-9a-z])\}", r"\1\2"),
        "root without braces": sub(r"\\sqrt\{([0-9])\}", r"\\sqrt\1"),
        "root with a space": sub(r"\\sqrt\{([0-9])\}", r"\\sqrt \1"),
        "letters": sub(r"(?<![a-zA-Z\\{])([a-z])(?![a-zA-Z}])", r"{\1}"),
        "empty": sub(r"(\+|,(?![0-9]{3}|\\!))", r"\1{}"),
    },
    "rows": {
        "tight rows": where(MATRIX, sub(r"\s*(\\\\|&)\s*", r"\1")),
        "line ends": where(MATRIX, sub(r"\\\\ *", "\\\\\\\\\n")),
        "distance": where(MATRIX, sub(r"\\\\ *", r"\\\\[4pt] ")),
        "last row broken": where(MATRIX, sub(r" *\\end", r" \\\\ \\end")),
        "array": where(
            MATRIX,
            lambda answer: answer.replace(r"\begin{pmatrix}", r"\left(\begin{array}{cc}").replace(
                r"\end{pmatrix}", r"\end{array}\right)"
            ),
        ),
        "matrix in parentheses": where(
            MATRIX,
            lambda answer: answer.replace(r"\begin{pmatrix}", r"\left( \begin{matrix}").replace(
                r"\end{pmatrix}", r"\end{matrix} \right)"
            ),
        ),
    },
    "spacing": {
        "tight": tight,
        "loose": loose,
        "outside": around("  ", " \n"),
        "thin": sub(r",(?![0-9]{3}|\\!) ?", r",\\,"),
        "wide": sub(r", (?=[^\\!])", r",\\quad "),
        "tie": sub(r"([-+=]) ", r"\1~"),
        "negative": sub(r"\)$", r"\\!)"),
        "medium": sub(r"([+=])", r"\\:\1\\;"),
        "in braces": sub(r"\{([0-9]+)\}", r"{ \1 }"),
        "before the script": sub(r"([a-z0-9])([\^_])", r"\1 \2"),
        "line end": sub(r" (?=[-+=&\\])", "\n"),
    },
    "Unicode": {
        "minus": translated({"-": "−"}),
        "full width": sub(r"[0-9()%]|,(?= )", lambda match: chr(ord(match[0]) + 0xFEE0)),
        "symbols": translated(
            {r"\pi": "π", r"\infty": "∞", r"\pm": "±", r"\cup": "∪", r"\in": "∈", r"^\circ": "°", r"\theta": "θ"}
        ),
        "root": sub(r"\\sqrt\{([0-9]+)\}", r"√\1"),
        "root in parentheses": sub(r"\\sqrt\{([0-9]+)\}", r"√(\1)"),
        "half": sub(r"\\frac\{?1\}?\{?2\}?(?!\d)", "½"),
        "script": sub(r"(?<=[a-z])\^([2-9])", lambda match: "⁰¹²³⁴⁵⁶⁷⁸⁹"[int(match[1])]),
        "index": sub(r"_([0-9])$", lambda match: "₀₁₂₃₄₅₆₇₈₉"[int(match[1])]),
        "no-break space": sub(" (?=[-+=])", "\u00a0"),
        "thin space": sub(", ", ",\u2009"),
        "zero width": around("\u200b", ""),
    },
    "units": {
        "degrees in words": sub(r"\^\\circ", r"\\text{ degrees}"),
        "degrees outside of a text": sub(r"\^\\circ", " degrees"),
        "braced circle": sub(r"\^\\circ", r"^{\\circ}"),
        "degree sign": sub(r"\^\\circ", "°"),
        "no degrees": sub(r"\^\\circ|\\text\{ degrees\}", ""),
        "degrees": within(rf"{INTEGER}", "", r"^\circ"),
        "percent": within(rf"{NUMBER}", "", r"\%"),
        "dollars": where(r"\\\$.*", lambda answer: answer.removeprefix(r"\$") + r"\text{ dollars}"),
        "currency": where(NUMBER, lambda answer: re.sub("^-?", lambda sign: sign[0] + r"\$", answer)),
        "no currency": where(r"\\\$.*", sub(r"\\\$", "")),
        "centimeters": within(VALUE, "", r"\text{ cm}"),
        "upright meters": within(VALUE, "", r"\,\mathrm{m}"),
        "upright with a tie": within(VALUE, "", r" \mathrm{~kg}"),
        "square units": within(VALUE, "", r"\text{ square units}"),
        "cubed": within(VALUE, "", r"\text{ in}^3"),
        "speed": within(NUMBER, "", r"\text{ miles per hour}"),
        "words outside of a text": within(VALUE, "", " units"),
        "one text": where(NUMBER, lambda answer: rf"\text{{{answer} feet}}"),
        "other name": lambda answer: answer.replace(r"\mbox{ cm}^2", r"\text{ square centimeters}").replace(
            r"\mbox{ inches}^2", r"\text{ in}^2"
        ),
        "no unit": sub(r" ?\\(text|mbox)\{ (cm|inches|cents|degrees)\}(\^2)?", ""),
    },
    "names": {
        "k": within(VALUE, "k=", ""),
        "x": within(VALUE, "x = ", ""),
        "indexed": within(VALUE, "a_{10} = ", ""),
        "function": within(VALUE, "f(n) = ", ""),
        "points": within(VALUE, "AB = ", ""),
        "Greek": within(VALUE, r"\theta=", ""),
        "no name": where(r"[a-z] ?= ?[^=]+", sub(r"^[a-z] ?= ?", "")),
    },
    "style": {
        "display": around(r"\displaystyle ", ""),
        "display in fractions": sub(r"(?=\\frac)", r"\\displaystyle"),
        "bold": within(NUMBER, r"\mathbf{", "}"),
        "bold symbol": within(VALUE, r"\boldsymbol{", "}"),
        "box for text": sub(r"\\text\{", r"\\mbox{"),
        "roman text": sub(r"\\text\{", r"\\textrm{"),
        "upright text": sub(r"\\text\{([^ {}]+)\}", r"\\mathrm{\1}"),
        "bold text": sub(r"\\text\{", r"\\textbf{"),
        "text": within(r"[0-9]+", r"\text{", "}"),
        "colour": within(NUMBER, r"\color{red}{", "}"),
        "other names": translated({r"\cup": r"\\bigcup", "<": r"\\lt ", ">": r"\\gt "}),
        "choice": where(r"\\text\{\([A-E]\)\}", lambda answer: answer[7]),
        "bold choice": where(r"\\text\{\([A-E]\)\}", lambda answer: rf"\textbf{{({answer[7]})}}"),
        "plain word": where(r"\\text\{[A-Za-z]+\}", lambda answer: answer[6:-1]),
    },
    "delimiters": {
        "dollars": around("$", "$"),
        "double dollars": around("$$", "$$"),
        "inline": around(r"\(", r"\)"),
        "display": around(r"\[", r"\]"),
        "full stop": lambda answer: answer if answer[-1] == "." else answer + ".",
        "full stop behind dollars": around("$", "$."),
        "spaced dollars": around("$ ", " $"),
        "left and right": lambda answer: (
            re.sub(r"([)\]])", r"\\right\1", re.sub(r"([(\[])", r"\\left\1", answer))
            if "\\left" not in answer
            else answer
        ),
        "no left and right": sub(r"\\(left|right) ?", ""),
        "big": lambda answer: (
            re.sub(r"([()\[\]])", r"\\big\1", answer) if not re.search("left|text|√", answer) else answer
        ),
        "sized sets": sub(r"\\([{}])", lambda match: ("\\left\\" if match[1] == "{" else "\\right\\") + match[1]),
    },
}


def _change_digit(which: int) -> Rule:
    def rule(answer: str) -> str:
        places = [match.start() for match in re.finditer("[0-9]", answer)]
        if not places:
            return answer
        place = places[which]
        return answer[:place] + str((int(answer[place]) + 1) % 10) + answer[place + 1 :]

    return rule


def _swap(answer: str) -> str:
    """The first two members of a list in the other order."""
    match = re.fullmatch(r"(.*[(\[{ ]|)([^,(\[{]+),([^,)\]}]+)(.*)", answer)
    return f"{match[1]}{match[3]},{match[2]}{match[4]}" if match and match[2].strip() != match[3].strip() else answer


NEAR_MISSES: dict[str, Rule] = {
    "first digit": _change_digit(0),
    "last digit": _change_digit(-1),
    "one digit more": sub(r"([0-9])(?=[^0-9]*$)", r"\g<1>7"),
    "one digit less": sub(r"([0-9])([1-9])(?=[^0-9]*$)", r"\1"),
    "digits swapped": sub(r"([1-9])(?!\1)([1-9])", r"\2\1", 1),
    "point": sub(r"([1-9])([1-9])", r"\1.\2", 1),
    "a sign before": lambda answer: answer.lstrip("-") if answer[0] in "-0" else "-" + answer,
    "a sign within": sub(r"(?<=.)([-+])", lambda match: "+" if match[1] == "-" else "-", 1),
    "bracket": sub(r"[(\[]", lambda match: "[" if match[0] == "(" else "(", 1),
    "closing bracket": sub(r"[)\]](?=[^)\]]*$)", lambda match: "]" if match[0] == ")" else ")"),
    "no brackets": where(r"[(\[].*[)\]]", lambda answer: answer[1:-1]),
    "parentheses": where(r"[-0-9, ]+|.*pi", around("[", "]")),
    "exponent": lambda answer: answer + "^2" if "text" not in answer else answer,
    "other exponent": sub(r"\^\{?([0-9])\}?", lambda match: f"^{int(match[1]) + 1}", 1),
    "no exponent": sub(r"\^\{?[0-9]\}?", "", 1),
    "base": sub(r"_\{?[0-9]\}?$", ""),
    "other base": sub(r"_\{?([0-9])\}?$", lambda match: f"_{(int(match[1]) + 1) % 10}"),
    "order": _swap,
    "turned fraction": sub(r"frac\{([^{}]*)\}\{([^{}]*)\}", r"frac{\2}{\1}", 1),
    "no root": sub(r"\\sqrt\{([0-9]+)\}", r"\1", 1),
    "other symbol": translated({r"\pi": "e", r"\infty": "0", r"\cup": r"\\cap", "i": "j"}),
    "other number word": within(NUMBER, "", r"\text{ million}"),
    "thirds": within(NUMBER, "", r"\text{ thirds}"),
    "factorial": within(NUMBER, "", "!"),
    "variable": within(NUMBER, "", "x"),
    "list": within(INTEGER, "", ", 100"),
    "text around": around("not ", ""),
}


def respellings(golds: list[str], twice: int = 5000) -> dict[str, list[tuple[str, str]]]:
    """Pairs of a re-spelling and its gold, for each kind, and ``twice`` pairs by two rules of different kinds."""
    golds = sorted(set(golds))
    pairs = {
        kind: sorted({(rule(gold), gold) for rule in rules.values() for gold in golds if rule(gold) != gold})
        for kind, rules in SPELLINGS.items()
    }
    by_two: dict[tuple[str, str], None] = {}
    chance, rules = Random(0), [(kind, rule) for kind, rules in SPELLINGS.items() for rule in rules.values()]
    while len(by_two) < twice:
        (kind, first), (other, second) = (rules[number] for number in sorted(chance.sample(range(len(rules)), 2)))
        gold = chance.choice(golds)
        once = first(gold)
        if kind != other and gold != once != second(once):
            by_two[second(once), gold] = None
    return pairs | {"two kinds": list(by_two)}


def near_misses(golds: list[str]) -> list[tuple[str, str]]:
    """Pairs of a near miss and its gold."""
    return sorted({(rule(gold), gold) for rule in NEAR_MISSES.values() for gold in set(golds) if rule(gold) != gold})
