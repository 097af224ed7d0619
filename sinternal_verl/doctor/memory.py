"""Calculates what a run needs of each card and of the host, from the models' sizes and the configuration.

Figures are GB (10^9 bytes). They are calculated, not measured. Weights, gradients and Adam's moments are exact;
logits and activations follow what verl's FSDP engine keeps (verl 0.9.1); the rest is an allowance.
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
"""Bytes of a number in the forward pass of training, in vLLM's weights and in its KV cache."""

ALLOWANCE_GB = 2.5
"""CUDA's context, NCCL's buffers, fragments, and what a sleeping vLLM keeps."""

ENGINE_GB = 2.0
"""vLLM's activations and CUDA graphs."""

WITH_FLASH, WITHOUT_FLASH = 2, 4
"""How many copies of a micro-batch's logits are in memory at once. flash-attn's cross-entropy overwrites them with
their gradient; torch's keeps log-softmax and its gradient besides."""

LAYER_HIDDEN, LAYER_INNER = 10, 3
"""How many numbers a block keeps for each token until its backward pass, as multiples of the hidden and of the
intermediate size."""


@dataclass(frozen=True)
class ModelSize:
    """A model's numbers of parameters, and what else memory depends on.

    Attributes:
        total: all parameters.
        trainable: parameters that learn; with LoRA those of the adapter.
        ends: parameters of the embedding and the head.
        block: parameters of the largest block.
        blocks: number of blocks.
        hidden, inner: the hidden and the intermediate size.
        vocabulary: number of tokens that the head knows.
        queries: width of all attention heads of all blocks together.
        key_value_heads: of a block; the cards of an engine share them out.
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
    """How many numbers the KV cache holds for each token."""
    queries: int
    key_value_heads: int

    @property
    def multiplied(self) -> int:
        """The weights by which a token is multiplied: an embedding is looked up, and a tied one is the head, too."""
        return self.total - self.ends + self.hidden * self.vocabulary

    def copies(self, cards: int) -> float:
        """How often the cards of an engine together hold a token's numbers in the KV cache: vLLM gives each card one
        head at least, so several cards hold the same one where there are more cards than heads."""
        return max(cards / self.key_value_heads, 1.0)


@dataclass(frozen=True)
class Line:
    """What one role takes of a card: GB of each part, and the number of tokens that its KV cache holds."""

    role: str
    parts: Mapping[str, float] = field(default_factory=dict)
    tokens: int = 0

    @property
    def total(self) -> float:
        return sum(self.parts.values())


def size_of(config: PretrainedConfig, lora_rank: int = 0, targets: object = None, trust: bool = False) -> ModelSize:
    """Count the parameters of a model, which is built on the meta device and takes no memory.

    Args:
        lora_rank: rank of the adapter; 0 trains all weights.
        targets: ``all-linear``, or a list of the last parts of module names.

    Raises:
        ValueError: transformers has no causal language model of this configuration.
    """
    text = config.get_text_config()
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", trust_remote_code=trust)
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    ends = {id(module.weight): module.weight.numel() for module in (embedding, head) if module is not None}
    blocks = max((m for m in model.modules() if isinstance(m, torch.nn.ModuleList)), key=_parameters, default=[])
    total, attending = _parameters(model), _attending(text)
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
        key_values=2 * attending * heads * width,
        queries=attending * text.num_attention_heads * width,
        key_value_heads=heads,
    )


def _attending(text: PretrainedConfig) -> int:
    """Number of blocks with attention, whose cache grows with each token; linear attention has a state of one size.

    Raises:
        ValueError: there is none.
    """
    kinds = getattr(text, "layer_types", None) or ["attention"] * text.num_hidden_layers
    if not (found := sum("linear" not in str(kind) for kind in kinds)):
        raise ValueError("it has no block with attention")
    return found


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _adapters(model: torch.nn.Module, rank: int, targets: object) -> int:
    """Number of LoRA's own weights; peft's ``all-linear`` leaves the head out."""
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
    """How verl's FSDP engine trains, read from the keys of either main.

    Attributes:
        shards: number of processes among which the weights are divided.
        per_node: number of training processes on a node.
        tokens: tokens of a card's largest micro-batch.
        weight: bytes of a weight as it is kept.
        offload: whether weights, gradients and moments live in host memory.
        offload_weights, offload_moments: whether these wait in host memory while they are not used.
        checkpointing: whether activations are computed again for the backward pass.
        logits: how many copies of the logits are in memory at once.
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
        """Read a configuration.

        Args:
            processes: number of training processes of the run.
            of_node: number of those on one node.
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
        # A block that is computed again keeps only its input until then.
        block = self.tokens * (kept + (size.blocks * one if self.checkpointing else (size.blocks - 1) * kept))
        # The embedding, the head and two blocks are gathered at a time. The gradients of embedding and head are whole
        # until they are reduced in fp32.
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
        """GB that training keeps on a card while vLLM uses it."""
        if self.offload:
            return 0.0
        weights = 0 if self.offload_weights else self.weight * size.total
        moments = 0 if self.offload_moments else 2 * self.weight * size.trainable
        return (weights + moments) / self.shards / GB

    def host(self, size: ModelSize) -> float:
        """GB of host memory on each node."""
        weights, learned = self.weight * size.total, self.weight * size.trainable
        kept = self.offload_weights * (weights + learned) + self.offload_moments * 2 * learned
        return (weights + 3 * learned if self.offload else kept) * self.share_of_node / GB

    @property
    def share_of_node(self) -> float:
        """How many whole copies a node's processes hold together: 1, fewer on several nodes, more without sharding."""
        return self.per_node / self.shards


def _tokens(config: DictConfig) -> int:
    """Tokens of a card's largest micro-batch."""
    batches, prefix = ("actor_rollout_ref.actor", "ppo_") if is_ppo(config) else ("data", "")
    if get(config, f"{batches}.use_dynamic_bsz", False):
        return get(config, f"{batches}.{prefix}max_token_len_per_gpu", 0)
    lengths = ("max_prompt_length", "max_response_length") if is_ppo(config) else ("max_length",)
    row = sum(get(config, f"data.{length}", 0) for length in lengths)
    return row * (get(config, f"{batches}.{prefix}micro_batch_size_per_gpu") or 1)


def engine_line(role: str, size: ModelSize, room: float, tensor_parallel: int, weight: int = HALF) -> Line:
    """What a vLLM engine takes of each of its cards: the part of ``room`` (GB) that its weights leave is KV cache."""
    weights = weight * size.total / tensor_parallel / GB
    cache = max(room - weights - ENGINE_GB, 0.0)
    tokens = int(cache * GB * tensor_parallel / (HALF * size.key_values * size.copies(tensor_parallel)))
    return Line(role, {"weights": weights, "activations": ENGINE_GB, "KV cache": cache}, tokens)


COLUMNS = ("weights", "gradients", "optimizer", "logits", "activations", "KV cache")


def table(lines: list[Line]) -> Iterator[str]:
    """The lines as text, with a column for each part.

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
