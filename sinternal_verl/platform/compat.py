"""What differs between the two sets of versions that the package is tested with: that of a GPU installation
(vLLM 0.24.0, torch 2.11.0, transformers 5.9.0) and that of a CPU installation (vLLM 0.27.1, torch 2.13.0,
transformers 5.10.4), and between a machine with a GPU and one without. Each entry says when it can go.
"""

import os

ENGINE_START = "VLLM_WORKER_MULTIPROC_METHOD"


def vllm_request_errors() -> tuple[type[Exception], ...]:
    """The exceptions of vLLM for a request that it would refuse each time.

    Up to 0.26.0 `VLLMValidationError` is a ValueError and has no base class in common with `VLLMNotFoundError`.
    Later both are `VLLMClientError`, which is no ValueError. This can go when verl needs vLLM 0.27 or later.
    """
    import vllm.exceptions as exceptions

    if hasattr(exceptions, "VLLMClientError"):
        return (exceptions.VLLMClientError,)
    return (exceptions.VLLMValidationError, exceptions.VLLMNotFoundError)


def spawn_engines_on_gpu() -> None:
    """Have vLLM spawn its engine where there is a GPU; call it before an engine starts outside Ray.

    ``import verl`` asks CUDA for its devices, and no process forked after that may use CUDA. vLLM forks all the same,
    because CUDA is asked but not initialized. The engine then ends with "Cannot re-initialize CUDA in forked
    subprocess". In a Ray actor vLLM spawns by itself. (verl 0.9.1, ``utils/device``; vLLM 0.24.0,
    ``utils/system_utils``; it can go when verl asks no more.)
    """
    import torch  # here: whoever asks the guard imports this file, and needs no torch

    if torch.cuda.is_available():
        os.environ.setdefault(ENGINE_START, "spawn")
