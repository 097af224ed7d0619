"""The same run on more nodes: how its step shortens, and what it then waits for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sinternal_verl.config import is_ppo
from sinternal_verl.plan.factors import Factors
from sinternal_verl.plan.fitting import misfits, refusals
from sinternal_verl.plan.grpo import GrpoStep, grpo_run, grpo_step
from sinternal_verl.plan.setup import Setup
from sinternal_verl.plan.sft import sft_run, sft_update

MOST_NODES = 4096

MOST_NUMBERS = 64
"""How many numbers of nodes one plan has: each is a plan of its own."""

ELLIPSIS = ("...", "…")


class BadNodes(ValueError):
    """The numbers of nodes cannot be read; the message says how they are given."""


@dataclass(frozen=True)
class Size:
    """The run on a number of nodes, with typical factors.

    Attributes:
        cards: all of them; ``training`` are those that train.
        step: seconds.
        gpu_hours: cost of the run.
        efficiency: speed for each card, as a share of that of the first number of nodes.
        waits: the phase that takes longest, and what it waits for.
        share: of that phase in the step.
        fits: whether it fits the cards and would start.
    """

    nodes: int
    cards: int
    training: int
    step: float
    hours: float
    gpu_hours: float
    efficiency: float
    waits: str
    share: float
    fits: bool


def nodes_of(text: str) -> list[int]:
    """Numbers of nodes from text.

    >>> nodes_of("1,2,4,...,64"), nodes_of("1,2,...,5"), nodes_of("3")
    ([1, 2, 4, 8, 16, 32, 64], [1, 2, 3, 4, 5], [3])

    Raises:
        BadNodes: see there.
    """
    way = "write whole numbers from 1 on, such as --nodes 1,2,4,8 or --nodes 1,2,4,...,64"
    found: list[int] = []
    words = [word for word in re.split(r"[,\s]+", text.strip()) if word]
    for place, word in enumerate(words):
        if word in ELLIPSIS:
            if len(found) < 2 or place + 2 != len(words) or not words[-1].isdecimal():
                raise BadNodes(f"--nodes {text}: two numbers stand before {word} and one after it; {way}")
            found += _between(found, int(words[-1]), text)
        elif not word.isdecimal() or not 1 <= int(word) <= MOST_NODES:
            raise BadNodes(f"--nodes {word}: this is no number of nodes from 1 to {MOST_NODES}; {way}")
        else:
            found.append(int(word))
    if not found:
        raise BadNodes(f"--nodes {text}: no number is given; {way}")
    if len(found) > MOST_NUMBERS:
        raise BadNodes(f"--nodes {text}: these are {len(found)} numbers, and a plan has {MOST_NUMBERS} at most; {way}")
    return found


def _between(first: list[int], last: int, text: str) -> list[int]:
    """The numbers that go on as the first two or three do, less than ``last``."""
    *_, before, number = first
    times, more = number / before, number - before
    # Two numbers, 1 and 2, go on by doubling where that leads to the last one.
    grows = first[-2] / first[-3] == times if len(first) > 2 else times == 2 and _doubles_to(number, last)
    found: list[int] = []
    while (number := round(number * times) if grows else number + more) < last:
        if number <= (found or first)[-1]:
            raise BadNodes(f"--nodes {text}: the numbers before ... must grow")
        found.append(number)
    return found


def _doubles_to(number: int, last: int) -> bool:
    while number < last:
        number *= 2
    return number == last


def growth(setups: Sequence[Setup]) -> list[Size]:
    """The run on each of the setups, which differ in the number of nodes."""
    found: list[Size] = []
    factors = Factors.at("typical")
    for setup in setups:
        step, hours, waits, share = (_grpo if is_ppo(setup.config) else _sft)(setup, factors)
        first = found[0] if found else None
        efficiency = first.step * first.cards / (step * setup.cards) if first else 1.0
        cost = hours * setup.cards
        fits = not misfits(setup) and not refusals(setup.config)
        found.append(Size(setup.nodes, setup.cards, setup.processes, step, hours, cost, efficiency, waits, share, fits))
    return found


def _grpo(setup: Setup, factors: Factors) -> tuple[float, float, str, float]:
    step = grpo_step(setup, factors)
    phase = max(step.phases, key=step.phases.__getitem__)
    share = step.phases[phase] / step.seconds
    return float(step.seconds), grpo_run(setup, factors, step).seconds / 3600, f"{phase}: {_bound(step, phase)}", share


def _bound(step: GrpoStep, phase: str) -> str:
    if phase == "gen":
        if step.generated.seconds < step.phases["gen"] / 2:
            return "the guard or the driver"
        return "the longest response" if step.generated.alone > step.generated.seconds / 2 else "decoding"
    if phase == "update_actor":
        return step.update.bound
    return step.log_probs.bound if phase in ("old_log_prob", "ref") else "what does not shrink with more cards"


def _sft(setup: Setup, factors: Factors) -> tuple[float, float, str, float]:
    done = sft_update(setup, factors)
    return done.seconds, sft_run(setup, factors, done).seconds / 3600, f"step: {done.bound}", 1.0
