"""The command line of ``vllm serve`` for a model, on a GPU and on a CPU, and the GPUs that several models share."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

CONNECTIONS = 64
"""[ours] Requests to a model at a time. vLLM batches up to 256, and the judges of a task wait for the same memory."""

MAX_MODEL_LEN = 32768
"""[ours] Tokens of a prompt and its answer. The paper's longest answers have 8,000; the caches of models whose context
is 131,072 would take the memory that more requests at a time need."""

GPU_SHARE = 0.9
"""[ours] Of a GPU's memory; models that share a GPU share it."""

CPU_SHARE = 0.1
"""Of a CPU's memory, which vLLM checks and does not take; its cache has VLLM_CPU_KVCACHE_SPACE. (vLLM 0.27.1)"""

CPU_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "2", "TORCHDYNAMO_DISABLE": "1"}
"""GiB of an engine's cache; and compiling gains nothing on small models. What the user has set stays."""


@dataclass(frozen=True)
class Wanted:
    """A model to be served.

    Attributes:
        model: folder or hub id.
        served_as: its name in requests and logs.
        revision: commit of a hub id; None takes the latest.
        max_model_len: tokens of a prompt and its answer; None takes vLLM's own choice.
        options: further options of ``vllm serve``, by name without dashes; True stands for an option without a value.
        environment: variables for the server, such as the GPUs it may see.
    """

    model: str
    served_as: str
    revision: str | None = None
    max_model_len: int | None = MAX_MODEL_LEN
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def runs_on_cpu() -> bool:
    """Whether vLLM is installed as its CPU build."""

    def installed(name: str) -> bool:
        try:
            return "+cpu" not in version(name)
        except PackageNotFoundError:
            return False

    return installed("vllm-cpu") and not installed("vllm")


def command_of(wanted: Wanted, port: int, cpu: bool) -> list[str]:
    """The command that serves a model. The key is no part of it."""
    options: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "served-model-name": wanted.served_as,
        "max-model-len": wanted.max_model_len,
        "revision": wanted.revision,
        # Sampling is what a task says, and no default of the model's own generation_config.json.
        "generation-config": "vllm",
        # A line for each request.
        "disable-uvicorn-access-log": True,
    }
    if cpu:
        # As in `sinternal_verl.verify.local_writer`: a prompt in two parts fails with a seed on a CPU.
        options |= {"dtype": "float32", "enforce-eager": True, "no-enable-chunked-prefill": True}
        options |= {"gpu-memory-utilization": CPU_SHARE, "max-num-batched-tokens": wanted.max_model_len}
    options |= wanted.options
    serve = ["vllm.entrypoints.cli.main", "serve", wanted.model]
    if cpu:
        # `vllm serve` looks for a distribution named vllm, and the CPU's has another name. (vLLM 0.27.1)
        serve = ["vllm.entrypoints.openai.api_server", "--model", wanted.model]
    command = [sys.executable, "-m", *serve]
    for name, value in options.items():
        if value is True:
            command.append(f"--{name}")
        elif value is not None and value is not False:
            command += [f"--{name}", str(value)]
    return command


def shared_out(wanted: Sequence[Wanted], gpus: Sequence[str], beside: int = 0) -> list[Wanted]:
    """The models with the GPUs that each may use: its own where there are enough, else all share them.

    Args:
        gpus: as in CUDA_VISIBLE_DEVICES.
        beside: engines in this process that need a GPU, too; they get the GPUs that are left.

    >>> [each.environment for each in shared_out([Wanted("a", "a"), Wanted("b", "b")], ["0", "1"])]
    [{'CUDA_VISIBLE_DEVICES': '0'}, {'CUDA_VISIBLE_DEVICES': '1'}]
    >>> [each.options for each in shared_out([Wanted("a", "a"), Wanted("b", "b")], ["0"])]
    [{'gpu-memory-utilization': 0.45}, {'gpu-memory-utilization': 0.45}]
    """
    given, start = [], 0
    needs = [int(each.options.get("tensor-parallel-size", 1)) for each in wanted]
    alone = sum(needs) + beside <= len(gpus)
    for each, need in zip(wanted, needs, strict=True):
        environment, options = dict(each.environment), dict(each.options)
        if alone and len(wanted) + beside > 1:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[start : start + need])
            start += need
        elif not alone:
            options.setdefault("gpu-memory-utilization", share_of(len(wanted) + beside))
        given.append(Wanted(each.model, each.served_as, each.revision, each.max_model_len, options, environment))
    return given


def share_of(engines: int) -> float:
    """The share of a GPU's memory that each of so many engines may take."""
    return round(GPU_SHARE / engines, 3)


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as in CUDA_VISIBLE_DEVICES."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu for gpu in named.split(",") if gpu]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [str(number) for number, line in enumerate(filter(None, listed.splitlines())) if line.startswith("GPU")]
