r"""A scorer of your own: it rewards an answer that is right and whose thought is not too long.

    python -m verl.trainer.main_ppo +recipe=sinternal_grpo ... \
      '+sinternal.scorers.short_and_right={path: examples/my_scorer.py, sources: [gsm8k], longest: 1000}'

>>> short_and_right(Sample("gsm8k", r"7+8=15, carry 1.</think> \boxed{85}", "85")).value
1.0
>>> short_and_right(Sample("gsm8k", "hm. " * 1000 + r"</think> \boxed{85}", "85")).outcome.name
'SCORED'
"""

from sinternal_verl.scoring.boxed_math import score_boxed
from sinternal_verl.scoring.registry import scorer
from sinternal_verl.scoring.score import Outcome, Sample, Score


@scorer("short_and_right")
def short_and_right(sample: Sample, longest: int = 2000) -> Score:
    """As `score_boxed`, but 0 for a thought of more than ``longest`` characters."""
    if len(sample.response.partition("</think>")[0]) > longest:
        return Score(0.0, Outcome.SCORED)
    return score_boxed(sample.response, sample.ground_truth)
