"""How long vLLM takes to generate a step's responses: continuous batching, simulated with the responses' lengths.

A decoding step reads the weights once and the KV cache of all responses that run, and multiplies each response's last
token by the weights. So many responses share the reading of the weights; at the end few long ones run alone, and the
card is idle but for them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np

from sinternal_verl.doctor.memory import ModelSize
from sinternal_verl.plan.cards import Card
from sinternal_verl.plan.factors import Factors

CHUNKS = 256
"""The simulation takes so many decoding steps together that the longest response has this many."""

TAIL = 0.1
"""The tail is the time in which fewer than this share of all responses still run."""


@dataclass(frozen=True)
class Engine:
    """A vLLM engine on ``cards`` cards of a kind.

    Attributes:
        size: of its model.
        weight: bytes of a weight and of a number in the KV cache.
        cards: tensor parallel size.
        most: responses that may run together (max_num_seqs).
        room: tokens that the KV cache holds; None has no limit.
    """

    size: ModelSize
    card: Card
    factors: Factors
    weight: int = 2
    cards: int = 1
    most: int = 256
    room: int | None = None

    def step_s(self, running: float, tokens: float) -> float:
        """Seconds of one decoding step of ``running`` responses that have ``tokens`` tokens in the cache together."""
        speed = self.card.bandwidth * self.factors["decode_bandwidth"] * self.cards
        read = self.weight * self.size.multiplied / speed
        flops = self.flops(running, tokens) / (self.card.flops * self.factors["decode_flops"] * self.cards)
        cache = self.weight * self.size.key_values * self.size.copies(self.cards) * tokens / speed
        shared = 2 * self.size.blocks * self.factors["allreduce_s"] if self.cards > 1 else 0.0
        work = self.factors["decode_step_s"] + self.factors["decode_response_s"] * running
        return max(read, flops) + cache + shared + work

    def flops(self, running: float, tokens: float) -> float:
        return 2 * self.size.multiplied * running + 4 * self.size.queries * tokens

    def prefill_s(self, tokens: float, each: float) -> float:
        """Seconds for reading ``tokens`` tokens, in texts of ``each`` tokens."""
        flops = 2 * self.size.multiplied * tokens + 2 * self.size.queries * each * tokens
        return flops / (self.card.flops * self.factors["prefill_flops"] * self.cards)


@dataclass(frozen=True)
class Generated:
    """Attributes:
    seconds: until the slowest engine has ended.
    tail: seconds at the end in which few responses run, see `TAIL`.
    alone: seconds that the longest response would take if it were the only one.
    preempted: tokens that were read again because the cache was full.
    """

    seconds: float
    tail: float
    alone: float
    preempted: float


def generate(lengths: np.ndarray, prompt: float, engine: Engine, engines: int) -> Generated:
    """Simulate a step.

    Args:
        lengths: tokens of each response, in the order in which they are asked for; each engine gets every
            ``engines``-th.
        prompt: tokens of a prompt.
        engines: number of engines, which begin together.
    """
    parts = [_on_one(lengths[start::engines], prompt, engine) for start in range(min(engines, len(lengths)))]
    ends = np.concatenate([ended for ended, _ in parts])
    seconds, longest = float(ends.max()), float(lengths.max())
    tail = seconds - float(np.quantile(ends, 1 - TAIL))
    alone = longest * engine.step_s(1, prompt + longest / 2)
    return Generated(seconds, tail, alone, sum(again for _, again in parts))


def _on_one(lengths: np.ndarray, prompt: float, engine: Engine) -> tuple[np.ndarray, float]:
    """When each response of one engine ends, and the tokens that were read again."""
    left = lengths.astype(float).copy()
    done = np.zeros(len(left))
    ends = np.zeros(len(left))
    # Of many responses few run, so that each step looks at these alone. They stay in their order.
    running = np.zeros(0, int)
    waiting = list(range(len(left) - 1, -1, -1))
    chunk = max(1.0, float(np.ceil(left.max(initial=1) / CHUNKS)))
    seconds = preempted = 0.0
    while waiting or len(running):
        running, reading = _admit(waiting, running, done, prompt, engine)
        seconds += reading
        held = _held(running, done, prompt)
        # Each response that runs grows by a chunk, or ends within it.
        while engine.room is not None and held + len(running) * chunk > engine.room and len(running) > 1:
            running, newest = running[:-1], int(running[-1])
            waiting.append(newest)
            preempted += float(prompt + done[newest])
            held -= prompt + done[newest]
        step = np.minimum(left[running], chunk)
        longest = step.max()
        mean = step.sum() / longest
        seconds += longest * engine.step_s(mean, held + step.sum() / 2)
        done[running] += step
        left[running] -= step
        ended = left[running] <= 0
        ends[running[ended]] = seconds
        running = running[~ended]
    return ends, preempted


def _held(running: np.ndarray, done: np.ndarray, prompt: float) -> float:
    return float(prompt * len(running) + done[running].sum())


def _admit(
    waiting: list[int], running: np.ndarray, done: np.ndarray, prompt: float, engine: Engine
) -> tuple[np.ndarray, float]:
    """Let those that wait run while there is room; return who runs, and the seconds in which their prompts are read."""
    held, tokens, new = _held(running, done, prompt), 0.0, []
    while waiting and len(running) + len(new) < engine.most:
        more = prompt + done[waiting[-1]]
        if engine.room is not None and len(running) + len(new) and held + more > engine.room:
            break
        new.append(waiting.pop())
        held, tokens = held + more, tokens + more
    if not new:
        return running, 0.0
    return np.sort(np.concatenate([running, new])).astype(int), engine.prefill_s(tokens, prompt)


def lengths_of(mean: float, spread: float, limit: int, count: int, seed: int = 1) -> np.ndarray:
    """Lengths of responses: their logarithms are normal, and what is longer than ``limit`` is cut there.

    Args:
        mean: of the lengths after that.
        seed: of their order.

    >>> drawn = lengths_of(800, 0.7, 8192, 512)
    >>> round(drawn.mean()), round(drawn.max())
    (800, 5480)
    """
    if mean >= limit or not count:
        return np.full(count, float(limit))
    normal = _quantiles(count)
    mu = _solve(lambda mu: float(np.minimum(np.exp(mu + spread * normal), limit).mean()), mean, np.log(limit) + 8)
    drawn = np.maximum(np.minimum(np.exp(mu + spread * normal), limit), 1.0)
    return np.random.default_rng(seed).permutation(drawn)


@cache
def _quantiles(count: int) -> np.ndarray:
    """The normal distribution cut into parts of equal probability, the middle of each: a draw without chance."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((place + 0.5) / count) for place in range(count)])


def _solve(mean_of: Callable[[float], float], mean: float, high: float) -> float:
    low = -8.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if mean_of(middle) < mean else (low, middle)
    return low
