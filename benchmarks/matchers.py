"""Boxed-answer matchers side by side: MATH-500's golds, re-spellings of them and near misses; and speed.

Ours, verl's math_reward and math_dapo (strict), prm800k's rule (verl's copy in prime_math) and Math-Verify, on the
500 gold solutions, on 500 wrong answers (the ground truth of the next problem), and on the re-spellings and near
misses that `respellings` makes by its rules, all in this run. Math-Verify, which is slow, gets every fifth pair of
these. Times are ratios to math_reward, measured in turns; "no memory" is without our cache of canonical forms.

The limits: all gold solutions right, at least 0.995 of the re-spellings and no near miss accepted; at most 0.6 of
math_reward's time on gold and 3.0 on the others; no string of 100,000 characters above 10 ms.
"""

import json
import time
from collections.abc import Callable
from unittest.mock import patch

from arguments import add_math500, math500, parser_of
from math_verify import parse, verify
from respellings import near_misses, respellings
from verl.utils.reward_score import math_dapo, math_reward
from verl.utils.reward_score.prime_math import _normalize
from verl.utils.reward_score.prime_math.math_normalize import normalize_answer

from sinternal_verl.scoring import latex
from sinternal_verl.scoring.boxed_math import score_boxed
from sinternal_verl.scoring.latex import canonical, same

Matcher = Callable[[str, str], bool]


def prm800k(text: str, gold: str) -> bool:
    """The last box against the ground truth, normalised in either of its two ways; its sympy stage, which starts a
    process for each pair, is left out."""
    box = math_reward.last_boxed_only_string(text)
    answer = math_reward.remove_boxed(box) if box else None
    return answer is not None and any(rule(answer) == rule(gold) for rule in (normalize_answer, _normalize))


MATCHERS: dict[str, Matcher] = {
    "ours, normalized": lambda text, gold: score_boxed(text, gold, thought="none").value == 1.0,
    "ours, literal": lambda text, gold: score_boxed(text, gold, mode="literal", thought="none").value == 1.0,
    "verl math_reward": lambda text, gold: math_reward.compute_score(text, gold) == 1.0,
    "verl math_dapo strict": lambda text, gold: (
        math_dapo.compute_score(text, gold, strict_box_verify=True)["score"] == 1
    ),
    "prm800k normalisation": prm800k,
    "Math-Verify": lambda text, gold: verify(parse(rf"\boxed{{{gold}}}"), parse(text)),
}
SLOW = {"Math-Verify": 5}
"""Which share of the re-spellings and near misses a slow matcher gets: one of so many."""

ROUNDS = 7
LONG = [
    *["{", "}", "\\", "$", "^{", "x_1^2", "1,", "1 ", " ", "½", "√", "\\frac", "\\frac1", "\\frac{1}{2}", "\\sqrt["],
    *[
        "\\text{",
        "\\text{a}",
        "\\left",
        "\\boxed",
        "\\boxed ",
        "\\boxed{",
        "\\boxed {",
        "{1\\over",
        "\\begin{pmatrix}",
        "</think>",
    ],
]
"""What is repeated to 100,000 characters."""


def seconds(matcher: Matcher, cases: list[tuple[str, str]]) -> float:
    """Per case; answers are not remembered from one round to the next."""
    canonical.cache_clear()
    start = time.perf_counter()
    for text, gold in cases:
        matcher(text, gold)
    return (time.perf_counter() - start) / len(cases)


def accepted(matcher: Matcher, cases: list[tuple[str, str]]) -> float:
    return sum(bool(matcher(*case)) for case in cases) / max(len(cases), 1)


def times(sets: dict[str, list[tuple[str, str]]]) -> None:
    """Print the best of ``ROUNDS`` turns for each matcher that is not slow, and the ratio to math_reward."""
    quick = {name: matcher for name, matcher in MATCHERS.items() if name not in SLOW}
    print(f"\nmicroseconds{'':14}" + "".join(f"{name:>22}" for name in sets))
    best: dict[tuple[str, str], float] = {}
    for _ in range(ROUNDS):
        for kind, cases in sets.items():
            for name, matcher in quick.items():
                best[name, kind] = min(best.get((name, kind), 1e9), seconds(matcher, cases))
            with patch.object(latex, "canonical", canonical.__wrapped__):
                name = "ours, no memory"
                best[name, kind] = min(best.get((name, kind), 1e9), seconds(MATCHERS["ours, normalized"], cases))
    for name in [*quick, "ours, no memory"]:
        ratios = [(best[name, kind] * 1e6, best[name, kind] / best["verl math_reward", kind]) for kind in sets]
        print(f"{name:26}" + "".join(f"{time:12.2f} ({ratio:4.2f})   " for time, ratio in ratios))


def longest() -> tuple[float, str]:
    """The most milliseconds, of a few rounds the best, that a string of 100,000 characters takes."""
    worst = (0.0, "")
    for part in LONG:
        text = (part * (100_000 // len(part) + 1))[:100_000]
        boxes = (text, rf"\boxed{{{text}", rf"\boxed{{{text[:990]}}}")
        for call in (
            *[lambda box=box: score_boxed(box, "85x", thought="none") for box in boxes],
            lambda text=text: same(text, "x"),
        ):
            spent = min(timed(call) for _ in range(3))
            worst = max(worst, (spent * 1e3, part))
    return worst


def timed(call: Callable[[], object]) -> float:
    canonical.cache_clear()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    parser = parser_of(__doc__)
    add_math500(parser)
    rows = [json.loads(line) for line in math500(parser.parse_args().file).read_text().splitlines()]
    answers = [row["answer"] for row in rows]
    gold = [(row["solution"], row["answer"]) for row in rows]
    wrong = [(rf"So it is \boxed{{{rows[i - 1]['answer']}}}.", row["answer"]) for i, row in enumerate(rows)]
    spelled = respellings(answers)
    pairs = {
        **spelled,
        "all re-spellings": [pair for these in spelled.values() for pair in these],
        "near misses": near_misses(answers),
    }
    boxed = {kind: [(rf"So it is \boxed{{{one}}}.", other) for one, other in these] for kind, these in pairs.items()}
    shares = {
        name: [accepted(matcher, cases[:: SLOW.get(name, 1)]) for cases in boxed.values()]
        for name, matcher in MATCHERS.items()
    }
    print(f"{'share accepted':26} pairs" + "".join(f"{name.removeprefix('verl '):>20}" for name in MATCHERS))
    print(f"{'gold solutions':26} {len(gold):5}" + "".join(f"{accepted(m, gold):20.3f}" for m in MATCHERS.values()))
    for number, (kind, cases) in enumerate(boxed.items()):
        print(f"{kind:26} {len(cases):5}" + "".join(f"{shares[name][number]:20.4f}" for name in MATCHERS))
    sets = {"gold": gold, "wrong": wrong, "re-spelled": boxed["all re-spellings"], "near misses": boxed["near misses"]}
    times(sets)
    milliseconds, part = longest()
    print(f"\nworst of {len(LONG) * 4} strings of 100,000 characters: {milliseconds:.2f} ms ({part!r} repeated)")


if __name__ == "__main__":
    main()
