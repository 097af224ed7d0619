"""Packed rows without flash-attn: verl's own engine gives them the log-probabilities of padded rows.

The CPU recipes pad, and a GPU run without flash-attn packs and attends by sdpa, which must not look from
one row into the next.
"""

import pytest
import torch
import torch.distributed
from tensordict import TensorDict
from transformers import AutoTokenizer, LlamaForCausalLM
from verl.trainer.config import CheckpointConfig
from verl.utils import tensordict_utils
from verl.utils.dataset.dataset_utils import DatasetPadMode
from verl.utils.device import get_device_name, get_nccl_backend
from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
from verl.workers.engine import EngineRegistry

from sinternal_verl.world import arithmetic
from sinternal_verl.world.policy_model import make_policy

pytestmark = pytest.mark.versions

FP32 = {"param_dtype": "fp32", "reduce_dtype": "fp32", "buffer_dtype": "fp32"}


@pytest.fixture(autouse=True)
def one_process():
    get_device_name()  # chooses the platform, which names the engine
    torch.distributed.init_process_group(get_nccl_backend(), store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def log_probs(folder, rows: list[list[int]], packed: bool, fused: bool = False) -> list[torch.Tensor]:
    """Of each row, by a forward pass of verl's FSDP engine; `rows` are token ids."""
    model = HFModelConfig(
        path=str(folder),
        use_remove_padding=packed,
        use_fused_kernels=fused,
        fused_kernel_options={"impl_backend": "torch"},
        override_config={"attn_implementation": "sdpa"},
        enable_gradient_checkpointing=False,
    )
    engine = EngineRegistry.new(
        model_type="language_model",
        backend="fsdp2",
        model_config=model,
        engine_config=FSDPEngineConfig(strategy="fsdp2", use_torch_compile=False, mixed_precision=FP32),
        optimizer_config=FSDPOptimizerConfig(lr=1e-6, total_training_steps=1),
        checkpoint_config=CheckpointConfig(),
    )
    engine.initialize()
    lengths = torch.tensor([0, *map(len, rows)]).cumsum(0)
    ids = torch.nested.nested_tensor_from_jagged(torch.cat([torch.tensor(row) for row in rows]), lengths)
    places = torch.nested.nested_tensor_from_jagged(torch.cat([torch.arange(len(row)) for row in rows]), lengths)
    whole = torch.nested.nested_tensor_from_jagged(torch.ones(int(lengths[-1])), lengths)
    batch = TensorDict(
        {
            "input_ids": ids,
            "position_ids": places,
            "loss_mask": whole,
        },
        batch_size=len(rows),
    )
    tensordict_utils.assign_non_tensor(
        batch,
        use_remove_padding=packed,
        pad_mode=DatasetPadMode.NO_PADDING,
        use_dynamic_bsz=True,
        max_token_len_per_gpu=4096,
        calculate_entropy=False,
        use_fused_kernels=fused,
        temperature=1.0,
    )
    with engine.eval_mode():
        output = engine.infer_batch(batch)
    return list(output["model_output"]["log_probs"].unbind())


@pytest.mark.parametrize("architecture", ["qwen2", "qwen3", "llama"])
def test_packed_and_padded_rows_have_the_same_log_probabilities(architecture, tmp_path):
    make_policy(tmp_path, arithmetic.corpus(), seed=1, architecture=architecture)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    texts = ["47+38=85", "1+1=2 and so on: " * 8, "9"]
    rows = [tokenizer.encode(text) for text in texts]

    packed, padded = (log_probs(tmp_path, rows, way) for way in (True, False))
    alone = [log_probs(tmp_path, [row], True)[0] for row in rows]

    for together, beside, one in zip(packed, padded, alone, strict=True):
        # The last place of a row predicts the first of the next: nobody reads it.
        assert torch.allclose(together[:-1], beside[:-1], atol=1e-4)
        assert torch.allclose(together[:-1], one[:-1], atol=1e-4)


@pytest.mark.parametrize("tied", [True, False])
def test_fused_kernels_give_the_same_log_probabilities_with_a_head_of_its_own(tied, tmp_path, monkeypatch):
    # verl's kernels replace the forward of the class; the next test gets back what it was.
    monkeypatch.setattr(LlamaForCausalLM, "forward", LlamaForCausalLM.forward)
    make_policy(tmp_path, arithmetic.corpus(), seed=1, architecture="llama", tied=tied)
    rows = [AutoTokenizer.from_pretrained(tmp_path).encode("47+38=85, and so on " * times) for times in (1, 3)]

    plain, fused = (log_probs(tmp_path, rows, True, kernels) for kernels in (False, True))

    for one, other in zip(plain, fused, strict=True):
        assert torch.allclose(one[:-1], other[:-1], atol=1e-4)
