"""How long verl's FSDP engine takes for a pass over a step's tokens: computing, gathering weights, and moving what is
offloaded. Gathering overlaps with computing, so the longer of them counts. Moving does not: log-probabilities of 10,240
tokens and four blocks of a 7B took 0.125 s on an H200 and 0.27 s offloaded; their weights take 0.148 s over PCIe."""

import heapq
import math
from dataclasses import dataclass

import numpy as np

from sinternal_verl.doctor.memory import ModelSize, Training
from sinternal_verl.plan.cards import Card
from sinternal_verl.plan.factors import Factors

HALF = 2
ADAM_BYTES = 28
"""AdamW reads and writes a weight, its gradient and two moments in fp32: 4 + 4 + 4 + 2 x 8."""


@dataclass(frozen=True)
class Batch:
    """The rows of a step, of all cards together.

    Attributes:
        lengths: tokens of each row.
    """

    lengths: np.ndarray

    @property
    def tokens(self) -> float:
        return float(self.lengths.sum())


@dataclass(frozen=True)
class Pass:
    """Seconds of a pass over a batch, by what takes them."""

    compute: float
    gather: float
    offload: float
    optimizer: float = 0.0

    @property
    def seconds(self) -> float:
        return max(self.compute, self.gather) + self.offload + self.optimizer

    @property
    def bound(self) -> str:
        """What the pass waits for."""
        parts = {
            "computing": self.compute,
            "gathering weights": self.gather,
            "moving weights over PCIe": self.offload,
            "AdamW": self.optimizer,
        }
        return max(parts, key=parts.__getitem__)


@dataclass(frozen=True)
class Trainer:
    """Training on ``cards`` cards.

    Attributes:
        training: how the weights are kept, from `sinternal_verl.doctor.memory`.
        param: bytes of a weight in forward and backward passes.
        together: cards that share one row (Ulysses).
        dense: whether attention computes every pair of tokens of a micro-batch, as sdpa does with packed rows.
    """

    size: ModelSize
    training: Training
    card: Card
    factors: Factors
    cards: int
    param: int = HALF
    together: int = 1
    dense: bool = False

    def forward_flops(self, batch: Batch, updates: int = 1) -> float:
        """FLOP of the card that computes longest, of each update, times the number of cards.

        Each token is multiplied by all weights, and by half the tokens of its row in attention. verl gives the cards
        rows of about equal work together, but an update takes a part of each card's rows, and a row is not divided.
        """
        rows = 2 * self.size.multiplied * batch.lengths
        if self.dense:
            beside = min(self.training.tokens, batch.tokens / max(self.cards, 1))
            rows = rows + 4 * self.size.queries * batch.lengths * np.maximum(batch.lengths, beside)
        else:
            rows = rows + 2 * self.size.queries * batch.lengths**2
        groups = max(self.cards // self.together, 1)
        return groups * float(shares(rows, groups, updates).max(axis=1).sum())

    def micro_batches(self, batch: Batch, updates: int = 1) -> int:
        """Micro-batches of a card; every update has one at least."""
        return updates * max(1, math.ceil(batch.tokens / self.cards / updates / max(self.training.tokens, 1)))

    def forward(self, batch: Batch) -> Pass:
        """A pass without gradients, such as the one for log-probabilities."""
        speed = self.card.flops * self.factors["forward_flops"] * self.cards
        passes = self.micro_batches(batch)
        moved = passes * self._moved(1) if self.training.offload else self._loaded(weights=True)
        return Pass(self.forward_flops(batch) / speed, passes * self._gathered(1, False), moved)

    def update(self, batch: Batch, updates: int = 1, epochs: int = 1) -> Pass:
        """Forward and backward over the batch ``epochs`` times, each with ``updates`` steps of AdamW."""
        speed = self.card.flops * self.factors["update_flops"] * self.cards
        # Backward costs twice forward; with LoRA the frozen weights need no gradients of their own.
        times = 1 + self.training.checkpointing + (2 if self.learns_all else 1)
        passes = epochs * self.micro_batches(batch, updates)
        if self.training.offload:
            moved = passes * (self._moved(2) + self._moved_gradients())
        else:
            moved = self._loaded(weights=True, moments=True)
        return Pass(
            epochs * times * self.forward_flops(batch, updates) / speed,
            passes * self._gathered(2, True),
            moved,
            epochs * updates * self._adam(),
        )

    @property
    def learns_all(self) -> bool:
        return self.size.trainable == self.size.total

    def collective_speed(self) -> float:
        """Bytes a card gets each second while weights are gathered. From other nodes they come over the network cards
        of all cards of the node, and within it over the links."""
        link = self.card.link * self.factors["link"]
        if self.training.shards <= self.training.per_node:
            return link
        return min(link, self.card.network * self.factors["network"] * self.training.per_node)

    def _gathered(self, times: int, learns: bool) -> float:
        """Seconds for gathering the weights ``times`` times, and for reducing gradients, of one micro-batch."""
        missing = 1 - 1 / self.training.shards
        moved = times * self.param * self.size.total + (4 * self.size.trainable if learns else 0)
        seconds = missing * moved / self.collective_speed()
        if learns and self.training.shards < self.cards:
            # Copies of the shards on other nodes add up their gradients.
            seconds += (
                2 * 4 * self.size.trainable / self.training.shards / (self.card.network * self.factors["network"])
            )
        return seconds

    def _moved(self, times: int) -> float:
        """Seconds for moving a card's weights, in the form in which they are kept, from the host."""
        return times * self.training.weight * self.size.total / self.training.shards / self._pcie()

    def _moved_gradients(self) -> float:
        return self.training.weight * self.size.trainable / self.training.shards / self._pcie()

    def _loaded(self, weights: bool = False, moments: bool = False) -> float:
        """Seconds for what waits in host memory and is moved to the card and back once for a pass."""
        held = self.training.weight * self.size.total if weights and self.training.offload_weights else 0
        held += 2 * self.training.weight * self.size.trainable if moments and self.training.offload_moments else 0
        return 2 * held / self.training.shards / self._pcie()

    def _adam(self) -> float:
        moved = ADAM_BYTES * self.size.trainable / self.training.shards
        if self.training.offload:
            return moved * self.training.per_node / self.factors["host_bandwidth"]
        return moved / (self.card.bandwidth * self.factors["adam_bandwidth"])

    def _pcie(self) -> float:
        return self.card.pcie * self.factors["pcie"]


def shares(work: np.ndarray, cards: int, updates: int = 1) -> np.ndarray:
    """Work of each card in each update, (updates, cards): the largest rows are given out first, each to the card that
    has least, and each card's rows are dealt out to the updates.

    >>> shares(np.array([4.0, 3.0, 2.0, 1.0]), cards=2).tolist()
    [[5.0, 5.0]]
    """
    held: list[list[float]] = [[] for _ in range(cards)]
    least = [(0.0, card) for card in range(cards)]
    for row in sorted(work, reverse=True):
        total, card = heapq.heappop(least)
        held[card].append(float(row))
        heapq.heappush(least, (total + row, card))
    order = np.random.default_rng(1)
    found = np.zeros((updates, cards))
    for card, rows in enumerate(held):
        for update, part in enumerate(np.array_split(order.permutation(rows), updates)):
            found[update, card] = part.sum()
    return found
