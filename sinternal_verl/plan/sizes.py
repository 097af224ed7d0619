"""Sizes of models: from a configuration on this machine, else from those of ``models.yaml``."""

from functools import cache

from transformers import AutoConfig

from sinternal_verl.doctor.fits import size_here
from sinternal_verl.doctor.memory import ModelSize, size_of
from sinternal_verl.doctor.pretrained import read_config
from sinternal_verl.plan.factors import read

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
"""Keys of configurations of models with experts, of which a token passes only some."""


class CannotPlan(ValueError):
    """A model's size is not known, or a plan would say what is not so; the message says what to give."""


def known_models() -> list[str]:
    return list(read("models.yaml"))


def size_of_model(path: str, lora_rank: int = 0, targets: object = None, trust: bool = False) -> ModelSize | None:
    """A model's size by its folder, its hub id in the cache, or its hub id in ``models.yaml``; None for another.

    Raises:
        CannotReckon: transformers cannot build the model.
    """
    found = size_here(path, lora_rank, targets, trust)
    return found if found is not None or path not in read("models.yaml") else _known(path, lora_rank, targets)


@cache
def _known(path: str, lora_rank: int, targets: object) -> ModelSize:
    return size_of(AutoConfig.for_model(**read("models.yaml")[path]), lora_rank, targets)


def needed(key: str, path: str | None, size: ModelSize | None) -> ModelSize:
    """
    Raises:
        CannotPlan: there is no size.
    """
    if size is not None:
        return size
    known = ", ".join(known_models())
    if path is None:
        raise CannotPlan(
            f"{key} is not given, and every figure follows from the model's size. Known without files: {known}"
        )
    raise CannotPlan(
        f"{key} = {path}: its size is not known, for no config.json of it that transformers reads is here. Give a "
        f"folder with a config.json (no weights are needed), or one of {known}"
    )


def sliding_window(path: str | None) -> int | None:
    """The tokens to which some of a model's blocks attend, where these are not all; None where its configuration is not
    here."""
    found = read_config(path) if path and "://" not in path else None
    if found is None:
        return None
    text = found.get_text_config()
    kinds = getattr(text, "layer_types", None)
    slides = any("sliding" in str(kind) for kind in kinds) if kinds else getattr(text, "use_sliding_window", True)
    return getattr(text, "sliding_window", None) if slides else None
