"""vLLM's entry point (group ``vllm.general_plugins``), run in every vLLM process."""

import os


def keep_unpacked_weights() -> None:
    """Stop vLLM's CPU backend from packing linear weights in engines that verl will sync.

    oneDNN packing drops the original parameters, so verl's weight sync fails with "no attribute
    weight_loader" and then waits for minutes (vLLM 0.27.1). verl marks its servers with
    ``VERL_REPLICA_RANK``; any other engine keeps the faster packed weights.
    """
    if "VERL_REPLICA_RANK" not in os.environ:
        return
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        import vllm._custom_ops as ops

        ops._supports_onednn = False
