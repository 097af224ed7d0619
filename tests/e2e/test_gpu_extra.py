"""The ``gpu`` extra resolves for the running Python, from the checkout and from the wheel, without a compiler. With
the ``eval`` extra, both lists of versions resolve on each Python that Inspect supports."""

import subprocess
import sys

import pytest
from gpu_extra import ROOT, SOURCE_ONLY, resolve, resolve_for, wheels

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]

PINNED = {"torch": "2.11.0", "transformers": "5.9.0", "vllm": "0.24.0"}
"""What docs/gpu.md names and `make test-gpu-versions` runs."""


def test_the_extra_resolves_from_the_checkout_and_only_one_requirement_is_source():
    found = resolve(f"{ROOT}[gpu]")
    sources = {name for name, (_, file) in found.items() if not file.endswith(".whl")}

    assert sources == {"sinternal_verl", SOURCE_ONLY.partition("=")[0]}
    assert {name: found[name][0] for name in PINNED} == PINNED
    assert "flash-attn" not in found


def test_it_resolves_from_the_wheel():
    with wheels() as folder:
        found = resolve_for(f"{sys.version_info.major}.{sys.version_info.minor}", folder)

    assert {name: found[name][0] for name in PINNED} == PINNED


@pytest.fixture(scope="module")
def uv(tmp_path_factory) -> list[str]:
    """uv resolves for a Python that is not installed, and does not download what it resolves."""
    folder = tmp_path_factory.mktemp("uv")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=60)
    subprocess.run([str(folder / "bin" / "pip"), "install", "-q", "uv"], check=True, timeout=200)
    return [str(folder / "bin" / "uv"), "pip", "compile", "-q", "--cache-dir", str(folder / "cache")]


@pytest.mark.parametrize("python", ["3.11.2", "3.12"])  # 3.11.2 is Debian's
@pytest.mark.parametrize(("extras", "constraints"), [("cpu", "constraints.txt"), ("gpu", "constraints-gpu.txt")])
def test_with_inspect_both_lists_resolve(uv, python, extras, constraints):
    words = ["--python-version", python, "--extra", extras, "--extra", "dev", "-c", constraints, "setup.py"]

    done = subprocess.run([*uv, *words], cwd=ROOT, capture_output=True, text=True, timeout=600)

    assert done.returncode == 0, done.stderr
    assert {"inspect-ai==0.3.285", "fsspec==2026.6.0", "python-dateutil==2.9.0.post0"} <= set(done.stdout.split())
