r"""Strict boxed-answer matching: only the last ``\boxed{…}`` of the final answer counts.

There is no "Answer:" fallback. An ``\fbox``, a box inside the thought and a box that never closes do not
count. The paper asks for strict matching but does not say how answers are compared, so there are three modes.
"""

from typing import Literal, get_args

from sinternal_verl.scoring.latex import same
from sinternal_verl.scoring.registry import scorer
from sinternal_verl.scoring.response import MAX_ANSWER, Thought, final_answer, last_box
from sinternal_verl.scoring.score import Outcome, Sample, Score

Mode = Literal["literal", "normalized", "symbolic"]
"""``literal``: the strings are equal. ``normalized``: they are the same answer, written differently (`latex`).
``symbolic``: they are normalized the same, or Math-Verify finds them equal, in a process that is ended at its
deadline; slow, for evaluation. What it cannot finish is a mismatch, with a reason."""


def score_boxed(response: str, gold: str, mode: Mode = "normalized", thought: Thought = "required") -> Score:
    r"""Score one response against its ground truth.

    >>> score_boxed(r"half</think> \boxed{\dfrac12}", r"\frac{1}{2}")
    Score(value=1.0, outcome=<Outcome.CORRECT: 1>)
    >>> score_boxed(r"\boxed{85} is only a thought", "85").outcome.name
    'THOUGHT_UNCLOSED'

    Args:
        response: what the model wrote, special tokens kept.
        gold: the ground truth, without a box.

    No response and no ground truth makes it raise, whatever they hold. Its time is linear in the length of
    ``response`` (`symbolic` is bounded by its deadline).

    Raises:
        ValueError: there is no such ``mode`` or ``thought``.
        ImportError: ``mode="symbolic"`` and Math-Verify is not installed; the message says what to type.
        RuntimeError, TimeoutError: ``mode="symbolic"`` and no worker starts or is free.
    """
    if mode not in MODES or thought not in THOUGHTS:
        raise ValueError(f"mode={mode!r}, thought={thought!r}: choose of {MODES} and {THOUGHTS}")
    if not isinstance(gold, str) or not gold.strip() or len(gold) > MAX_ANSWER:
        return Score(0.0, Outcome.BAD_GOLD, reason=f"the ground truth {gold!r:.80} is no answer")
    answer = final_answer(response, thought)
    if answer is None:
        return Score(0.0, Outcome.THOUGHT_UNCLOSED)
    box = last_box(answer)
    if isinstance(box, Outcome):
        return Score(0.0, box)
    gold = gold.strip()
    if box == gold:
        return _CORRECT
    if mode != "literal" and same(box, gold):
        return _CORRECT
    if mode == "symbolic":
        from sinternal_verl.scoring.symbolic import equal

        outcome = equal(box, gold)
        if outcome is Outcome.TIMED_OUT:  # what cannot be shown to be right is wrong, and stays in the mean
            return Score(0.0, Outcome.MISMATCH, reason=f"Math-Verify did not finish, or died: {box:.80}")
        return Score(float(outcome is Outcome.CORRECT), outcome)
    return _MISMATCH


MODES, THOUGHTS = get_args(Mode), get_args(Thought)
_CORRECT, _MISMATCH = Score(1.0, Outcome.CORRECT), Score(0.0, Outcome.MISMATCH)


@scorer("boxed_math")
class BoxedMath:
    """`score_boxed` as a scorer, with the same settings."""

    def __init__(self, mode: Mode = "normalized", thought: Thought = "required") -> None:
        score_boxed("", "0", mode, thought)  # raises for values that do not exist
        if mode == "symbolic":
            from sinternal_verl.scoring.symbolic import require_math_verify

            require_math_verify()
        self._mode, self._thought = mode, thought
        self.blocking = mode == "symbolic"

    def __call__(self, sample: Sample) -> Score:
        return score_boxed(sample.response, sample.ground_truth, self._mode, self._thought)

    def check_ground_truth(self, ground_truth: object) -> str | None:
        """Why `score_boxed` would return ``BAD_GOLD``, or None."""
        if not isinstance(ground_truth, str):
            return f"the ground truth must be a string, not {ground_truth!r}"
        if not ground_truth.strip():
            return "the ground truth is empty"
        return f"the ground truth is longer than {MAX_ANSWER} characters" if len(ground_truth) > MAX_ANSWER else None
