"""The pickle module by which torch reads a shard, so that a shard of one version of torch is read by another.

A DTensor is pickled with its mesh, whose classes differ between versions of torch (2.11 and 2.13 do not read each
other's), and which looks for process groups as it is read. So objects of ``torch.distributed`` are kept as what they
hold. Only classes of torch are looked up.
"""

import pickle
from collections.abc import Iterator
from functools import cache
from pickle import *  # noqa: F403  torch.load takes a whole module
from typing import Any

import torch
from torch.distributed.tensor import DTensor

PACKAGES = ("torch", "collections")


class Kept:
    """The attributes of an object of ``torch.distributed``, without its class; a subclass has the class's name."""

    def __new__(cls, *values: Any) -> "Kept":
        return object.__new__(cls)

    def __init__(self, *values: Any) -> None:
        self.values = values

    def __setstate__(self, state: Any) -> None:
        for part in state if isinstance(state, tuple) else (state,):
            vars(self).update(part or {})


class Unpickler(pickle.Unpickler):
    """Looks up no more than tensors need."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("torch.distributed") and name != DTensor.__name__:
            return _kept(name)
        if module.partition(".")[0] not in PACKAGES:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, and not tensors alone")
        return DTensor if name == DTensor.__name__ else super().find_class(module, name)


@cache
def _kept(name: str) -> type[Kept]:
    return type(name, (Kept,), {})


def ranks_of(mesh: Kept) -> torch.Tensor:
    """The ranks of a mesh, an axis for each of its dimensions.

    Raises:
        AttributeError, TypeError: the mesh is of a version of torch that keeps it otherwise.
    """
    if isinstance(ranks := vars(mesh).get("mesh"), torch.Tensor):  # torch 2.9 and before
        return ranks
    axes = vars(mesh._layout).get("axes", [mesh._layout])  # of torch 2.13; 2.11 has one layout for all axes
    sizes, strides = ([number for axis in axes for number in _numbers(vars(axis)[key])] for key in ("shape", "stride"))
    return mesh._rank_map.as_strided(sizes, strides)


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    else:
        for each in value:
            yield from _numbers(each)
