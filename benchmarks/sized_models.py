"""Models of the real architectures and sizes with random weights, for measuring speed and memory where none can be had.

The tokenizers are the small worlds'; their vocabularies are filled up, so that logits have their real width.
"""

import json
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from sinternal_verl.world import arithmetic, lighthouse
from sinternal_verl.world.guard_model import make_guard_tokenizer
from sinternal_verl.world.policy_model import make_tokenizer

VOCABULARY = 151_936

# Sizes from the models' own config.json.
QWEN2_1_5B = {
    "model_type": "qwen2",
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "tie_word_embeddings": True,
}
QWEN2_7B = {
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152_064,
    "tie_word_embeddings": False,
}
QWEN3_4B = {
    "model_type": "qwen3",
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": VOCABULARY,
    "tie_word_embeddings": True,
}
SMALL = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 2048,
}
"""In place of a size: does the measuring itself work."""

PULL = 100.0
"""What the first number of each embedding is, beside random ones of 0.02."""


def write_config(folder: Path, size: dict, guard: bool = False, longest: int = 32_768, dtype: str = "bfloat16") -> Path:
    """Write configuration and tokenizer, without weights, and return the folder."""
    if guard:
        tokenizer = make_guard_tokenizer(lighthouse.corpus(), vocab_size=768)
    else:
        tokenizer = make_tokenizer(arithmetic.corpus())
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    have = len(tokenizer)
    content["model"]["vocab"] |= {f"<fill{id}>": id for id in range(have, size["vocab_size"])}
    path.write_text(json.dumps(content))
    settings = {name: value for name, value in size.items() if name != "model_type"}
    config = AutoConfig.for_model(
        size["model_type"],
        **settings,
        max_position_embeddings=longest,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        architectures=[{"qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}[size["model_type"]]],
        dtype=dtype,
    )
    config.save_pretrained(folder)
    return folder


def write_weights(folder: Path, device: str, says: str | None = None) -> Path:
    """Write random weights beside a configuration.

    Args:
        says: the text whose first token the model always says next; a guard that says `` Safe`` gives a verdict.
    """
    config, tokenizer = AutoConfig.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, str(config.dtype).removeprefix("torch.")))
    if says:
        # Head and embedding are the same matrix. Their first number outweighs the others in each state, and is twice
        # as large for the token to be said.
        (said, *_) = tokenizer.encode(says, add_special_tokens=False)
        with torch.no_grad():
            weight = model.get_input_embeddings().weight
            weight[:, 0] = PULL
            weight[said, 0] = 2 * PULL
    model.save_pretrained(folder, max_shard_size="20GB")
    return folder
