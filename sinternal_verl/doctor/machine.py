"""The cards and the memory of this machine. No CUDA context is opened to find them."""

import ctypes
import os
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

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
