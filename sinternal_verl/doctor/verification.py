"""Does the dataset read what ``data.verification`` asks for, and are the values possible?

An ablation that nothing reads would train the full target under the ablation's name.
"""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from sinternal_verl.config import get, is_ppo
from sinternal_verl.data.rendering import NODE, PROMPT_KEYS, Rendering, RenderingError, asked_for, find_faults
from sinternal_verl.doctor.data import check_data
from sinternal_verl.doctor.problem import Problem

CLASS = "data.custom_cls"
MODULE = "pkg://sinternal_verl.data.dataset"
DATASETS = {True: "VerificationRLDataset", False: "VerificationDataset"}
"""Our datasets that read ``data.verification``, for verl's GRPO main (True) and its SFT main (False)."""

OF_THE_OTHER_MAIN = {True: "PromptCompletionDataset", False: "RLHFDataset"}
"""Classes whose subclasses the main cannot use, with the same keys."""


def check_verification(config: DictConfig) -> Iterator[Problem]:
    """Find settings that the dataset does not read, impossible values, and files that do not tell what the settings
    leave to them. Files that cannot be read and classes that cannot be imported are left to `check_data`."""
    settings, dataset, main = OmegaConf.select(config, NODE), _dataset(config), is_ppo(config)
    words = f"{CLASS}.path={MODULE} {CLASS}.name={DATASETS[main]}"
    if OF_THE_OTHER_MAIN[main] in (base.__name__ for base in getattr(dataset, "__mro__", ())):
        reason = f"this dataset is for verl's {'SFT' if main else 'GRPO'} main"
        yield Problem(f"{CLASS}.name", dataset.__name__, reason, f"for files of `verify build` take {words}")
    faults = list(find_faults(settings))
    yield from (Problem(*fault) for fault in faults)
    wrong = {fault.key for fault in faults}
    asked = {key: value for key, value in asked_for(settings).items() if f"{NODE}.{key}" not in wrong}
    reads = getattr(dataset, "verification_keys", ())
    lost = dataset is None and get(config, f"{CLASS}.path") and get(config, f"{CLASS}.name")
    for key in (key for key in asked if key not in reads and not lost):
        step = f"add {words}"
        if main and key not in PROMPT_KEYS:
            step = "leave it out: under GRPO the policy writes its own completions"
        reason = f"{get(config, f'{CLASS}.name', 'the dataset')} does not read it, so the run would ignore it"
        yield Problem(f"{NODE}.{key}", asked[key], reason, step)
    if not faults and set(reads) & asked.keys() and not list(check_data(config)):
        yield from _of_the_files(config, settings)


def _dataset(config: DictConfig) -> Any:
    """The dataset's class; None where it is verl's own, or cannot be imported."""
    path, name = get(config, f"{CLASS}.path"), get(config, f"{CLASS}.name")
    if not path or not name:
        return None
    from verl.utils.import_utils import load_module

    try:
        return getattr(load_module(path), name, None)
    except Exception:  # the user's code may raise anything, and `check_data` reports it
        return None


def _of_the_files(config: DictConfig, settings: Any) -> Iterator[Problem]:
    """Find settings that no file has a use for, and those that the files leave open."""
    from sinternal_verl.data.dataset import is_built_file

    for key in ("data.train_files", "data.val_files"):
        value = get(config, key) or []
        files = [str(file) for file in (value if isinstance(value, list | ListConfig) else [value])]
        if any("://" in file for file in files):
            continue
        built = list(filter(is_built_file, files)) if is_ppo(config) else files
        if not built and key == "data.train_files":
            reason = f"none of {key} was written by `verify build`, so nothing would read this"
            yield from (
                Problem(f"{NODE}.{name}", value, reason, "give such a file, or leave this out")
                for name, value in asked_for(settings).items()
            )
        if not built:
            continue
        try:
            Rendering(built, settings)
        except RenderingError as error:
            yield from (Problem(*fault) for fault in error.faults)
