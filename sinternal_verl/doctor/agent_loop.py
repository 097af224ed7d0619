"""Can the agent loop render this model's prompts? verl's own loops choose the code that joins turns by the model's
architecture. Where the tokenizer lacks a token that this code needs, the first rollout fails. (verl 0.9.1, #7637)"""

from collections.abc import Iterator

from omegaconf import DictConfig

from sinternal_verl.config import get
from sinternal_verl.doctor.pretrained import local_file, read_config
from sinternal_verl.doctor.problem import Problem

KEY = "actor_rollout_ref.rollout.agent.default_agent_loop"
OURS = "sinternal_single_turn"
"""Our loop, which chooses by the tokenizer (`sinternal_verl.training.agent_loop`)."""

VERLS = ("single_turn_agent", "tool_agent")


def check_agent_loop(config: DictConfig) -> Iterator[Problem]:
    """Check verl's own loops with a model that is on this machine."""
    loop, path = get(config, KEY, VERLS[0]), get(config, "actor_rollout_ref.model.path")
    tokenizer_path = get(config, "actor_rollout_ref.model.tokenizer_path") or path
    if loop not in VERLS or not path or "://" in path or "://" in tokenizer_path:
        return
    settings = local_file(tokenizer_path, "tokenizer_config.json")
    trust = bool(get(config, "actor_rollout_ref.model.trust_remote_code", False))
    model = read_config(path, trust)
    if settings is None or model is None:
        return
    from transformers import AutoTokenizer
    from verl.utils.tokenizer.continuous_token_wiring import create_continuous_token_builder

    try:
        tokenizer = AutoTokenizer.from_pretrained(settings.parent, trust_remote_code=trust, local_files_only=True)
    except (OSError, ValueError):
        return  # no tokenizer; `model` reports it
    try:
        create_continuous_token_builder(tokenizer, hf_model_type=model.model_type)
    except ValueError as error:
        reason = f"the first rollout would end with it, for {path} is a {model.model_type}: {error}"
        yield Problem(KEY, loop, reason, f"take {OURS}, the recipe's, which looks at the tokenizer")
