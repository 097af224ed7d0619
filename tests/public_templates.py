"""Templates of public models, and a small tokenizer and model for each; ``templates/README.md`` says where they are
from."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

_FOLDER = Path(__file__).parent / "templates"

R1_DISTILL = (_FOLDER / "deepseek_r1_distill.jinja").read_text()
"""The chat template of DeepSeek-R1-Distill."""

QWEN3_GUARD_RENDER = (_FOLDER / "qwen3guard_gen_response_render.txt").read_text()
"""What Qwen3Guard-Gen's makes of ``{user}`` and ``{assistant}``."""

LLAMA3 = """{% for message in messages %}
{% if loop.first %}{{ bos_token }}{% endif %}
{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"""

GEMMA = """{{ bos_token }}
{%- if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for message in messages %}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}
{%- set role = 'model' if message.role == 'assistant' else message.role %}
{{- '<start_of_turn>' + role + '\n' + message.content | trim + '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"""

YARN = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 2.0, "original_max_position_embeddings": 512}
YARN |= {"beta_fast": 32.0, "beta_slow": 1.0, "truncate": False}
"""vLLM reads all of these of a gpt-oss."""


@dataclass(frozen=True)
class Family:
    """A model's template, and what its tokenizer and generation config say.

    Attributes:
        tokens: its added tokens; ``plain`` are those that are not special.
        end: the token with which it ends a turn.
        ends: all tokens at which vLLM ends its responses.
        opening: what the template writes of an assistant's turn.
        architecture: transformers' ``model_type``.
        attention: an ``attn_implementation`` that the architecture takes on a CPU.
    """

    template: str
    tokens: tuple[str, ...]
    end: str
    ends: tuple[str, ...]
    opening: str
    bos: str | None = None
    eos: str | None = None
    pad: str | None = None
    plain: tuple[str, ...] = ("<think>", "</think>")
    kwargs: dict = field(default_factory=dict)
    architecture: str = "qwen2"
    attention: str = "sdpa"

    def tokenizer(self, folder: Path, merges_all: bool = False) -> PreTrainedTokenizerFast:
        """A byte-level BPE tokenizer of this family, in a folder with its generation config.

        Args:
            merges_all: whether letters of any kind may become one token, such as a line end and the word after it.
        """
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not merges_all)
        made.decoder = decoders.ByteLevel()
        corpus = ["user\n\nassistant\nNo.\n\nIt lends the lamp.\n\n\nmodel\n"] * 9
        trainer = trainers.BpeTrainer(
            vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        )
        made.train_from_iterator(corpus, trainer)
        made.add_special_tokens(list(self.tokens))
        made.add_tokens([AddedToken(token, special=False) for token in self.plain])
        if self.bos:
            # As in the models' own: without add_special_tokens=False there would be two, one of the template.
            first = [(self.bos, made.token_to_id(self.bos))]
            made.post_processor = processors.TemplateProcessing(single=f"{self.bos} $A", special_tokens=first)
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=made,
            bos_token=self.bos,
            eos_token=self.eos or self.end,
            pad_token=self.pad,
            chat_template=self.template,
            clean_up_tokenization_spaces=False,
        )
        tokenizer.save_pretrained(folder)
        ends = [tokenizer.convert_tokens_to_ids(token) for token in self.ends]
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
        return PreTrainedTokenizerFast.from_pretrained(folder)

    def model(self, folder: Path) -> Path:
        """A folder with the tokenizer and a model of random weights, which takes 1,024 tokens."""
        tokenizer = self.tokenizer(folder)
        ends = (folder / "generation_config.json").read_text()
        config = AutoConfig.for_model(
            self.architecture,
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            # The smallest that vLLM takes on a CPU.
            head_dim=32,
            max_position_embeddings=1024,
            initializer_range=0.06,
            rope_parameters=YARN if self.architecture == "gpt_oss" else {"rope_type": "default", "rope_theta": 100.0},
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **({"num_local_experts": 4, "num_experts_per_tok": 2} if self.architecture == "gpt_oss" else {}),
        )
        torch.manual_seed(1)
        AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
        (folder / "generation_config.json").write_text(ends)
        return folder


_R1 = ("<｜User｜>", "<｜Assistant｜>")  # noqa: RUF001
_R1_BOS, _R1_END = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"  # noqa: RUF001
_CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_LLAMA_BOS, _LLAMA_ENDS = "<|begin_of_text|>", ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>")
_HARMONY = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>", "<|endoftext|>")
_QWEN3 = Family(
    template=(_FOLDER / "qwen3.jinja").read_text(),
    tokens=_CHATML,
    plain=("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"),
    end="<|im_end|>",
    ends=("<|im_end|>", "<|endoftext|>"),
    pad="<|endoftext|>",
    opening="<|im_start|>assistant\n",
    architecture="qwen3",
)

FAMILIES = {
    "r1_distill": Family(
        template=R1_DISTILL,
        tokens=(_R1_BOS, _R1_END),
        plain=(*_R1, "<think>", "</think>"),
        bos=_R1_BOS,
        end=_R1_END,
        ends=(_R1_END,),
        pad=_R1_END,
        opening="<｜Assistant｜><think>\n",  # noqa: RUF001
    ),
    "qwen3_thinking": _QWEN3,
    "qwen3_not_thinking": replace(
        _QWEN3, kwargs={"enable_thinking": False}, opening="<|im_start|>assistant\n<think>\n\n</think>\n\n"
    ),
    "qwen2.5": Family(
        template=(_FOLDER / "qwen2_5.jinja").read_text(),
        tokens=_CHATML,
        plain=("<tool_call>", "</tool_call>"),
        end="<|im_end|>",
        ends=("<|im_end|>", "<|endoftext|>"),
        pad="<|endoftext|>",
        opening="<|im_start|>assistant\n",
    ),
    "llama3": Family(
        template=LLAMA3,
        tokens=(_LLAMA_BOS, *_LLAMA_ENDS, "<|start_header_id|>", "<|end_header_id|>"),
        plain=(),
        bos=_LLAMA_BOS,
        end="<|eot_id|>",
        ends=_LLAMA_ENDS,
        opening="<|start_header_id|>assistant<|end_header_id|>\n\n",
        architecture="llama",
    ),
    # Its tokenizer's end token is not the one that ends its turns.
    "gemma": Family(
        template=GEMMA,
        tokens=("<bos>", "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>"),
        plain=(),
        bos="<bos>",
        eos="<eos>",
        pad="<pad>",
        end="<end_of_turn>",
        ends=("<eos>", "<end_of_turn>"),
        opening="<start_of_turn>model\n",
        architecture="gemma2",
    ),
    "gpt_oss": Family(
        template=(_FOLDER / "gpt_oss.jinja").read_text(),
        tokens=_HARMONY,
        plain=(),
        end="<|return|>",
        ends=("<|return|>", "<|endoftext|>", "<|call|>"),
        pad="<|endoftext|>",
        opening="<|start|>assistant",
        architecture="gpt_oss",
        attention="eager",
    ),
}
"""Family by name; Qwen3 with its two settings."""
