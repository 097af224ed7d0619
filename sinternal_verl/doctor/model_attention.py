"""Does the model take the attention that is asked for? transformers refuses it only when the model is made, which is
after Ray, vLLM and the ranks have started. gpt-oss, for one, takes neither sdpa nor flash-attn. (transformers 5)"""

import importlib.util
from collections.abc import Iterator

from omegaconf import DictConfig
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, PreTrainedModel

from sinternal_verl.config import FSDP, get, model_key, strategy_key
from sinternal_verl.doctor.flash_attn import KERNELS, SDPA, VERL_TAKES, wanted_attention
from sinternal_verl.doctor.pretrained import read_config
from sinternal_verl.doctor.problem import Problem

EAGER = "eager"
"""What every model of transformers takes."""


def check_model_attention(config: DictConfig) -> Iterator[Problem]:
    """Check the FSDP engine of either main. A model with code of its own is not known here."""
    model, engine = model_key(config), get(config, strategy_key(config), "fsdp")
    path, wanted = get(config, f"{model}.path"), wanted_attention(config)
    if engine not in FSDP or not path:
        return
    found = read_config(get(config, f"{model}.hf_config_path") or path)
    made = found and MODEL_FOR_CAUSAL_LM_MAPPING.get(type(found), None)
    if made is not None and not takes(made, wanted):
        key = f"{model}.override_config.attn_implementation"
        reason = f"{made.__name__} of transformers does not take it: the run would end when the model is made"
        yield Problem(key, wanted, reason, f"{key}={EAGER}, which keeps the scores of every pair of tokens in memory")


def takes(model: type[PreTrainedModel], attention: str | None) -> bool:
    """Whether a class of transformers takes an attention, as far as it says so."""
    if attention == SDPA:
        return model._supports_sdpa
    if attention == VERL_TAKES:
        others = getattr(model, "_compatible_flash_implementations", None)
        # transformers takes one of the others from the hub then.
        return model._supports_flash_attn and (not others or importlib.util.find_spec(KERNELS) is not None)
    return True
