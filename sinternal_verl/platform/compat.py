"""What differs between the two sets of versions that the package is tested with: those a GPU installation
gets (vLLM 0.24.0, torch 2.11.0, transformers 5.9.0) and those of the CPU (vLLM 0.27.1, torch 2.13.0,
transformers 5.10.4). Each entry says which version ends it.
"""


def vllm_request_errors() -> tuple[type[Exception], ...]:
    """What vLLM raises for a request that it would refuse again.

    Up to 0.26.0 `VLLMValidationError` is a ValueError and has no class in common with `VLLMNotFoundError`; later
    both are `VLLMClientError`, which is no ValueError. Ends when verl pins vLLM 0.27
    or later.
    """
    import vllm.exceptions as exceptions

    if hasattr(exceptions, "VLLMClientError"):
        return (exceptions.VLLMClientError,)
    return (exceptions.VLLMValidationError, exceptions.VLLMNotFoundError)
