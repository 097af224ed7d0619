"""Converts rows of safety sets to rows for verl: the plain request becomes the prompt, its label the ground truth.

>>> row = {"prompt": "May I feed the ducks?", "label": "benign"}
>>> made = SafetyReader(row).read(row, number=1)
>>> made["data_source"], made["reward_model"]
('safety/benign/plain', {'style': 'guard', 'ground_truth': 'benign'})

The label, harmful or benign, is also part of the ``data_source``: so a scorer's pattern (``safety/benign/*``) can
take one kind, and the curves per source are split by it. The columns of the first row tell which set a file is.
Columns of the prompt and the label in each set:

WildJailbreak train: ``data_type`` is vanilla or adversarial, then harmful or benign. It also tells which column
holds the prompt, because an adversarial row has the vanilla request, too, from which it was made. The file is
separated by tabs; read as CSV it would have one column.

STAR-1: ``question``; all are harmful. No column says so, and STAR-41K has the same columns.

SafeChain: ``instruction``, and the text of an ``input`` after it; ``label`` is the prompt's, in WildJailbreak's words.

BeaverTails, PKU-SafeRLHF: ``is_safe`` and ``is_response_0_safe``, ``is_response_1_safe`` judge a
*response*, and nothing judges the prompt. Our rule: a prompt is harmful if any response to it in this file is
unsafe. So the file is read twice, and the first of a prompt's rows is written.

WildGuardMix: ``prompt_harm_label``, harmful or unharmful; some rows have null there and count as bad.

XSTest: ``label``; safe is benign, unsafe (the contrasts) is harmful. It is an evaluation set.

Any other: ``prompt``, ``question`` or ``instruction``, and ``label``, harmful or benign. Without that column the
user must say what all rows are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from sinternal_verl.data.adapter import Adapter, Labels, Reader, Row, RowError, column, has, instruction, text_of
from sinternal_verl.data.readers import Rows, Unreadable
from sinternal_verl.data.schema import rl_row
from sinternal_verl.data.seen import prompt_digest

Harm = Literal["harmful", "benign"]
T = TypeVar("T")

PLAIN: dict[str, Harm] = {"harmful": "harmful", "benign": "benign"}
SAFE: dict[str, Harm] = {"safe": "benign", "unsafe": "harmful"}
FLAGS = {"True": True, "true": True, "False": False, "false": False}
DATA_TYPES: dict[str, Harm] = {
    f"{kind}_{harm}": harm for kind in ("vanilla", "adversarial") for harm in ("harmful", "benign")
}


@dataclass(frozen=True, kw_only=True)
class SafetyAdapter(Adapter):
    """One kind of safety file.

    Attributes:
        prompt: returns a row's request.
        harm: returns a row's label; None where no column says it.
        assumed: the label of all rows of a file without labels, unless the user gives another.
        by_response: `harm` judges a row's responses, and any harmful row makes its prompt harmful.
    """

    prompt: Callable[[Row], str]
    harm: Callable[[Row], Harm] | None = None
    assumed: Harm | None = None
    by_response: bool = False


def _word(name: str, value: Any, words: dict[str, T]) -> T:
    """What a column's word stands for.

    >>> _word("label", "unsafe", SAFE)
    'harmful'
    """
    word = text_of(name, value)
    if word not in words:
        # A longer text may be a prompt in the wrong column, and no message may show a prompt.
        shown = repr(word) if len(word) <= 30 and " " not in word else f"a text of {len(word)} characters"
        raise RowError(f"{name} is {shown}, not one of {', '.join(words)}")
    return words[word]


def in_words(name: str, words: dict[str, Harm]) -> Callable[[Row], Harm]:
    """A function that reads the label from a column with these words."""
    return lambda row: _word(name, row.get(name), words)


def _by_flags(*names: str) -> Callable[[Row], Harm]:
    """A function that returns benign if these columns all say that a response is safe; in CSV they are words."""

    def is_safe(name: str, value: Any) -> bool:
        return value if isinstance(value, bool) else _word(name, value, FLAGS)

    # A list, so that every flag is read: a bad flag after an unsafe one still makes a bad row.
    return lambda row: "benign" if all([is_safe(name, row.get(name)) for name in names]) else "harmful"


def _wildjailbreak_prompt(row: Row) -> str:
    return column(_word("data_type", row.get("data_type"), {kind: kind.partition("_")[0] for kind in DATA_TYPES}))(row)


PROMPTS = {"prompt": column("prompt"), "question": column("question"), "instruction": instruction}
"""The columns that hold a prompt in any other set."""

ADAPTERS = (
    SafetyAdapter(
        name="wildjailbreak",
        fits=has("vanilla", "adversarial", "data_type"),
        prompt=_wildjailbreak_prompt,
        harm=in_words("data_type", DATA_TYPES),
    ),
    SafetyAdapter(
        name="star1",
        fits=has("id", "question", "response", "category", "source", "score"),
        prompt=column("question"),
        assumed="harmful",
        size=1000,
    ),
    SafetyAdapter(
        name="pku_saferlhf",
        fits=has("prompt", "is_response_0_safe", "is_response_1_safe"),
        prompt=column("prompt"),
        harm=_by_flags("is_response_0_safe", "is_response_1_safe"),
        by_response=True,
    ),
    SafetyAdapter(
        name="beavertails",
        fits=has("prompt", "response", "is_safe"),
        prompt=column("prompt"),
        harm=_by_flags("is_safe"),
        by_response=True,
    ),
    SafetyAdapter(
        name="wildguardmix",
        fits=has("prompt", "prompt_harm_label"),
        prompt=column("prompt"),
        harm=in_words("prompt_harm_label", {"harmful": "harmful", "unharmful": "benign"}),
    ),
    SafetyAdapter(
        name="safechain",
        fits=has("instruction", "label", "response"),
        prompt=instruction,
        harm=in_words("label", DATA_TYPES | PLAIN | SAFE),
    ),
    SafetyAdapter(
        name="xstest",
        fits=has("prompt", "type", "label", "focus"),
        prompt=column("prompt"),
        harm=in_words("label", SAFE),
        split="test",
        size=450,
    ),
    *(
        SafetyAdapter(name="plain", fits=has(name, "label"), prompt=prompt, harm=in_words("label", PLAIN))
        for name, prompt in PROMPTS.items()
    ),
    *(SafetyAdapter(name="plain", fits=has(name), prompt=prompt) for name, prompt in PROMPTS.items()),
)
WANTED = "those of a known set, or prompt (or question, or instruction) and label"


class SafetyReader(Reader):
    """Reads the rows of one safety set; other arguments and errors are those of `Reader`.

    Args:
        harm: the label of all rows, for a file that has none.
        rows: reads the source from its beginning, for labels that depend on several rows.

    Raises:
        RowError: also where ``harm`` is given for a file with labels, or missing for a file without.
    """

    def __init__(
        self,
        first: Row,
        labels: Labels | None = None,
        harm: Harm | None = None,
        rows: Callable[[], Rows] = lambda: iter(()),
        own: SafetyAdapter | None = None,
    ) -> None:
        super().__init__(first, ADAPTERS, WANTED, labels or Labels(), own)
        self._harm = harm or self.adapter.assumed
        self._is_assumed = not harm and self.adapter.assumed is not None
        if self.adapter.harm and harm:
            raise RowError(f"the rows have the labels of {self.adapter.name}; leave out --label {harm}")
        if not self.adapter.harm and not self._harm:
            step = "add a column label with harmful or benign, or say with --label what all rows are"
            raise RowError(f"no column says whether a prompt is harmful; {step}")
        self._harmful = self._find_harmful(rows()) if self.adapter.by_response else set()

    def read(self, row: Row, number: int) -> Row:
        prompt = self.adapter.prompt(row)
        harm = self.adapter.harm(row) if self.adapter.harm else self._harm
        if prompt_digest(prompt) in self._harmful:
            harm = "harmful"
        return rl_row(
            data_source=f"safety/{harm}/{self.name}",
            content=prompt,
            ground_truth=harm,
            index=self.index_of(row, number),
            split=self.split,
            ability="safety",
            style="guard",
        )

    def notes(self, written: int) -> list[str]:
        assumed = f"no column says it: all rows are taken as {self._harm}, as {self.adapter.name} is; else give --label"
        return [*super().notes(written), *([assumed] if self._is_assumed else [])]

    def _find_harmful(self, rows: Rows) -> set[bytes]:
        """Digests of the prompts that some row makes harmful. Bad rows are skipped here and reported by `read`."""
        harmful = set()
        for _, row in rows:
            try:
                if not isinstance(row, Unreadable) and self.adapter.harm(row) == "harmful":
                    harmful.add(prompt_digest(self.adapter.prompt(row)))
            except RowError:
                continue
        return harmful
