"""What the measures of a GPU share: where they run, how time and memory are taken, and the sizes of models."""

import statistics
import time
from collections.abc import Callable

import torch
from gpu_checks import ON_GPU
from sized_models import SMALL

LIMIT_S = 600
"""Of one measure."""

DEVICE = "cuda" if ON_GPU else "cpu"
DTYPE = torch.bfloat16 if ON_GPU else torch.float32
ENGINE = {} if ON_GPU else {"dtype": "float32", "enforce_eager": True}

WORDS = range(300, 550)
"""Ids that each of the vocabularies has."""


def sync() -> None:
    if ON_GPU:
        torch.cuda.synchronize()


def median_seconds(work: Callable[[], object], rounds: int = 3, warm_up: int = 1) -> float:
    """The median of ``rounds``."""
    taken = []
    for number in range(warm_up + rounds):
        sync()
        started = time.perf_counter()
        work()
        sync()
        if number >= warm_up:
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def peak_gb(work: Callable[[], object]) -> float:
    """GB that were allocated at most."""
    if not ON_GPU:
        work()
        return 0.0
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() / 1e9


def sized(size: dict, small: bool, **changes: int) -> dict:
    return size | changes | (SMALL if small else {})
