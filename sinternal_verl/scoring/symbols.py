r"""One character for each symbol: LaTeX's names, and characters of Unicode that look the same.

The canonical form of an answer writes ``\le``, ``\leq``, ``\leqslant``, ``⩽`` and ``<=`` as ``≤``.
"""

import re
import unicodedata

GAP = " "
"""What a space between two numbers becomes; elsewhere a space means nothing."""

ROW = "⏎"
"""What ends a row of a matrix."""

_BRACKETS, _RELATIONS = r"(\[{⦃⟨⟦", r"=<>&⏎≤≥≠≈≡∈∉∪∩∖→⇒±∓"
_SEPARATORS = r",;:|" + _RELATIONS
OPENS = _BRACKETS + _SEPARATORS
CLOSES = r")\]}⦄⟩⟧" + _SEPARATORS
"""What may stand before and behind a value that stands alone, for the brackets of a regular expression."""
BEGINS = _BRACKETS + _RELATIONS
"""Of these, the ones behind which a value begins for certain: 05 behind a comma or a colon may be a part of one."""

TIMES = "×"
JOINS = frozenset("+-±∓·÷" + TIMES)
"""What makes one value of two."""

_NAMES = {
    "≤": "le leq leqslant leqq",
    "≥": "ge geq geqslant geqq",
    "≠": "ne neq",
    "<": "lt",
    ">": "gt",
    "≈": "approx thickapprox",
    "≡": "equiv",
    "±": "pm",
    "∓": "mp",
    "×": "times",
    "·": "cdot ast centerdot bullet",
    "÷": "div",
    "/": "slash",
    "∈": "in isin",
    "∉": "notin",
    "∪": "cup bigcup",
    "∩": "cap bigcap",
    "∖": "setminus backslash smallsetminus",
    "⊂": "subset",
    "⊆": "subseteq",
    "∅": "emptyset varnothing",
    "∞": "infty",
    "→": "to rightarrow longrightarrow",
    "⇒": "implies Rightarrow Longrightarrow",
    "⇔": "iff Leftrightarrow Longleftrightarrow",
    "∠": "angle",
    "△": "triangle",
    "…": "dots ldots cdots dotsc dotsb dotso",
    "'": "prime",
    "∘": "circ",
    "°": "degree textdegree",
    "(": "lparen",
    ")": "rparen",
    "[": "lbrack",
    "]": "rbrack",
    "⦃": "lbrace { textbraceleft",
    "⦄": "rbrace } textbraceright",
    "|": "vert lvert rvert mid",
    "‖": "Vert lVert rVert | parallel",
    "⟨": "langle",
    "⟩": "rangle",
    "⌊": "lfloor",
    "⌋": "rfloor",
    "⌈": "lceil",
    "⌉": "rceil",
    "$": "$ textdollar",
    "%": "% textpercent",
    "€": "euro texteuro",
    "£": "pounds textsterling",
    "¥": "yen textyen",
    "&": "&",
    ":": "colon",
    ROW: "\\ cr newline tabularnewline",
    "∧": "land wedge",
    "∨": "lor vee",
    "¬": "neg lnot",
    "∼": "sim",
    "⊥": "perp",
    "_": "_ textunderscore",
    "#": "#",
    "Γ": "Gamma",
    "Δ": "Delta",
    "Θ": "Theta",
    "Λ": "Lambda",
    "Ξ": "Xi",
    "Π": "Pi",
    "Σ": "Sigma",
    "Φ": "Phi",
    "Ψ": "Psi",
    "Ω": "Omega",
    "α": "alpha",
    "β": "beta",
    "γ": "gamma",
    "δ": "delta",
    "ε": "epsilon varepsilon",
    "ζ": "zeta",
    "η": "eta",
    "θ": "theta vartheta",
    "ι": "iota",
    "κ": "kappa varkappa",
    "λ": "lambda",
    "μ": "mu",
    "ν": "nu",
    "ξ": "xi",
    "π": "pi",
    "ρ": "rho varrho",
    "σ": "sigma",
    "τ": "tau",
    "υ": "upsilon",
    "φ": "phi varphi",
    "χ": "chi",
    "ψ": "psi",
    "ω": "omega",
}

# Size, style and the borders of mathematics: all that TeX sets around an answer and that is no part of it.
_UNSEEN = (
    "left right middle big Big bigg Bigg bigl bigr bigm Bigl Bigr Bigm biggl biggr biggm Biggl Biggr Biggm "
    "displaystyle textstyle scriptstyle scriptscriptstyle limits nolimits displaylimits strut relax nobreak "
    "mathstrut allowbreak hline rm bf it sf tt cal bfseries itshape rmfamily boldmath normalsize small large Large "
    "text textrm textnormal textup textbf textit textsf texttt textsl emph mbox hbox mathrm mathbf mathit mathsf "
    "mathtt mathnormal boldsymbol bm pmb mathop mathord mathrel mathbin mathopen mathclose mathinner operatorname "
    "ensuremath boxed fbox centering noindent ! negthinspace negmedspace negthickspace ( ) [ ] / -"
)

_SPACES = ", ; : > quad qquad enspace enskip thinspace medspace thickspace space nobreakspace hfill"

_FUNCTIONS = (
    "sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh coth log ln lg exp lim max min sup inf gcd lcm "
    "det dim ker deg arg mod Pr"
)
FUNCTIONS = frozenset(_FUNCTIONS.split())
"""Names that are set upright, with a backslash, by ``\\operatorname`` or by ``\\mathrm``."""

