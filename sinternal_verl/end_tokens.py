"""The tokens at which a rollout ends, so that no scorer reads them as part of an answer.

vLLM ends at the tokenizer's end token and at every one of the model's generation config. Models that chat have several:
Gemma ends a turn with ``<end_of_turn>``, Llama 3 with ``<|eot_id|>``. Like vLLM, this takes the model's own
configuration where there is no generation config. (vLLM 0.24 and 0.27)
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from transformers import GenerationConfig, PretrainedConfig
from transformers.utils import GENERATION_CONFIG_NAME
from verl.utils.fs import copy_to_local

logger = logging.getLogger(__name__)


def end_tokens(model: str | None, tokenizer: Any) -> frozenset[int]:
    """The ids at which the model's responses end, padding included.

    A folder is only read. A hub id is looked up in the hub's cache, and the hub is asked for the generation config only
    where the cache does not tell whether there is one: another process may still be fetching the model.

    Args:
        model: folder or hub id, ``actor_rollout_ref.model.path``.
    """
    found = {tokenizer.eos_token_id, tokenizer.pad_token_id}
    if model:
        found |= _of_model(copy_to_local(str(model)))
    return frozenset(id for id in found if id is not None)


def _of_model(path: str) -> set[int]:
    try:
        known = Path(path).is_dir() or try_to_load_from_cache(path, GENERATION_CONFIG_NAME) is not None
        return _ids(GenerationConfig.from_pretrained(path, local_files_only=known).eos_token_id)
    except (OSError, ValueError):  # there is none, or none that can be read
        pass
    try:
        config, _ = PretrainedConfig.get_config_dict(path, local_files_only=True)
    except (OSError, ValueError):
        config = {}
    if not config:
        logger.warning("no end tokens are known of %s but the tokenizer's: its configuration cannot be read", path)
    text = config.get("text_config")
    return _ids(config.get("eos_token_id")) | _ids(text.get("eos_token_id") if isinstance(text, Mapping) else None)


def _ids(ids: Any) -> set[int]:
    """
    >>> _ids([1, 106]), _ids(2), _ids(None)
    ({1, 106}, {2}, set())
    """
    return set() if ids is None else {ids} if isinstance(ids, int) else set(ids)
