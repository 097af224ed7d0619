"""The pickle module by which torch reads a shard, so that a shard of one version of torch is read by another.

A DTensor is pickled with its mesh, whose classes differ between versions of torch (2.11 and 2.13 do not read each
other's), and which looks for process groups as it is read. So objects of ``torch.distributed`` are kept as what they
hold. A file names what is called while it is read, so only what stands in `ALLOWED` is looked up, under no other name.
"""

import pickle
from collections import OrderedDict
from collections.abc import Iterator
from functools import cache
from typing import Any, BinaryIO

import torch
from torch.distributed.tensor import DTensor

ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch", "Tensor"): torch.Tensor,
    ("torch", "device"): torch.device,
    ("torch.nn.parameter", "Parameter"): torch.nn.Parameter,
    ("torch.serialization", "_get_layout"): torch.serialization._get_layout,
    ("torch.storage", "UntypedStorage"): torch.UntypedStorage,
    ("torch._tensor", "_rebuild_from_type_v2"): torch._tensor._rebuild_from_type_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): torch._utils._rebuild_parameter_with_state,
    ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_tensor_v3"): torch._utils._rebuild_tensor_v3,
    ("torch._utils", "_rebuild_wrapper_subclass"): torch._utils._rebuild_wrapper_subclass,
    **{("torch", name): value for name, value in vars(torch).items() if isinstance(value, torch.dtype)},
}
"""(module, name) -> what tensors are made of. torch finds the storages of all dtypes itself. None of it runs what it is
given, other than `_rebuild_from_type_v2`, which runs another of these. (torch 2.11 to 2.13)"""


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
    """Looks up no more than tensors need.

    Raises:
        pickle.UnpicklingError: the file names something else.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        if module == "torch.distributed" or module.startswith("torch.distributed."):
            return DTensor if name == DTensor.__name__ else _kept(name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, and not tensors alone")


def load(file: BinaryIO, **settings: Any) -> Any:
    """By which torch reads formats before its zip files."""
    return Unpickler(file, **settings).load()


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