_FRACTIONS = "frac dfrac tfrac cfrac nicefrac sfrac"
_BINOMIALS = "binom dbinom tbinom"
_ACCENTS = {
    "overline": "overline bar",
    "vec": "vec overrightarrow",
    "hat": "hat widehat",
    "tilde": "tilde widetilde",
    "mathbb": "mathbb Bbb",
} | {
    name: name
    for name in [
        *["underline", "dot", "ddot", "check", "acute", "grave", "overleftarrow", "overleftrightarrow"],
        *["underbrace", "overbrace", "mathcal", "mathfrak", "mathscr", "pmod", "cancel"],
    ]
}
_UNSEEN_ARGUMENT = "color textcolor hphantom vphantom phantom label"
_SPACES_OF_WIDTH = "hspace hspace* vspace vspace* mspace"

COMMANDS: dict[str, tuple[str, int]] = {
    **{"\\" + name: ("frac", 2) for name in _FRACTIONS.split()},
    **{"\\" + name: ("binom", 2) for name in _BINOMIALS.split()},
    **{"\\" + name: (accent, 1) for accent, names in _ACCENTS.items() for name in names.split()},
    **{"\\" + name: ("", 1) for name in _UNSEEN_ARGUMENT.split()},
    **{"\\" + name: (GAP, 1) for name in _SPACES_OF_WIDTH.split()},
    **{"\\sqrt": ("√", 1), "^": ("^", 1), "_": ("_", 1)},
}
"""What a command with arguments is called in the canonical form, and how many it takes; "" where it is not seen."""

SYMBOLS: dict[str, str] = {
    **{"\\" + name: symbol for symbol, names in _NAMES.items() for name in names.split()},
    **{"\\" + name: "" for name in _UNSEEN.split()},
    **{"\\" + name: GAP for name in _SPACES.split()},
    **{f"\\{name}": f"\\{name} " for name in FUNCTIONS},
    **{name: f"\\{name} " for name in FUNCTIONS},
    **{character: character for character in "()+-=<>,;:!|&'@`#/?°%."},
    '"': "''",
    **{"\\ ": GAP, "\\\n": GAP, "\\\t": GAP, "~": GAP, "$": "", "*": "·", "...": "…", "..": "…", "....": "…"},
    **{"<=": "≤", ">=": "≥", "\\not=": "≠", "\\not\\in": "∉"},
}
"""What a token without arguments becomes; empty where it is not seen."""

_UPPER = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ"
_LOWER = "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₙᵢ"
_SCRIPTS = re.compile(f"[{_UPPER}]+|[{_LOWER}]+")
_PLAIN_SCRIPT = str.maketrans(_UPPER + _LOWER, "0123456789+-=()ni" * 2)
_ROOT_OF_NUMBER = re.compile(r"√\s*([0-9]+(?:\.[0-9]+)?)")
_ROOT_OF_GROUP = re.compile(r"√\s*\(([^()]*)\)")


class _Characters(dict):
    """What a character becomes, for `str.translate`; worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        self[code] = seen = self._of(chr(code))
        return seen

    @staticmethod
    def _of(character: str) -> str:
        kind = unicodedata.category(character)
        decomposed = unicodedata.decomposition(character)
        if kind == "Cf":  # zero width
            return ""
        if kind == "Zs" or character in "\u2028\u2029\x85":
            return r"\," if character in "\u2009\u200a\u202f\u2006" else " "
        if decomposed.startswith("<fraction>"):
            top, _, bottom = unicodedata.normalize("NFKC", character).partition("⁄")
            return rf"\frac{{{top}}}{{{bottom}}}" if bottom else character
        if decomposed.startswith(("<super>", "<sub>", "<circle>", "<square>")):
            return character
        return unicodedata.normalize("NFKC", character)


_CHARACTERS = _Characters(
    {ord(character): "-" for character in "−–—‒‐‑﹣－"}
    | {ord(character): "·" for character in "⋅∙•∗"}
    | {code: chr(code) for code in range(128)}
    | str.maketrans(
        {
            "⩽": "≤",
            "≦": "≤",
            "⩾": "≥",
            "≧": "≥",
            "∶": ":",
            "∣": "|",
            "′": "'",
            "’": "'",
            "‘": "`",
            "″": "''",
            "⁄": "/",
            "∕": "/",
        }
    )
    | str.maketrans({"º": "°", "˚": "°", "⟶": "→", "\\": "\\", "∆": "Δ", "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int "})
    | str.maketrans(
        {"ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℚ": r"\mathbb{Q}", "ℕ": r"\mathbb{N}", "ℂ": r"\mathbb{C}"}
    )
    | str.maketrans({"。": ".", "、": ",", "…": "...", "⋯": "...", "ø": "∅", "⌀": "∅", "∥": "‖"})
    | dict.fromkeys(map(ord, "“”„‟〝〞"), '"')
)


def ascii_spelling(text: str) -> str:
    r"""A text with the characters of Unicode that stand for LaTeX: ``½`` is ``\frac{1}{2}``, ``x²`` is ``x^{2}``."""
    text = _SCRIPTS.sub(_script, text)
    if "√" in text:
        text = _ROOT_OF_GROUP.sub(r"\\sqrt{\1}", text)
        text = _ROOT_OF_NUMBER.sub(r"\\sqrt{\1}", text).replace("√", r"\sqrt ")
    return text.translate(_CHARACTERS)


def _script(match: re.Match[str]) -> str:
    mark = "^" if match[0][0] in _UPPER else "_"
    return f"{mark}{{{match[0].translate(_PLAIN_SCRIPT)}}}"
