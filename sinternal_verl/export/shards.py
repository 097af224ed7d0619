"""Joins the shards of a checkpoint, one parameter at a time, in the dtype in which they were kept or in another.

The files are mapped, not read. A page that was read counts as resident memory until its mapping goes, so the files are
mapped anew whenever a `TURNS`-th of the weights was read.
verl's own merger holds all shards at once, and makes all weights bfloat16. (verl 0.9.1)
"""

import ctypes
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from sinternal_verl.export import unpickle
from sinternal_verl.export.checkpoint import Checkpoint
from sinternal_verl.export.errors import ExportError
from sinternal_verl.export.finite import check_finite, check_fits
from sinternal_verl.export.records import checked_sums
from sinternal_verl.export.unpickle import ranks_of

TURNS = 16
"""How many times the files are mapped for one reading of all weights."""

UNREADABLE = (
    *(RuntimeError, EOFError, pickle.UnpicklingError),
    *(OSError, ValueError, LookupError, AttributeError, ImportError, TypeError, AssertionError, OverflowError),
)
"""What torch and pickle raise of a file that was cut, or whose bytes are others'."""


class Shards:
    """The weights of a checkpoint.

    Attributes:
        specs: name -> a tensor without data (device ``meta``), of the whole parameter's shape and kept dtype.
        total_bytes: of all weights, as kept.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        """
        Raises:
            ExportError: a shard is missing, cannot be read, or does not fit the others.
        """
        self._folder, self._files = checkpoint.folder, checkpoint.shards
        sums = [checked_sums(file) for file in self._files]
        self._map()
        self._limit = sum(file.stat().st_size for file in self._files) / TURNS
        self._check_copies(sums)
        self.specs = {name: self._spec(name) for name in list(self._shards[0])}
        for shard, file in zip(self._shards, self._files, strict=True):
            if further := sorted(shard.keys() - self.specs.keys()):
                raise ExportError(f"{self._folder}: {further[0]} is in {file.name} and not in every shard")
        self.total_bytes = sum(bytes_of(spec) for spec in self.specs.values())

    def read(self, name: str, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The whole parameter, in memory of its own.

        Args:
            dtype: of a parameter of real numbers; None keeps its own.

        Raises:
            ExportError: it holds NaN or infinity, or does not fit ``dtype``.
        """
        spec = self.specs[name]
        self._touch(bytes_of(spec))
        whole = torch.empty_like(spec, device="cpu", dtype=dtype if spec.is_floating_point() else None)
        start, (parts, axis) = 0, self._parts(name)
        for part in parts:
            there = whole if axis is None else whole.narrow(axis, start, part.shape[axis])
            check_finite(name, part)
            there.copy_(part)
            start += 0 if axis is None else part.shape[axis]
        check_fits(name, whole, spec.dtype)
        return whole

    def equal(self, one: str, other: str) -> bool:
        """Whether two parameters are the same. They are compared where they are mapped."""
        self._touch(2 * bytes_of(self.specs[one]))
        return all(torch.equal(*parts) for parts in zip(self._parts(one)[0], self._parts(other)[0], strict=True))

    def _touch(self, count: int) -> None:
        """Make room for ``count`` bytes that are going to be read."""
        if self._read > self._limit:
            self._map()
        self._read += count

    def _map(self) -> None:
        # The old mappings go before the new ones come.
        self._shards: list[dict[str, Any]] = []
        self._read = 0
        _give_back()
        self._shards = [_load(file) for file in self._files]

    def _spec(self, name: str) -> torch.Tensor:
        first = self._shards[0][name]
        if lacking := [file.name for file, shard in self._numbered() if name not in shard]:
            reason = "is not in every shard; the checkpoint was not saved whole"
            raise ExportError(f"{self._folder}: {name} {reason} ({', '.join(lacking)})")
        for file, shard in self._numbered():
            if (found := _described(shard[name])) != (wanted := _described(first)):
                reason = f"is {found} in {file.name}, and {wanted} in {self._files[0].name}"
                raise ExportError(f"{self._folder}: {name} {reason}; they are not of one checkpoint")
        if not isinstance(first, DTensor) and len(self._files) > 1:
            self._touch(bytes_of(first) * len(self._files))
            first = self._shards[0][name]
            for file, shard in self._numbered():
                if not torch.equal(shard[name], first):
                    raise ExportError(f"{self._folder}: {name} is whole in each shard, but {file.name} has another")
        parts, axis = self._parts(name)
        shape = list(parts[0].shape)
        if axis is not None:
            shape[axis] = sum(part.shape[axis] for part in parts)
        if torch.Size(shape) != first.shape:
            raise ExportError(f"{self._folder}: {name} joins to {tuple(shape)}, not {tuple(first.shape)}")
        return torch.empty(first.shape, dtype=parts[0].dtype, device="meta")

    def _parts(self, name: str) -> tuple[list[torch.Tensor], int | None]:
        """The parts of a parameter in their order, and the dimension along which they are joined; None for one that
        is whole in every shard.

        Raises:
            ExportError: it is cut in a way that FSDP does not.
        """
        ranks, axis = self._ranks(name)
        return [self._local(rank, name) for rank in ranks], axis

    def _ranks(self, name: str) -> tuple[list[int], int | None]:
        """The ranks whose parts make a parameter, in their order, and the dimension along which they are joined."""
        first = self._shards[0][name]
        if not isinstance(first, DTensor):
            return [0], None
        try:
            placements, mesh = first._spec.placements, ranks_of(first._spec.mesh)
        except (AttributeError, KeyError, TypeError) as error:
            reason = f"has a mesh that another version of torch than {torch.__version__} wrote in its own way"
            raise ExportError(f"{self._folder}: {name} {reason} ({error})") from error
        # In a mesh of (replicas, shards) the first replica has all shards.
        kinds = [type(placement).__name__ for placement in placements]
        cut = [axis for axis, kind in enumerate(kinds) if kind != "Replicate"]
        if len(cut) > 1 or any(kinds[axis] != "Shard" for axis in cut):
            reason = f"is cut as {kinds} over a mesh of {tuple(mesh.shape)}; only what FSDP cuts can be exported"
            raise ExportError(f"{self._folder}: {name} {reason}")
        ranks = mesh[tuple(slice(None) if axis in cut else 0 for axis in range(mesh.ndim))].reshape(-1).tolist()
        return ranks, placements[cut[0]].dim if cut else None

    def _check_copies(self, sums: list[tuple[int, ...] | None]) -> None:
        """
        Raises:
            ExportError: one file holds what another one does, and both are joined.
        """
        same = [(sums.index(own), rank) for rank, own in enumerate(sums) if own is not None and sums.index(own) != rank]
        for one, other in same:
            for name in self._shards[0].keys() & self._shards[other].keys():
                # Replicas are the same, and so are parts without data, or of one number, as of an untrained adapter.
                if {one, other} <= set(self._ranks(name)[0]) and _varies(self._local(other, name)):
                    reason = f"{self._files[other].name} holds the same as {self._files[one].name}"
                    raise ExportError(f"{self._folder}: {reason}: it is a copy; the rank's own shard is lost")

    def _local(self, rank: int, name: str) -> torch.Tensor:
        value = self._shards[rank][name]
        return value._local_tensor if isinstance(value, DTensor) else value

    def _numbered(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        return zip(self._files, self._shards, strict=True)


def bytes_of(tensor: torch.Tensor) -> int:
    """Bytes of a tensor's data, also of one on ``meta``."""
    return tensor.numel() * tensor.element_size()


def _described(value: torch.Tensor) -> str:
    """What the shards of all ranks have in common."""
    if not isinstance(value, DTensor):
        return f"{tuple(value.shape)} of {value.dtype}, whole"
    cuts = [f"{type(each).__name__}({getattr(each, 'dim', '')})" for each in value._spec.placements]
    return f"{tuple(value.shape)} of {value._local_tensor.dtype}, {' and '.join(cuts)}"


def _varies(value: torch.Tensor) -> bool:
    return value.numel() > 1 and bool((value != value.reshape(-1)[0]).any())


def _give_back() -> None:
    """Give freed memory back to the system. glibc keeps what lies between blocks in use, here the float32 copies of
    layers: without this an adapter of 100 million parameters took 6.4 bytes a parameter. Other C libraries, which have
    no such function, do it by themselves."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _load(file: Path) -> dict[str, Any]:
    try:
        # It holds DTensors, which `weights_only` refuses.
        found = torch.load(file, map_location="cpu", weights_only=False, mmap=True, pickle_module=unpickle)
    except UNREADABLE as error:
        reason = str(error).strip().partition("\n")[0][:200]
        step = "it was not saved whole, or another version of torch wrote it"
        raise ExportError(f"{file} cannot be read ({reason}): {step} (this is {torch.__version__})") from error
    if not isinstance(found, dict):
        raise ExportError(f"{file} holds {type(found).__name__}, and no dictionary of tensors")
    other = {type(value).__name__ for value in found.values() if not isinstance(value, torch.Tensor)}
    if other:
        raise ExportError(f"{file} holds {', '.join(sorted(other))}; only tensors and DTensors can be exported")
    return found
