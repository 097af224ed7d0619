"""The ``gpu`` extra resolves for the running Python, from the checkout and from the wheel, without a compiler."""

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
    import sys

    with wheels() as folder:
        found = resolve_for(f"{sys.version_info.major}.{sys.version_info.minor}", folder)

    assert {name: found[name][0] for name in PINNED} == PINNED
