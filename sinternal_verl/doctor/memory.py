"""What a run needs of each card and of the host, reckoned from the models' sizes and the configuration.

Figures are GB (10^9 bytes). They are a reckoning, not a measurement: weights, gradients and Adam's moments
are exact, logits and activations follow what verl's FSDP engine keeps (verl 0.9.1), the rest is an allowance.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from omegaconf import DictConfig
from transformers import AutoModelForCausalLM, PretrainedConfig

from sinternal_verl.config import engine_key, get, is_ppo, model_key, strategy_key
from sinternal_verl.doctor.flash_attn import VERL_TAKES, wanted_attention

GB = 1e9
BYTES = {"fp32": 4, "float32": 4, "bf16": 2, "bfloat16": 2, "fp16": 2, "float16": 2, "half": 2}
HALF = 2
"""Bytes of a number in training's forward pass, in vLLM's weights and in its KV cache."""

ALLOWANCE_GB = 2.5
"""CUDA's context, NCCL's buffers, fragments, and what a sleeping vLLM keeps."""

ENGINE_GB = 2.0
"""vLLM's activations and CUDA graphs."""

WITH_FLASH, WITHOUT_FLASH = 2, 4
"""Copies of a micro-batch's logits at once: flash-attn's cross-entropy overwrites them with their gradient, torch's
keeps log-softmax and its gradient beside them."""

LAYER_HIDDEN, LAYER_INNER = 10, 3
"""Numbers a token that one block keeps for its backward pass, in hidden and in intermediate sizes."""


@dataclass(frozen=True)
class ModelSize:
    """A model's numbers of parameters, and what else memory depends on.

    Attributes:
        total: parameters; of these ``trainable`` learn, and ``ends`` are the embedding's and the head's.
        block: parameters of the largest block.
    """

    total: int
    trainable: int
    ends: int
    block: int
    blocks: int
    hidden: int
    inner: int
    vocabulary: int
    key_values: int
    """Numbers a token in the KV cache."""


@dataclass(frozen=True)
class Line:
    """One role's share of a card: what it takes in GB, part by part, and how many tokens its KV cache holds."""

    role: str
    parts: Mapping[str, float] = field(default_factory=dict)
    tokens: int = 0

    @property
    def total(self) -> float:
        return sum(self.parts.values())


def size_of(config: PretrainedConfig, lora_rank: int = 0, targets: object = None, trust: bool = False) -> ModelSize:
    """Count the parameters of a model that is built without memory.

    Args:
        lora_rank: 0 trains all weights.
        targets: ``all-linear``, or the ends of module names.

    Raises:
        ValueError: transformers has no causal language model of this configuration.
    """
    text = config.get_text_config()
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", trust_remote_code=trust)
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    ends = {id(module.weight): module.weight.numel() for module in (embedding, head) if module is not None}
    blocks = max((m for m in model.modules() if isinstance(m, torch.nn.ModuleList)), key=_parameters, default=[])
    total = _parameters(model)
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return ModelSize(
        total=total,
        trainable=_adapters(model, lora_rank, targets) if lora_rank else total,
        ends=sum(ends.values()),
        block=max(map(_parameters, blocks), default=0),
        blocks=text.num_hidden_layers,
        hidden=text.hidden_size,
        inner=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        vocabulary=text.vocab_size,
        key_values=2 * text.num_hidden_layers * heads * width,
    )


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _adapters(model: torch.nn.Module, rank: int, targets: object) -> int:
    """LoRA's own weights; peft's ``all-linear`` leaves the head out."""
    named = targets if isinstance(targets, list | tuple) else None
    found = 0
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.Linear) or module is model.get_output_embeddings():
            continue
        if named is None or any(name == end or name.endswith(f".{end}") for end in named):
            found += rank * (module.in_features + module.out_features)
    return found


