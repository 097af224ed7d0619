"""What decides a model's replies: its weights, what is asked of it, and the engine that runs it here.

Every key of the store is made of this, so nothing else belongs in it: a setting that only says how a reply is read,
or how fast it comes, must not cost a reply.

A model is known by its weights, not by its name. Of a folder on this machine a digest of its files counts, and its
path does not (see `sinternal_verl.runs.digests`): a copy is the same model, and other weights in the same place are
another. Of a hub id its commit counts. What a server runs only its user knows, who says it by ``revision``.
"""

import os
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from sinternal_verl.data.hub import COMMIT
from sinternal_verl.hashing import canonical
from sinternal_verl.runs.digests import digest_of, folder_digest

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
HUB_TIMEOUT_S = 10.0

SPEED = (
    "gpu_memory_utilization",
    "kv_cache_memory_bytes",
    "*parallel*",
    "*offload*",
    "distributed_*",
    "enforce_eager",
    "compilation_config",
    "optimization_level",
    "cudagraph_*",
    "async_scheduling",
    "max_num_*",
    "long_prefill_token_threshold",
    "enable_chunked_prefill",
    "*prefix_caching*",
    "block_size",
    "num_gpu_blocks_override",
    "swap_space",
    "download_dir",
    "safetensors_load_strategy",
    "use_tqdm_on_load",
    "hf_token",
    "disable_log_stats",
    "enable_log_requests",
    "revision",  # in the commit
)
"""vLLM's arguments that say how fast and where a model runs. All others decide its replies. (vLLM 0.24.0 and 0.27.1)"""


def origin_of_model(
    model: str | None, served: bool, revision: str | None, request: Mapping[str, Any], engine: Mapping[str, Any]
) -> dict[str, Any]:
    """What decides the replies of a model.

    Args:
        served: whether a server runs it; then ``engine`` is not used.
        revision: tells these weights from others of the same name; None leaves it to the files or to the hub.
    """
    model = model or ""  # a command without it may still read what others have stored
    revision = revision or (None if served else engine.get("revision"))
    found = weights_of(model, None if revision is None else str(revision), served)
    # A path says nothing of what it holds, so it is no part where the weights are known.
    origin: dict[str, Any] = {"revision": found} if found else {}
    if not (found and is_path(model, served)):
        origin["model"] = model
    # For a server null is the same as absent. vLLM's own `max_tokens` is 16 where absent and unbounded where null.
    null = () if served else ("max_tokens",)
    origin["request"] = canonical({key: value for key, value in request.items() if value is not None or key in null})
    if not served:
        used = {key: value for key, value in engine.items() if value is not None and _decides(key)}
        origin["engine"] = canonical({key: _named(value) for key, value in used.items()})
    return origin


def weights_of(model: str, revision: str | None, served: bool) -> str | None:
    """What tells these weights from others of the same name: ``revision``, or a folder's digest, or the hub's commit.
    None where nothing does."""
    if is_path(model, served):
        path = os.path.expanduser(model)
        return revision or (folder_digest(path) if os.path.isdir(path) else digest_of(path))
    if served or not is_of_hub(model) or COMMIT.fullmatch(revision or ""):
        return revision
    return commit_of(model, revision)


def is_path(model: str, served: bool) -> bool:
    """Whether the name is a path; what it names may be gone. vLLM's server calls a model by its path, while a name
    without a slash is a server's own."""
    path = os.path.expanduser(model)
    return os.path.isabs(path) or (os.path.exists(path) and ("/" in model or not served))


def is_of_hub(model: str) -> bool:
    """Whether the name, if it is no path, is one of Hugging Face's hub. ModelScope has commits of its own."""
    elsewhere = os.environ.get("VLLM_USE_MODELSCOPE", "").lower() in ("1", "true")
    return bool(_HUB_ID.fullmatch(model)) and not elsewhere


@cache
def commit_of(model: str, revision: str | None) -> str | None:
    """The commit of a hub id: the one in the cache, or else the one that the hub names. None where neither is there."""
    import httpx
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        found = try_to_load_from_cache(model, "config.json", revision=revision)
        if isinstance(found, str):
            return Path(found).parent.name
        return HfApi().model_info(model, revision=revision, timeout=HUB_TIMEOUT_S).sha
    # No hub id, no such model, a hub that is switched off (a ConnectionError) or not reached.
    except (HFValidationError, HfHubHTTPError, httpx.HTTPError, OSError):
        return None


def _decides(argument: str) -> bool:
    return not any(fnmatchcase(argument, speed) for speed in SPEED)


def _named(value: Any) -> Any:
    """The value, or a digest of the file or folder that it names, such as another tokenizer."""
    return digest_of(value) or value if isinstance(value, str) and "/" in value else value
