"""Rewards a response that ends in the right verdict on an answer, for GRPO on verification itself."""

from typing import get_args

from sinternal_verl.scoring.critique import parse
from sinternal_verl.scoring.response import Thought, final_answer
from sinternal_verl.scoring.score import Outcome, Sample, Score

LABELS = ("safe", "unsafe")


class VerdictScorer:
    """Scores 1 for the ground truth's verdict and else 0. A response without exactly one verdict is ``NO_VERDICT``.

    >>> score = VerdictScorer()(Sample("verification/harmful", "It lends.</think> Verdict: unsafe", "unsafe"))
    >>> score.value, score.outcome.name
    (1.0, 'CORRECT')

    Args:
        thought: ``required`` where the critique is a thought and the verdict follows it; see
            `sinternal_verl.scoring.response.Thought`.
    """

    blocking = False

    def __init__(self, thought: Thought = "required") -> None:
        if thought not in get_args(Thought):
            raise ValueError(f"thought={thought}: choose {' or '.join(get_args(Thought))}")
        self._thought = thought

    def __call__(self, sample: Sample) -> Score:
        if wrong := self.check_ground_truth(sample.ground_truth):
            return Score(0.0, Outcome.BAD_GOLD, reason=wrong)
        answer = final_answer(sample.response, self._thought)
        if answer is None:
            return Score(0.0, Outcome.THOUGHT_UNCLOSED)
        found = parse(answer, critique=False)
        if isinstance(found, str):
            return Score(0.0, Outcome.NO_VERDICT, reason=found)
        right = found.verdict == sample.ground_truth
        return Score(float(right), Outcome.CORRECT if right else Outcome.MISMATCH)

    def check_ground_truth(self, ground_truth: object) -> str | None:
        """What is wrong with a row's verdict, or None."""
        if ground_truth in LABELS:
            return None
        return f"the ground truth of a verification must be {' or '.join(LABELS)}, not {ground_truth!r}"
