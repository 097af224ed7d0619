"""What first_token saves over decoding, and prefix caching over none, at the guard's engine.

The engine's time does not depend on what the words say, so the guard has random weights, and each mode
asks for the tokens that it asks a real one for: decoding 20, first_token one for the label and one more
for the refusal: of all conversations, its worst case (only safe answers to benign prompts), and of every
second one (safe answers to the paper's mix). Answers of 50, 200 and 4,000 tokens, 64 at a time (8 of the
longest), each of its own prompt; then groups of 8 answers to one prompt, with the prefix cache on and off.
The modes take turns, each round in another order; what counts is the median of a round's ratios, for a
machine is not as fast now as it was a minute ago.

The limit: first_token is never slower, its worst case included.
"""

import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path

from arguments import parser_of

from sinternal_verl.guard.engine import EngineSettings, GuardEngine
from sinternal_verl.world import lighthouse
from sinternal_verl.world.guard_model import make_guard

POLICY, VERDICT, ASKS = 300, 20, 3
"""Tokens of the fixed text before a conversation, of a verdict, and of what first_token appends."""

ENGINE = {
    "max_model_len": 8192,
    "gpu_memory_utilization": 0.2,
    "enforce_eager": True,
    "dtype": "float32",
    "max_num_seqs": 64,
    # As in our CPU recipe.
    "block_size": 32,
}
ROUNDS = 6
MODES = DECODE, ALL_BENIGN, HALF_BENIGN = "decoding", "first_token of all, refusal of all", "refusal of half"

WORDS = range(300, 550)
"""Ids that the guard's vocabulary has."""


def conversations(rng: random.Random, groups: int, each: int, answer: int) -> list[list[int]]:
    """Ids: a policy that all share, a prompt that a group shares, an answer of its own."""
    draw = lambda count: rng.choices(WORDS, k=count)  # noqa: E731
    policy = draw(POLICY)
    return [policy + prompt + draw(answer) for prompt in (draw(40) for _ in range(groups)) for _ in range(each)]


async def seconds(engine: GuardEngine, batch: list[list[int]], mode: str) -> float:
    async def judge(number: int, ids: list[int]) -> None:
        if mode == DECODE:
            await engine(ids, VERDICT)
            return
        await engine(ids + [1] * ASKS, 1)
        if mode == ALL_BENIGN or number % 2:
            await engine(ids + [2] * 3 * ASKS, 1)

    started = time.perf_counter()
    await asyncio.gather(*(judge(*each) for each in enumerate(batch)))
    return time.perf_counter() - started


async def compare_modes(engine: GuardEngine) -> bool:
    holds = True
    for answer, count in ((50, 64), (200, 64), (4000, 8)):
        rounds = []
        for number in range(ROUNDS):
            taken = {}
            for mode in MODES[number % len(MODES) :] + MODES[: number % len(MODES)]:
                # New texts each time: what was seen is cached.
                batch = conversations(random.Random(f"{answer} {mode} {number}"), count, 1, answer)
                taken[mode] = await seconds(engine, batch, mode)
            rounds.append(taken)
        ratios = {mode: statistics.median(taken[mode] / taken[DECODE] for taken in rounds) for mode in MODES}
        holds &= max(ratios.values()) <= 1
        times = {mode: statistics.median(taken[mode] for taken in rounds) for mode in MODES}
        shown = ", ".join(f"{mode} {times[mode]:.2f} s ({ratios[mode]:.2f})" for mode in MODES)
        print(f"answers of {answer:5} tokens: {shown}", flush=True)
    return holds


async def groups_of_eight(engine: GuardEngine) -> float:
    times = [
        await seconds(engine, conversations(random.Random(f"groups {n}"), 8, 8, 200), ALL_BENIGN) for n in range(ROUNDS)
    ]
    return statistics.median(times)


def main() -> None:
    parser_of(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        guard = make_guard(Path(folder), lighthouse.corpus(), seed=0, hidden=256, layers=6, longest=8192)
        loop = asyncio.new_event_loop()
        cached = GuardEngine(EngineSettings(str(guard), **ENGINE))
        holds = loop.run_until_complete(compare_modes(cached))
        on = loop.run_until_complete(groups_of_eight(cached))
        cached.shutdown()
        bare = GuardEngine(EngineSettings(str(guard), **ENGINE, enable_prefix_caching=False))
        off = loop.run_until_complete(groups_of_eight(bare))
        bare.shutdown()
    print(f"8 groups of 8 answers of 200 tokens: prefix caching on {on:.2f} s, off {off:.2f} s, {on / off:.2f} of it")
    raise SystemExit(0 if holds else 1)


if __name__ == "__main__":
    main()
