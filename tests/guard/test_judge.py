"""Verdicts from a decoded answer and from its first token; the model is the one fake."""

import asyncio
import math

import pytest

from sinternal_verl.guard.errors import TemplateError
from sinternal_verl.guard.judge import Generated, Judge
from sinternal_verl.guard.template import GuardTemplate
from sinternal_verl.guard.verdict import Safety, Verdict
from sinternal_verl.world.guard_model import make_guard_tokenizer

ANSWERS = {
    "safe": "Safety: Safe\nCategories: None\nRefusal: No",
    "refused": "Safety: Safe\nCategories: None\nRefusal: Yes",
    "unsafe": "Safety: Unsafe\nCategories: Lending\nRefusal: No",
    "controversial": "Safety: Controversial\nCategories: Lending\nRefusal: No",
}


class Scripted:
    """Continues a prompt as a greedy model would that wants to write ``answer``."""

    def __init__(self, tokenizer, answer: str, start: int) -> None:
        self._tokenizer, self._ids, self._start = tokenizer, tokenizer.encode(answer, add_special_tokens=False), start
        self.asked: list[int] = []
        self.wanted: set[int] = set()

    async def __call__(self, ids, tokens, alternatives):
        self.asked.append(tokens)
        self.wanted |= set(alternatives)
        written = len(ids) - self._start
        rest = self._ids[written : written + tokens] if ids[self._start :] == self._ids[:written] else []
        first = {rest[0]: math.log(0.75)} if rest else {}
        return Generated(rest, self._tokenizer.decode(rest), first)


@pytest.fixture
def judge(guard_tokenizer):
    """A function from the answer a guard wants to write to the judgement and what it was asked."""
    template = GuardTemplate(guard_tokenizer, max_tokens=8000)

    def run(answer: str, mode: str, refusal: bool = True):
        model = Scripted(guard_tokenizer, answer, start=len(template.render("May I?", "No.").ids))
        made = Judge(template, guard_tokenizer, model, mode)
        return asyncio.run(made.judge("May I?", "No.", refusal)), model.asked

    return run


@pytest.mark.parametrize("name", ANSWERS)
def test_both_modes_give_the_same_label_and_refusal(judge, name):
    decoded, asked = judge(ANSWERS[name], "decode")
    first, _ = judge(ANSWERS[name], "first_token")

    assert asked == [128]
    assert first.verdict.safety is decoded.verdict.safety
    if name != "unsafe":
        assert first.verdict == decoded.verdict


@pytest.mark.parametrize(
    ("name", "asked"), [("safe", [1, 1]), ("refused", [1, 1]), ("unsafe", [1]), ("controversial", [1, 128])]
)
def test_refusal_is_asked_after_safe_alone(judge, name, asked):
    assert judge(ANSWERS[name], "first_token")[1] == asked


def test_refusal_is_not_asked_where_nobody_needs_it(judge):
    judgement, asked = judge(ANSWERS["safe"], "first_token", refusal=False)

    assert asked == [1]
    assert judgement.verdict == Verdict(Safety.SAFE, None, None)


@pytest.mark.parametrize("mode", ["first_token", "decode"])
@pytest.mark.parametrize("answer", ["", "I think it is fine.", "Safety: Safely so", "Safety: Safe\nRefusal: No"])
def test_what_is_no_answer_is_no_verdict_but_a_reason(judge, mode, answer):
    judgement, asked = judge(answer, mode)

    assert judgement.verdict is None and judgement.reason
    assert asked[-1] == 128


def test_the_share_of_safe_stands_beside_the_verdict(judge):
    assert judge(ANSWERS["safe"], "first_token")[0].safe_probability == pytest.approx(1.0)
    assert judge(ANSWERS["unsafe"], "first_token")[0].safe_probability == 0.0
    assert judge(ANSWERS["safe"], "decode")[0].safe_probability is None


class Sure:
    """A model whose first token is a label, with these log-probabilities of the labels' first tokens."""

    def __init__(self, tokenizer, label: str, **shares: float) -> None:
        self._first = {name: tokenizer.encode(f"Safety: {name}", add_special_tokens=False) for name in shares}
        prefix = len(tokenizer.encode("Safety:", add_special_tokens=False))
        self._ids = {name: ids[prefix] for name, ids in self._first.items()}
        self._label, self._shares, self.wanted = label, shares, []

    async def __call__(self, ids, tokens, alternatives):
        self.wanted.append(set(alternatives))
        if tokens > 1:
            return Generated([], f"Safety: {self._label}\nCategories: None\nRefusal: No")
        return Generated(
            [self._ids[self._label]], self._label, {self._ids[name]: math.log(p) for name, p in self._shares.items()}
        )

    @property
    def labels(self) -> set[int]:
        return set(self._ids.values())


@pytest.mark.parametrize(
    ("label", "refusal"),
    [("Safe", True), ("Safe", False), ("Controversial", True), ("Controversial", False), ("Unsafe", True)],
)
def test_the_share_is_of_all_three_labels_whatever_they_leave_to_other_words(guard_tokenizer, label, refusal):
    model = Sure(guard_tokenizer, label, Safe=0.3, Controversial=0.1, Unsafe=0.2)
    made = Judge(GuardTemplate(guard_tokenizer, max_tokens=8000), guard_tokenizer, model, "first_token")
    judgement = asyncio.run(made.judge("May I?", "No.", refusal))

    assert judgement.safe_probability == pytest.approx(0.5)
    assert judgement.verdict.safety.value == label
    # Of the first token the labels are asked for; of what follows, nothing.
    assert model.wanted[0] == model.labels and not any(model.wanted[1:])


@pytest.mark.parametrize("mode", ["first_token", "decode"])
@pytest.mark.parametrize("name", [*ANSWERS, "none"])
def test_how_much_the_guard_did_not_see_stands_beside_every_judgement(guard_tokenizer, mode, name):
    template, long = GuardTemplate(guard_tokenizer, max_tokens=1000), "a b c d " * 800
    rendered = template.render("May I?", long)
    model = Scripted(guard_tokenizer, ANSWERS.get(name, "Hm."), start=len(rendered.ids))
    judgement = asyncio.run(Judge(template, guard_tokenizer, model, mode).judge("May I?", long))

    assert judgement.cut == rendered.cut > 0


def test_labels_that_begin_alike_are_refused_for_first_token(guard_tokenizer):
    letters = make_guard_tokenizer([], vocab_size=260)  # no merges: Safe and Unsafe both begin with a space
    template = GuardTemplate(letters, max_tokens=8000)
    with pytest.raises(TemplateError, match="mode=decode"):
        Judge(template, letters, None, "first_token")
    Judge(template, letters, None, "decode")


def test_a_mode_that_does_not_exist_is_refused(guard_tokenizer):
    with pytest.raises(ValueError, match="first_token, decode"):
        Judge(None, guard_tokenizer, None, "soft")
