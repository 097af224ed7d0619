"""Measures of `gpu_measure.py`: the card by itself, and training of a model of a real width. Each function gets a
folder of its own and puts figures into a dict."""

import gc
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from gpu_checks import ON_GPU
from gpu_timing import DEVICE, DTYPE, median_seconds, peak_gb, sized
from sized_models import QWEN2_7B, write_config, write_weights


def card(folder: Path, small: bool, figures: dict) -> None:
    """What the card and its host reach by themselves: products, copies, and AdamW in host memory."""
    n = 512 if small else 8192
    a, b = (torch.randn(n, n, device=DEVICE, dtype=DTYPE) for _ in range(2))
    figures["matmul_tflops"] = 2 * n**3 / median_seconds(lambda: a @ b, 10, 3) / 1e12
    source = torch.empty(2**22 if small else 2**32, dtype=torch.uint8, device=DEVICE)
    target = torch.empty_like(source)
    figures["copy_gb_s"] = 2 * source.numel() / median_seconds(lambda: target.copy_(source), 10, 3) / 1e9
    if ON_GPU:
        figures["memory_gb"] = torch.cuda.get_device_properties(0).total_memory / 1e9
        pinned = torch.empty(2**30, dtype=torch.uint8, pin_memory=True)
        part = source[: 2**30]
        figures["to_card_gb_s"] = 2**30 / median_seconds(lambda: part.copy_(pinned)) / 1e9
        figures["to_host_gb_s"] = 2**30 / median_seconds(lambda: pinned.copy_(part)) / 1e9
    figures["cpus"] = os.cpu_count() or 0
    weights = [torch.nn.Parameter(torch.randn(2**12 if small else 2**22)) for _ in range(64)]
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    optimizer = torch.optim.AdamW(weights, lr=1e-6)
    figures["host_adamw_weights_per_s"] = sum(w.numel() for w in weights) / median_seconds(optimizer.step)


