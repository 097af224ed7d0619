"""The CPU platform: chosen only as a last resort, announced once, complete for verl."""

import os
import subprocess
import sys

import pytest
import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry, get_platform

from sinternal_verl.platform import cpu


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if name not in (*cpu.CPU_DEFAULTS, cpu._ANNOUNCED)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=clean | environment, timeout=100
    )


def test_verl_chooses_it_on_this_machine():
    assert isinstance(get_platform(), PlatformBase)
    assert get_platform().device_name == ("cpu" if not torch.cuda.is_available() else "cuda")


def test_it_yields_to_any_other_platform(monkeypatch):
    class Other(cpu.PlatformCPU):
        def is_platform_available(self, use_smi_check=False):
            return True

    platform = cpu.PlatformCPU()
    assert platform.is_platform_available(use_smi_check=True)
    monkeypatch.setitem(PlatformRegistry._platforms, "other", Other)
    assert not platform.is_platform_available(use_smi_check=True)


def test_a_gpu_installation_without_a_visible_gpu_is_not_taken_for_a_cpu(monkeypatch):
    """A head node or a Ray actor without a GPU must not switch a GPU run to the CPU."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(cpu, "has_distribution", lambda name: name == "vllm")

    assert not cpu.PlatformCPU().is_platform_available(use_smi_check=True)


@pytest.mark.slow
@pytest.mark.long
def test_a_user_exports_nothing_and_is_told_once():
    code = (
        "import subprocess, sys, os\n"
        "from verl.utils.device import get_device_name\n"
        "print(get_device_name(), os.environ['VERL_ENGINE_DEVICE'])\n"
        "if len(sys.argv) == 1: subprocess.run([sys.executable, '-c', sys.orig_argv[2], 'child'], check=True)\n"
    )
    done = run_python(code)

    assert done.stdout.split() == ["cpu", "cuda"] * 2, done.stderr
    assert done.stderr.count("run on the CPU platform") == 1


@pytest.mark.slow
@pytest.mark.long
def test_a_variable_the_user_has_set_stays():
    code = "import verl.utils.device as d, os; d.get_device_name(); print(os.environ['VLLM_CPU_KVCACHE_SPACE'])"

    assert run_python(code, VLLM_CPU_KVCACHE_SPACE="7").stdout.split() == ["7"]


@pytest.mark.parametrize(
    ("question", "kind"),
    [("memory_allocated", int), ("max_memory_allocated", int), ("mem_get_info", tuple), ("current_device", str)],
)
def test_device_module_answers_what_verl_asks_of_torch_cuda(question, kind):
    assert isinstance(getattr(cpu.PlatformCPU.device_module, question)(), kind)


def test_random_state_goes_round():
    module = cpu.PlatformCPU.device_module
    state = module.get_rng_state()
    first = torch.rand(3)
    module.set_rng_state(state)

    assert torch.equal(first, torch.rand(3))


def test_unpacked_weights_only_for_engines_that_verl_syncs(monkeypatch):
    import vllm._custom_ops as ops

    from sinternal_verl.platform.vllm_cpu import keep_unpacked_weights

    monkeypatch.setattr(ops, "_supports_onednn", True)
    monkeypatch.delenv("VERL_REPLICA_RANK", raising=False)
    keep_unpacked_weights()
    assert ops._supports_onednn
    monkeypatch.setenv("VERL_REPLICA_RANK", "0")
    keep_unpacked_weights()
    assert not ops._supports_onednn
