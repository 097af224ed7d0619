"""The cards and the memory of this machine. No CUDA context is opened to find them."""

import ctypes
import os
import shutil
import subprocess
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from sinternal_verl.config import get, is_ppo

SMI_TIMEOUT_S = 10
GPU_FILES = ("/dev/nvidia0", "/proc/driver/nvidia/version")
DRIVER = "libcuda.so.1"
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@lru_cache(maxsize=1)
def cards_here() -> tuple[tuple[str, float], ...]:
    """Names and GB of the NVIDIA cards that CUDA sees, from ``nvidia-smi``: torch would open a context for it."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shutil.which("nvidia-smi") is None or visible == "":
        return ()
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    command += [f"--id={visible}"] if visible else []
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=SMI_TIMEOUT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    found = (line.rpartition(",") for line in said.splitlines())
    return tuple((name.strip(), int(mib) * 2**20 / 1e9) for name, _, mib in found if mib.strip().isdigit())


def has_gpu() -> bool:
    """Whether there is an NVIDIA card, also one that torch cannot use."""
    return any(Path(file).exists() for file in GPU_FILES) or bool(cards_here())


def driver_cuda() -> tuple[int, int] | None:
    """The newest CUDA version that the driver knows; None without a driver. No context is opened."""
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return None
    version = ctypes.c_int()
    if driver.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return None
    return version.value // 1000, version.value % 1000 // 10


def host_gb() -> float:
    """GB of this machine's memory, or of its container's limit if that is lower."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in map(Path, CGROUP_LIMITS):
        if file.is_file() and (limit := file.read_text().strip()).isdigit():
            found.append(int(limit))
    return min(found) / 1e9


def hardware_here(config: DictConfig) -> dict[str, Any]:
    """What a run's record says of the machine of its driver, and of how many such nodes the run is to have. Memory is
    in GB."""
    world, local = (os.environ.get(name, "") for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    # The SFT main does not know its nodes; torchrun does, where each has the same number of processes.
    told = int(world) // int(local) if world.isdigit() and local.isdigit() and int(local) else 1
    return {
        "nodes": get(config, "trainer.nnodes", 1) if is_ppo(config) else told,
        "gpus": [{"name": name, "memory_gb": round(gb, 1)} for name, gb in cards_here()],
        "cpu": _cpu_name(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gb": round(host_gb(), 1),
    }


def _cpu_name() -> str:
    """As Linux calls it; empty where it does not say."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return ""
