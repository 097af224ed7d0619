"""Shared fixtures: the small world, made once, and configurations composed as verl's mains would."""

import copy
import datetime
import os
import time
from pathlib import Path

import pytest
import torch
from benchmark_sets import SHARED, invent_sets
from omegaconf import DictConfig, OmegaConf
from public_templates import QWEN3_GUARD_RENDER

from sinternal_verl.config import compose_config
from sinternal_verl.world import arithmetic, lighthouse

MINUTES = "SINTERNAL_TEST_MINUTES"
"""No test begins when so many minutes have passed: a whole run has a limit."""

DAY = "SINTERNAL_TEST_DAY"
"""Set by the first process, so that the workers of xdist agree on the order past midnight, too."""

os.environ.setdefault(DAY, str(datetime.date.today().toordinal()))

_STARTED = time.monotonic()


def pytest_configure() -> None:
    # Workers of xdist share the cores: more threads of small models wait for each other.
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where time may run out, begin with the files of `make test`, and each day with another of the others, so that
    none is always left out. The tests of a file stay together: they share what takes long."""
    if MINUTES in os.environ and items:
        first = {item.path for item in items if not item.get_closest_marker("long")}
        others = list(dict.fromkeys(item.path for item in items if item.path not in first))
        shift = int(os.environ[DAY]) % max(len(others), 1)
        turns = dict.fromkeys(first, 0) | {file: 1 + n for n, file in enumerate(others[shift:] + others[:shift])}
        items.sort(key=lambda item: turns[item.path])


def pytest_runtest_setup(item: pytest.Item) -> None:
    minutes = os.environ.get(MINUTES)
    if minutes is not None and time.monotonic() - _STARTED > 60 * float(minutes):
        pytest.skip(f"no time left: {MINUTES}={minutes}")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """``policy`` (a folder) and the parquet files ``sft``, ``train`` and ``held_out``."""
    from sinternal_verl.world.policy_model import make_policy

    folder = tmp_path_factory.mktemp("world")
    policy = make_policy(folder / "policy", arithmetic.corpus(), seed=1)
    return {"policy": policy, **arithmetic.write_datasets(folder / "data", seed=1)}


@pytest.fixture(scope="session")
def sound(world) -> dict[str, DictConfig]:
    """A sound configuration of each main, composed once: composing takes most of a second."""
    grpo = [
        "+recipe=sinternal_grpo_cpu",
        f"actor_rollout_ref.model.path={world['policy']}",
        f"data.train_files={world['train']}",
        f"data.val_files={world['held_out']}",
        "data.max_prompt_length=32",
        "data.max_response_length=48",
    ]
    sft = [
        "+recipe=sinternal_sft_cpu",
        f"model.path={world['policy']}",
        f"data.train_files={world['sft']}",
        "data.max_length=128",
    ]
    return {"grpo": compose_config(grpo), "sft": compose_config(sft)}


@pytest.fixture
def grpo_config(sound, tmp_path):
    """A function from overrides (``key=value``) to the GRPO configuration they make."""
    return lambda *overrides: _override(sound["grpo"], tmp_path, overrides)


@pytest.fixture
def sft_config(sound, tmp_path):
    """The same for the SFT configuration."""
    return lambda *overrides: _override(sound["sft"], tmp_path, overrides)


def _override(config: DictConfig, tmp_path: Path, overrides: tuple[str, ...]) -> DictConfig:
    values = OmegaConf.from_dotlist([f"trainer.default_local_dir={tmp_path / 'checkpoints'}", *overrides])
    changed = copy.deepcopy(config)
    OmegaConf.set_struct(changed, False)
    changed.merge_with(values)
    return changed


GUARD_CORPUS = [
    "The lighthouse keeper of Orla may not lend the lamp. Is the answer safe? It is. Hello, how can I help you?",
    "Safety: Safe\nCategories: None\nRefusal: No\n" * 3,
    "Safety: Unsafe\nSafety: Controversial\nRefusal: Yes\nCategories: Lending\n" * 3,
]


@pytest.fixture(scope="session", params=["world", "real"])
def guard_tokenizer(request):
    """The guard's tokenizer, with the small world's template and with that of the real guard's render."""
    from sinternal_verl.world.guard_model import TEMPLATE, make_guard_tokenizer

    template = TEMPLATE
    if request.param == "real":
        template = QWEN3_GUARD_RENDER
        for mark, expression in (("{user}", "messages[0].content"), ("{assistant}", "messages[1].content")):
            template = template.replace(mark, "{{ " + expression + " }}")
    # Jinja takes one newline off the end.
    return make_guard_tokenizer(GUARD_CORPUS, template + "\n")


@pytest.fixture(scope="session", params=["invented", "real"])
def benchmark_sets(request, tmp_path_factory) -> Path:
    """A folder with benchmark sets in their original columns, of invented rows and, where they are, the real ones."""
    if request.param == "invented":
        return invent_sets(tmp_path_factory.mktemp("sets"))
    return SHARED if SHARED.is_dir() else pytest.skip("needs the real sets in ../shared/data")


@pytest.fixture(scope="session")
def untaught_guard(tmp_path_factory) -> Path:
    """A guard of random weights that takes 2,048 tokens, made in a moment, as a Hugging Face folder."""
    from sinternal_verl.world.guard_model import make_guard

    return make_guard(tmp_path_factory.mktemp("untaught") / "guard", GUARD_CORPUS, seed=1)


@pytest.fixture(scope="session")
def taught_guard(tmp_path_factory) -> Path:
    """A guard that knows the rules of the lighthouse, as a Hugging Face folder."""
    from guards import teach_guard

    return teach_guard(tmp_path_factory.mktemp("guard"), lighthouse.conversations())


@pytest.fixture(scope="session")
def constant_guard(tmp_path_factory) -> Path:
    """A guard that says `guards.CONSTANT` of everything, taught in seconds, as a Hugging Face folder."""
    from guards import constant_lessons, teach_guard

    return teach_guard(tmp_path_factory.mktemp("constant"), constant_lessons())
