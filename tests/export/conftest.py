"""Runs with a checkpoint made by hand, and weights that have learned something."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from checkpoints import Weights, play_ranks, save_checkpoint
from transformers import AutoModelForCausalLM


@pytest.fixture(scope="module")
def ranks() -> Iterator[None]:
    # Other tests of the same process start process groups of their own.
    play_ranks(8)
    yield
    torch.distributed.destroy_process_group()


@pytest.fixture
def save(ranks, world, tmp_path) -> Callable[..., Path]:
    """A function that saves weights as step 3 of a run; returns the run's folder."""

    def run(weights: Weights, mesh: tuple[int, ...] = (2,), policy: Path | None = None, **settings) -> Path:
        save_checkpoint(tmp_path / "run", weights, policy or world["policy"], mesh, **settings)
        return tmp_path / "run"

    return run


@pytest.fixture(scope="session")
def trained(world) -> Weights:
    """The policy's weights, each a little changed."""
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_pretrained(world["policy"], dtype=torch.float32)
    weights = {name: weight + 0.01 * torch.randn_like(weight) for name, weight in model.state_dict().items()}
    return weights | {"lm_head.weight": weights["model.embed_tokens.weight"]}
