"""Boxed-answer matchers side by side: speed, and agreement on MATH-500.

Ours, verl's math_reward, verl's math_dapo (strict), prm800k's normalisation (verl's copy in
prime_math) and Math-Verify, on the 500 gold solutions and on 500 wrong answers (the ground truth of
the next problem), all in this run. The limits: all 500 gold solutions right, at most 1.0 of
math_reward's time on them, at most 3.0 on wrong answers.
"""

import json
import time
from collections.abc import Callable

from arguments import add_math500, math500, parser_of
from math_verify import parse, verify
from verl.utils.reward_score import math_dapo, math_reward
from verl.utils.reward_score.prime_math.math_normalize import normalize_answer

from sinternal_verl.scoring.boxed_math import score_boxed
from sinternal_verl.scoring.latex import canonical

Matcher = Callable[[str, str], bool]


def prm800k(text: str, gold: str) -> bool:
    """The last box against the ground truth, both normalised; its further sympy stage is left out."""
    box = math_reward.last_boxed_only_string(text)
    answer = math_reward.remove_boxed(box) if box else None
    return answer is not None and normalize_answer(answer) == normalize_answer(gold)


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
SLOW = {"Math-Verify"}


def microseconds(matcher: Matcher, cases: list[tuple[str, str]], rounds: int) -> float:
    """Best of ``rounds``, per case; answers are not remembered from one round to the next."""
    best = float("inf")
    for _ in range(rounds):
        canonical.cache_clear()
        start = time.perf_counter()
        for text, gold in cases:
            matcher(text, gold)
        best = min(best, time.perf_counter() - start)
    return best / len(cases) * 1e6


def main() -> None:
    parser = parser_of(__doc__)
    add_math500(parser)
    rows = [json.loads(line) for line in math500(parser.parse_args().file).read_text().splitlines()]
    gold = [(row["solution"], row["answer"]) for row in rows]
    wrong = [(rf"So it is \boxed{{{rows[i - 1]['answer']}}}.", row["answer"]) for i, row in enumerate(rows)]
    rounds = {name: 1 if name in SLOW else 9 for name in MATCHERS}
    peers = {n: [microseconds(m, cases, rounds[n]) for cases in (gold, wrong)] for n, m in MATCHERS.items()}
    base_gold, base_wrong = peers["verl math_reward"]
    ours = [MATCHERS["ours, normalized"](*case) for case in gold + wrong]
    print(f"{'':22} gold right   us/sample (ratio)    wrong taken   us/sample (ratio)   agrees with ours")
    for name, matcher in MATCHERS.items():
        verdicts = [bool(matcher(*case)) for case in gold + wrong]
        agreement = sum(a == b for a, b in zip(verdicts, ours, strict=True)) / len(verdicts)
        on_gold, on_wrong = peers[name]
        right, taken = sum(verdicts[: len(gold)]), sum(verdicts[len(gold) :])
        print(
            f"{name:22} {right:5}/{len(gold)} {on_gold:11.1f} ({on_gold / base_gold:5.2f}) {taken:12}/{len(wrong)}"
            f" {on_wrong:9.1f} ({on_wrong / base_wrong:5.2f}) {agreement:15.3f}"
        )


if __name__ == "__main__":
    main()