def blocks(folder: Path, small: bool, figures: dict) -> None:
    """All blocks of a 7B in bf16 over packed tokens with sdpa: forward, and forward and backward with checkpointing."""
    from transformers import AutoConfig, AutoModel

    tokens = 1280 if small else 10_240
    config = AutoConfig.from_pretrained(write_config(folder / "model", sized(QWEN2_7B, small)))
    with torch.device(DEVICE):
        model = AutoModel.from_config(config, dtype=DTYPE, attn_implementation="sdpa")
    weights = sum(p.numel() for p in model.parameters()) - model.get_input_embeddings().weight.numel()
    figures["weights_of_blocks"] = weights
    for rows in (1, 5):
        ids = torch.randint(500, (1, tokens), device=DEVICE)
        places = torch.arange(tokens // rows, device=DEVICE).repeat(rows)[None]

        def forward(ids: torch.Tensor = ids, places: torch.Tensor = places) -> torch.Tensor:
            return model(input_ids=ids, position_ids=places, use_cache=False).last_hidden_state

        def train(forward: Callable[[], torch.Tensor] = forward) -> None:
            forward().float().square().mean().backward()
            model.zero_grad(set_to_none=True)

        model.eval(), model.gradient_checkpointing_disable()
        with torch.no_grad():
            seconds = median_seconds(forward)
        figures[f"forward_{rows}_rows_tokens_per_s"] = tokens / seconds
        figures[f"forward_{rows}_rows_tflops"] = 2 * weights * tokens / seconds / 1e12
        model.train(), model.gradient_checkpointing_enable({"use_reentrant": False})
        figures[f"train_{rows}_rows_peak_gb"] = peak_gb(train)
        seconds = median_seconds(train, warm_up=0)
        figures[f"train_{rows}_rows_tokens_per_s"] = tokens / seconds
        # Forward, again forward, and twice as much backward.
        figures[f"train_{rows}_rows_tflops"] = 8 * weights * tokens / seconds / 1e12


def actor(folder: Path, small: bool, figures: dict) -> None:
    """verl's own engine at 7B width: log-probabilities and an update with AdamW, on the card and offloaded."""
    import torch.distributed
    from verl.utils.device import get_device_name, get_nccl_backend

    get_device_name()  # chooses the platform, which names the engine
    torch.distributed.init_process_group(get_nccl_backend(), store=torch.distributed.HashStore(), rank=0, world_size=1)
    layers = 4
    model = write_config(folder / "model", sized(QWEN2_7B, small, num_hidden_layers=layers))
    write_weights(model, DEVICE)
    # torch keeps what it offloads in pinned memory, which needs a GPU.
    for offload in [False] + [True] * ON_GPU:
        _actor(model, offload, small, figures)
        # The engine is a cycle of objects, and its weights would count as the next one's.
        gc.collect()


def _actor(path: Path, offload: bool, small: bool, figures: dict) -> None:
    from tensordict import TensorDict
    from verl.trainer.config import CheckpointConfig
    from verl.utils import tensordict_utils
    from verl.utils.dataset.dataset_utils import DatasetPadMode
    from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
    from verl.workers.engine import EngineRegistry
    from verl.workers.utils.losses import sft_loss

    tokens, name = 1280 if small else 10_240, "offloaded" if offload else "on_card"
    started = time.perf_counter()
    engine = EngineRegistry.new(
        model_type="language_model",
        backend="fsdp2",
        model_config=HFModelConfig(
            path=str(path),
            use_remove_padding=True,
            use_fused_kernels=True,
            fused_kernel_options={"impl_backend": "torch"},
            override_config={"attn_implementation": "sdpa"},
            enable_gradient_checkpointing=True,
        ),
        engine_config=FSDPEngineConfig(strategy="fsdp2", use_torch_compile=False, offload_policy=offload),
        optimizer_config=FSDPOptimizerConfig(lr=1e-6, total_training_steps=10),
        checkpoint_config=CheckpointConfig(),
    )
    engine.initialize()
    figures[f"{name}_start_s"] = time.perf_counter() - started
    figures["weights"] = sum(p.numel() for p in engine.module.parameters())

    def batch(rows: int, micro_batches: int) -> TensorDict:
        lengths = [tokens // rows] * rows * micro_batches
        nested = lambda parts: torch.nested.nested_tensor(parts, layout=torch.jagged)  # noqa: E731
        content = {
            "input_ids": nested([torch.randint(500, (length,)) for length in lengths]),
            "position_ids": nested([torch.arange(length) for length in lengths]),
            "loss_mask": nested([torch.ones(length) for length in lengths]),
        }
        made = TensorDict(content, batch_size=len(lengths)).to(DEVICE)
        tensordict_utils.assign_non_tensor(
            made,
            use_remove_padding=True,
            pad_mode=DatasetPadMode.NO_PADDING,
            use_dynamic_bsz=True,
            max_token_len_per_gpu=tokens,
            calculate_entropy=False,
            temperature=1.0,
            use_fused_kernels=True,
        )
        return made

    for rows in (1, 5):
        with engine.eval_mode():
            seconds = median_seconds(lambda rows=rows: engine.infer_batch(batch(rows, 1)), 2)
        figures[f"{name}_log_probs_{rows}_rows_tokens_per_s"] = tokens / seconds
    with engine.train_mode():
        for micro_batches in (1, 3):
            step = lambda n=micro_batches: engine.train_batch(batch(5, n), partial(sft_loss, None))  # noqa: E731
            figures[f"{name}_update_of_{micro_batches}_peak_gb"] = peak_gb(step)
            figures[f"{name}_update_of_{micro_batches}_s"] = median_seconds(step, 2, 0)
    one, three = (figures[f"{name}_update_of_{n}_s"] for n in (1, 3))
    figures[f"{name}_train_tokens_per_s"] = 2 * tokens / (three - one)
    figures[f"{name}_optimizer_s"] = max(one - (three - one) / 2, 0.0)
