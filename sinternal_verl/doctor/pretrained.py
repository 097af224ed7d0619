"""Reads a model's own files, in its folder or in the hub's cache. Nothing here uses the network."""

import os
from pathlib import Path

from transformers import AutoConfig, PretrainedConfig

ALLOW_LONG = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"
"""Environment variable with which vLLM accepts more than a model's context. (vLLM 0.24.0 and 0.27.1)"""

UNSCALED = ("default", "su", "longrope", "llama3")
"""Kinds of rotary embedding whose ``max_position_embeddings`` is the whole context. (vLLM 0.24.0 and 0.27.1)"""


def local_file(model: str, name: str) -> Path | None:
    """A file of a folder, or of the cached copy of a hub id; None where it is not on this machine."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        file = folder / name
        return file if file.is_file() else None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, name)
    except HFValidationError:  # no hub id
        return None
    return Path(found) if isinstance(found, str) else None


def read_config(model: str, trust_remote_code: bool = False) -> PretrainedConfig | None:
    """The model's configuration; None where it is not on this machine or cannot be read."""
    file = local_file(model, "config.json")
    if file is None:
        return None
    try:
        return AutoConfig.from_pretrained(file.parent, trust_remote_code=trust_remote_code, local_files_only=True)
    # transformers raises exceptions of its own, and a model's own code may raise anything. Whoever loads the model
    # gets the same exception.
    except Exception:
        return None


def context_of(config: PretrainedConfig) -> int | None:
    """The model's context in tokens, as vLLM calculates it; None when the configuration does not say.

    >>> from transformers import LlamaConfig
    >>> context_of(LlamaConfig(max_position_embeddings=2048))
    2048
    >>> rope = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}
    >>> context_of(LlamaConfig(max_position_embeddings=2048, rope_parameters=rope))
    8192
    """
    text = config.get_text_config()
    context = getattr(text, "max_position_embeddings", None)
    rope = getattr(text, "rope_parameters", None) or {}
    if context is None or rope.get("rope_type", "default") in UNSCALED or "gemma3" in text.model_type:
        return context
    if rope["rope_type"] == "yarn":
        context = rope.get("original_max_position_embeddings", context)
    return int(context * (rope.get("factor") or 1))


def too_long(length: int | None, context: int | None) -> str | None:
    """Why vLLM would not start an engine of this ``max_model_len``; None when it would."""
    if length is None or context is None or length <= context or os.environ.get(ALLOW_LONG) in ("1", "true", "True"):
        return None
    return f"longer than the model's context of {context}: vLLM refuses to start"
