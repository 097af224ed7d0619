"""An unsupported Python or CUDA is refused, versions that were not tried are named in one warning."""

import importlib.metadata as metadata
import shutil
import subprocess
import sys

import pytest
import torch

from sinternal_verl.doctor import machine, versions
from sinternal_verl.doctor.checks import run_checks
from sinternal_verl.doctor.problem import Note, Problem
from sinternal_verl.doctor.versions import TESTED, check_versions

GPU = "trainer.device=cuda"


@pytest.fixture
def here(monkeypatch):
    """A function that says what torch is built for, and what the machine has."""

    def set_up(built=None, driver=None, gpu=False):
        monkeypatch.setattr(torch.version, "cuda", built)
        monkeypatch.setattr(versions, "driver_cuda", lambda: driver)
        monkeypatch.setattr(versions, "has_gpu", lambda: gpu)

    return set_up


def test_this_environment_is_one_of_the_two(grpo_config, sft_config):
    for config in (grpo_config(), sft_config()):
        assert list(check_versions(config)) == []
        assert run_checks(config) == []


def test_all_that_were_not_tried_are_in_one_warning(grpo_config, monkeypatch):
    known = {"vllm": "0.19.0", "torch": "2.14.0+cu130"}
    monkeypatch.setattr(versions, "_installed", lambda name: known.get(name, TESTED[name][0]))
    (note,) = check_versions(grpo_config())

    assert isinstance(note, Note)
    assert note.value == "vllm 0.19.0, torch 2.14.0+cu130"
    assert "vllm 0.24.0 to 0.27.1, torch 2.11.0 to 2.13.0" in note.reason


def test_a_package_that_is_not_there_is_not_of_these_checks(sft_config, monkeypatch):
    def none(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(versions.metadata, "version", none)

    assert list(check_versions(sft_config())) == []


@pytest.mark.parametrize("version", [(3, 9, 1), (3, 13, 0)])
def test_a_python_that_verl_does_not_install_on(grpo_config, monkeypatch, version):
    monkeypatch.setattr(versions.sys, "version_info", version)
    (problem,) = check_versions(grpo_config())

    assert isinstance(problem, Problem)
    assert "3.10 to 3.12" in problem.reason and "Python 3.12" in problem.next_step


def test_a_torch_without_cuda_beside_a_gpu(grpo_config, here):
    here(built=None, gpu=True)
    (problem,) = check_versions(grpo_config(GPU))

    assert problem.key == "torch" and "without CUDA" in problem.reason and ".[gpu]" in problem.next_step
    assert list(check_versions(grpo_config())) == [], "a CPU run beside a GPU is the user's choice"
    here(built=None, gpu=False)
    assert list(check_versions(grpo_config(GPU))) == []


def test_a_driver_older_than_torchs_cuda(grpo_config, here):
    here(built="13.0", driver=(12, 4), gpu=True)
    (problem,) = check_versions(grpo_config(GPU))

    assert problem.key == "CUDA" and problem.value == "13.0" and "12.4" in problem.reason
    assert "driver 580 or newer" in problem.next_step and "CUDA 12" in problem.next_step


@pytest.mark.parametrize("driver", [(13, 0), (13, 2), None])
def test_a_driver_that_is_new_enough_or_elsewhere(grpo_config, here, driver):
    here(built="13.2", driver=driver, gpu=True)

    assert list(check_versions(grpo_config(GPU))) == []


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a compiler for a driver of its own")
def test_the_driver_is_asked_by_its_own_library(tmp_path, monkeypatch):
    source, library = tmp_path / "cuda.c", tmp_path / "libcuda.so.1"
    source.write_text("int cuDriverGetVersion(int *version) { *version = 12040; return 0; }")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True, timeout=60)
    monkeypatch.setattr(machine, "DRIVER", str(library))

    assert machine.driver_cuda() == (12, 4)
    monkeypatch.setattr(machine, "DRIVER", str(tmp_path / "absent.so"))
    assert machine.driver_cuda() is None


def test_a_gpu_is_seen_by_its_device_file(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "cards_here", lambda: ())
    monkeypatch.setattr(machine, "GPU_FILES", (str(tmp_path / "nvidia0"),))
    assert not machine.has_gpu()

    (tmp_path / "nvidia0").touch()
    assert machine.has_gpu()


def test_the_pythons_are_those_of_the_package():
    requires = metadata.metadata("sinternal_verl")["Requires-Python"]
    from packaging.specifiers import SpecifierSet

    allowed = SpecifierSet(requires)
    lowest, highest = versions.PYTHONS
    inside = [(3, minor) for minor in range(6, 20) if f"3.{minor}" in allowed]
    assert (inside[0], inside[-1]) == (lowest, highest)
    assert lowest <= sys.version_info[:2] <= highest


TRL = {
    "1.16.0": ("", False),
    "0.20.0": ("class AutoModelForCausalLMWithValueHead: pass", True),
}
"""What the package of a version has, and whether verl loads a policy beside it."""


@pytest.mark.parametrize("version", TRL)
def test_a_trl_beside_which_verl_fails_is_refused(grpo_config, tmp_path, monkeypatch, version):
    content, fits = TRL[version]
    (tmp_path / "trl").mkdir()
    (tmp_path / "trl" / "__init__.py").write_text(content)
    information = tmp_path / f"trl-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: trl\nVersion: {version}\n")
    monkeypatch.delitem(sys.modules, "trl", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        found = [finding for finding in check_versions(grpo_config()) if finding.key == "trl"]
    finally:
        sys.modules.pop("trl", None)  # the test's own, which is not to be seen by later tests

    assert [type(finding) for finding in found] == ([] if fits else [Problem])
    assert fits or (found[0].value == version and "pip uninstall trl" in found[0].next_step)
