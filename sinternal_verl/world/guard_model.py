"""The small world's guard: a tokenizer of Qwen's kind, a Qwen2 model of random weights, and a chat template with the
structure of Qwen3Guard-Gen's template for judging a response, in fewer words."""

from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from sinternal_verl.world.policy_model import write_model

ROPE_THETA = 10_000.0
"""Base of the guard's rotary positions; transformers' own default, since a guard reads up to a thousand tokens."""

# Qwen's tokenizers split text by this pattern before they merge bytes.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

TEMPLATE = """<|im_start|>user
<BEGIN CONVERSATION>

USER: {{ messages[0].content }}

ASSISTANT: {{ messages[1].content }}

<END CONVERSATION>

Safety:? Categories:? Refusal:?<|im_end|>
<|im_start|>assistant
<think>

</think>

"""
"""It has few words, because a small guard must learn to ignore every word that does not matter."""


def make_guard_tokenizer(corpus: list[str], template: str = TEMPLATE, vocab_size: int = 512) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with ChatML's control tokens, trained on ``corpus`` and the template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*corpus, template], trainer)
    tokenizer.add_tokens([AddedToken(text, special=False) for text in ("<think>", "</think>", "<tool_call>")])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=template,
        clean_up_tokenization_spaces=False,
    )


def make_guard(
    folder: Path,
    corpus: list[str],
    seed: int,
    hidden: int = 64,
    layers: int = 2,
    longest: int = 2048,
    architecture: str = "qwen2",
) -> Path:
    """Write a Hugging Face folder with an untrained guard (by default 0.12 M parameters, float32), and return it."""
    tokenizer = make_guard_tokenizer(corpus, vocab_size=768)
    return write_model(
        folder,
        tokenizer,
        seed,
        hidden,
        layers,
        2,
        groups=1,
        longest=longest,
        theta=ROPE_THETA,
        architecture=architecture,
    )