@dataclass(frozen=True)
class Training:
    """How verl's FSDP engine trains; one reading of both mains' keys.

    Attributes:
        shards: processes that share the weights.
        tokens: of a card's largest micro-batch.
        weight: bytes of one as it is kept.
        offload: weights, gradients and moments live on the host.
    """

    shards: int
    per_node: int
    tokens: int
    weight: int
    offload: bool
    offload_weights: bool
    offload_moments: bool
    checkpointing: bool
    logits: int

    @classmethod
    def of(cls, config: DictConfig, processes: int, of_node: int) -> "Training":
        """
        Args:
            processes: of the whole run; ``of_node`` of one node.
        """
        engine, model = engine_key(config), model_key(config)
        fsdp_size = get(config, f"{engine}.fsdp_size", -1)
        fused = get(config, f"{model}.use_fused_kernels", False)
        return cls(
            shards=min(fsdp_size, processes) if fsdp_size > 0 else processes,
            per_node=of_node,
            tokens=_tokens(config),
            weight=BYTES.get(get(config, f"{engine}.model_dtype", "fp32"), 4),
            offload=get(config, strategy_key(config)) == "fsdp2" and get(config, f"{engine}.offload_policy", False),
            offload_weights=get(config, f"{engine}.param_offload", False),
            offload_moments=get(config, f"{engine}.optimizer_offload", False),
            checkpointing=get(config, f"{model}.enable_gradient_checkpointing", True),
            logits=0 if fused else WITH_FLASH if wanted_attention(config) == VERL_TAKES else WITHOUT_FLASH,
        )

    def line(self, size: ModelSize) -> Line:
        """What a card holds while it updates the weights."""
        on_card = 0 if self.offload else 1 / self.shards
        moments = 2 * self.weight * size.trainable * on_card
        kept, one = LAYER_HIDDEN * size.hidden + LAYER_INNER * size.inner, size.hidden
        # A block that is computed again keeps what it began with until then.
        block = self.tokens * (kept + (size.blocks * one if self.checkpointing else (size.blocks - 1) * kept))
        # The embedding, the head and two blocks are gathered at a time; gradients of the first two are whole until
        # they are reduced in fp32.
        gathered = HALF * (size.ends + 2 * size.block)
        if size.trainable == size.total:
            gathered += (HALF + 4) * size.ends
        return Line(
            "training",
            {
                "weights": self.weight * size.total * on_card / GB,
                "gradients": self.weight * size.trainable * on_card / GB,
                "optimizer": moments / GB,
                "logits": self.logits * HALF * self.tokens * size.vocabulary / GB,
                "activations": (HALF * block + gathered) / GB + ALLOWANCE_GB,
            },
        )

    def resident(self, size: ModelSize) -> float:
        """GB that stay on a card while vLLM has it."""
        if self.offload:
            return 0.0
        weights = 0 if self.offload_weights else self.weight * size.total
        moments = 0 if self.offload_moments else 2 * self.weight * size.trainable
        return (weights + moments) / self.shards / GB

    def host(self, size: ModelSize) -> float:
        """GB of each node's own memory."""
        weights, learned = self.weight * size.total, self.weight * size.trainable
        kept = self.offload_weights * (weights + learned) + self.offload_moments * 2 * learned
        return (weights + 3 * learned if self.offload else kept) * self.share_of_node / GB

    @property
    def share_of_node(self) -> float:
        """How many times a node's processes hold the whole: one, less on several nodes, more without sharding."""
        return self.per_node / self.shards


def _tokens(config: DictConfig) -> int:
    """Of a card's largest micro-batch."""
    batches, prefix = ("actor_rollout_ref.actor", "ppo_") if is_ppo(config) else ("data", "")
    if get(config, f"{batches}.use_dynamic_bsz", False):
        return get(config, f"{batches}.{prefix}max_token_len_per_gpu", 0)
    lengths = ("max_prompt_length", "max_response_length") if is_ppo(config) else ("max_length",)
    row = sum(get(config, f"data.{length}", 0) for length in lengths)
    return row * (get(config, f"{batches}.{prefix}micro_batch_size_per_gpu") or 1)


def engine_line(role: str, size: ModelSize, room: float, tensor_parallel: int, weight: int = HALF) -> Line:
    """A vLLM engine's share of each of its cards: what its weights leave of ``room`` (GB) is KV cache."""
    weights = weight * size.total / tensor_parallel / GB
    cache = max(room - weights - ENGINE_GB, 0.0)
    tokens = int(cache * GB * tensor_parallel / (HALF * size.key_values))
    return Line(role, {"weights": weights, "activations": ENGINE_GB, "KV cache": cache}, tokens)


COLUMNS = ("weights", "gradients", "optimizer", "logits", "activations", "KV cache")


def table(lines: list[Line]) -> Iterator[str]:
    """The lines as text, a column for each part.

    >>> print("\\n".join(table([Line("training", {"weights": 7.6, "logits": 12.46})])))
    GB a card  weights  gradients  optimizer  logits  activations  KV cache     all
    training       7.6          -          -    12.5            -         -    20.1
    """
    first = max(len("GB a card"), *(len(line.role) for line in lines))
    yield "  ".join([f"{'GB a card':{first}}", *COLUMNS, f"{'all':>6}"])
    for line in lines:
        cells = [f"{line.parts[name]:.1f}" if name in line.parts else "-" for name in COLUMNS]
        shown = [f"{cell:>{len(name)}}" for cell, name in zip(cells, COLUMNS, strict=True)]
        yield "  ".join([f"{line.role:{first}}", *shown, f"{line.total:6.1f}"])
