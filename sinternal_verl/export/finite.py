"""Refuses weights that are NaN or infinite, or become so in the result's dtype."""

import torch

from sinternal_verl.export.errors import ExportError

CHUNK = 2**20
"""Numbers of one byte that are made float32 at once."""


def check_finite(name: str, kept: torch.Tensor) -> None:
    """
    Raises:
        ExportError: the parameter holds NaN or infinity.
    """
    if not _is_finite(kept):
        step = "the training went wrong before this step was saved; export an earlier step"
        raise ExportError(f"{name} holds NaN or infinity: {step}")


def check_fits(name: str, made: torch.Tensor, kept: torch.dtype) -> None:
    """
    Args:
        made: what finite numbers of the dtype ``kept`` have become.

    Raises:
        ExportError: some have become infinite.
    """
    if made.dtype != kept and not _is_finite(made):
        dtype = str(made.dtype).removeprefix("torch.")
        step = "give a base model in bfloat16 or float32 with --base, whose dtype the result has"
        raise ExportError(f"{name} does not fit {dtype}: some of its numbers become infinite; {step}")


def _is_finite(value: torch.Tensor) -> bool:
    if not value.is_floating_point() or not value.numel():
        return True
    if value.element_size() == 1:  # torch finds no extremes of float8
        return all(_extremes_are_finite(part.float()) for part in value.reshape(-1).split(CHUNK))
    return _extremes_are_finite(value)


def _extremes_are_finite(value: torch.Tensor) -> bool:
    # NaN is its own extreme. Unlike torch.isfinite this takes no memory, and a fiftieth of the time.
    return all(extreme.isfinite() for extreme in torch.aminmax(value))
