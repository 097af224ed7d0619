"""What differs between the two sets of versions that the package is tested with: that of a GPU installation
(vLLM 0.24.0, torch 2.11.0, transformers 5.9.0) and that of a CPU installation (vLLM 0.27.1, torch 2.13.0,
transformers 5.10.4). Each entry says with which version it can go.
"""


def vllm_request_errors() -> tuple[type[Exception], ...]:
    """The exceptions of vLLM for a request that it would refuse each time.

    Up to 0.26.0 `VLLMValidationError` is a ValueError and has no base class in common with `VLLMNotFoundError`.
    Later both are `VLLMClientError`, which is no ValueError. This can go when verl needs vLLM 0.27 or later.
    """
    import vllm.exceptions as exceptions

    if hasattr(exceptions, "VLLMClientError"):
        return (exceptions.VLLMClientError,)
    return (exceptions.VLLMValidationError, exceptions.VLLMNotFoundError)
